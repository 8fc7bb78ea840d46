import Base

/// A probe of one member, under way.
struct Probe: Sendable {
  enum Purpose: Sendable {
    /// Its turn in the ring.
    case turn
    /// Somebody accuses it: confirm or let it refute.
    case confirmation
    /// Dead or never seen: is it there again?
    case contact
  }

  static let limit = 64

  var slot: Int32
  var purpose: Purpose
  /// Low three bits zero: an attempt's number goes there, so that each answer is timed against the
  /// ping that it answers (Karn's algorithm).
  var sequence: UInt32
  var started: Instant
  var timeout: Duration
  var deadline: Instant
  var attempt: UInt32 = 0
  var nextAttempt: Instant
  var sent = SIMD4<Int64>()
  /// Members asked to ping it for us.
  var asked: [Int32] = []
  var nacks = 0
}

/// The common order in which members go around the ring: in round r each member probes the one that
/// is d(r) places after it, where d runs through 1...n in an order that all derive from the wall
/// clock. So in every round each member is probed by exactly one other, and within n rounds by all
/// of them (SWIM's bounded completeness). Where clocks or views differ this degrades to SWIM's
/// random order; nothing depends on it for correctness.
struct ProbeOrder: Sendable {
  private var key: (count: UInt64, cycle: UInt64) = (0, .max)
  private var factor: UInt64 = 1
  private var offset: UInt64 = 0

  /// In `1...count`.
  mutating func distance(round: UInt64, count: Int) -> Int {
    let n = UInt64(count)
    guard n > 1 else { return 1 }
    let cycle = round / n
    if key != (n, cycle) {
      key = (n, cycle)
      var generator = SeededGenerator(seed: cycle &* 0x9e37_79b9_7f4a_7c15 ^ n)
      offset = generator.next() % n
      repeat { factor = 1 + generator.next() % (n - 1) } while !Self.areCoprime(factor, n)
    }
    return 1 + Int((factor * (round % n) + offset) % n)
  }

  private static func areCoprime(_ a: UInt64, _ b: UInt64) -> Bool {
    var (a, b) = (a, b)
    while b != 0 { (a, b) = (b, a % b) }
    return a == 1
  }
}

extension Membership {
  // MARK: Starting

  mutating func startRingProbe(_ now: Now, _ effects: inout [Effect]) {
    let instant = now.instant
    let period = configuration.probePeriod
    probeDue = instant + period
    guard table.count > 0, !isLeaving else { return }
    if table.presentCount == 0 {
      // Alone: knock at several doors at once.
      for _ in 0..<configuration.indirectProbes {
        if let slot = table.random(using: &rng, where: { $0.state != .left }) {
          startProbe(of: slot, .contact, instant, &effects)
        }
      }
      return
    }
    let round = (now.wallMilliseconds &+ phase) / UInt64(max(1, period.milliseconds))
    let distance = probeOrder.distance(round: round, count: table.count)
    let position = (table.ringPosition(of: id) + distance - 1) % table.count
    var slot = table.ring[position]
    switch table[slot].state {
    case .alive, .degraded, .suspect: startProbe(of: slot, .turn, instant, &effects)
    case .unknown: startProbe(of: slot, .contact, instant, &effects)
    case .dead, .left:
      // Its turn is not wasted; the dead have their own timer.
      guard let other = table.random(using: &rng, where: { $0.state.isPresent }) else { return }
      slot = other
      startProbe(of: slot, .turn, instant, &effects)
    }
  }

  mutating func startProbe(
    of slot: Int32, _ purpose: Probe.Purpose, _ now: Instant, _ effects: inout [Effect]
  ) {
    guard probes.count < Probe.limit, !probes.contains(where: { $0.slot == slot }) else { return }
    let timeout = probeTimeout(of: slot) * (1 + localHealth)
    let length = max(configuration.probePeriod, timeout * 5 / 2)
    sequence &+= 8
    var probe = Probe(
      slot: slot, purpose: purpose, sequence: sequence, started: now, timeout: timeout,
      deadline: now + length, nextAttempt: now)
    attempt(&probe, now, &effects)
    probes.append(probe)
    probesDue = min(probesDue, min(probe.nextAttempt, probe.deadline))
  }

  /// SRTT + 4 RTTVAR (RFC 6298), or twice what the coordinates predict, within bounds.
  func probeTimeout(of slot: Int32) -> Duration {
    let seconds: Float
    if table[slot].smoothed > 0 {
      seconds = table[slot].smoothed + 4 * table[slot].deviation
    } else if table[slot].coordinate.isKnown, coordinate.isKnown {
      seconds = 0.05 + 2 * coordinate.seconds(to: table[slot].coordinate)
    } else {
      seconds = 0.4
    }
    let timeout = Duration.microseconds(Int64(min(max(seconds, 0), 10) * 1e6))
    return min(
      max(timeout, configuration.probeTimeoutMinimum), configuration.probeTimeoutMaximum)
  }

  // MARK: Attempts

  private mutating func attempt(
    _ probe: inout Probe, _ now: Instant, _ effects: inout [Effect]
  ) {
    let number = probe.attempt
    probe.sent[Int(number & 3)] = now.nanoseconds
    probe.attempt += 1
    ping(probe.slot, sequence: probe.sequence | number, now, &effects)
    if number > 0 {
      if number == 1 { effects.append(.streamProbe(table.id(probe.slot))) }
      for relay in chooseRelays(for: probe) {
        probe.asked.append(relay)
        effects.append(
          .send(
            to: table.id(relay),
            [.probeRequest(sequence: probe.sequence, target: table.id(probe.slot))]))
      }
    }
    let attempts = UInt32(min(max(configuration.probeAttempts, 1), 4))
    if probe.purpose == .contact || probe.attempt >= attempts {
      probe.nextAttempt = .distantFuture
    } else if number == 0 {
      probe.nextAttempt = now + probe.timeout
    } else {
      let rest = (probe.deadline - probe.started) - probe.timeout
      probe.nextAttempt = now + rest / Int(attempts - 1)
    }
  }

  /// Sends a ping, with what is said against the member on top, so that it can refute.
  mutating func ping(
    _ slot: Int32, sequence: UInt32, _ now: Instant, _ effects: inout [Effect]
  ) {
    var messages: [Message] = []
    var evidence = Array(proof(against: slot))
    if table[slot].record == nil { evidence.append(.record(record)) }
    let used = evidence.reduce(0) { $0 + $1.size }
    if !broadcasts.isEmpty {
      evidence += takeBroadcasts(bytes: Self.datagramEvidenceBytes - used, copies: 1)
    }
    if !evidence.isEmpty { messages.append(.evidence(evidence)) }
    messages.append(.ping(Ping(sequence: sequence, view: table.view)))
    effects.append(.send(to: table.id(slot), messages))
  }

  /// Members in different places: of a random few, the ones farthest from those already taken.
  private mutating func chooseRelays(for probe: Probe) -> [Int32] {
    let wanted = configuration.indirectProbes
    var candidates = table.sample(3 * wanted, except: probe.slot, using: &rng)
      .filter { !probe.asked.contains($0) }
    var chosen: [Int32] = []
    while chosen.count < wanted, !candidates.isEmpty {
      var best = 0
      var bestScore = -Float.infinity
      for (i, candidate) in candidates.enumerated() {
        let place = table[candidate].coordinate
        var score: Float = table[candidate].state == .degraded ? -10 : 0
        if place.isKnown {
          score += chosen.reduce(Float(1)) { nearest, other in
            min(nearest, place.seconds(to: table[other].coordinate))
          }
        }
        if score > bestScore { (best, bestScore) = (i, score) }
      }
      chosen.append(candidates.remove(at: best))
    }
    return chosen
  }

  // MARK: Time passes

  mutating func continueProbes(_ now: Instant, _ effects: inout [Effect]) {
    var failed: [Probe] = []
    var i = 0
    while i < probes.count {
      if probes[i].deadline <= now {
        failed.append(probes.remove(at: i))
        continue
      }
      if probes[i].nextAttempt <= now {
        var probe = probes[i]
        attempt(&probe, now, &effects)
        probes[i] = probe
      }
      i += 1
    }
    probesDue = probes.reduce(.distantFuture) { min($0, min($1.nextAttempt, $1.deadline)) }
    for probe in failed { conclude(failed: probe, now, &effects) }
  }

  private mutating func conclude(
    failed probe: Probe, _ now: Instant, _ effects: inout [Effect]
  ) {
    guard probe.purpose != .contact else { return }
    effects.append(.event(.probeFailed(table.id(probe.slot))))
    // Lifeguard: relays that do not even say that they failed hint at ourselves.
    let relaysAlive = probe.asked.filter { table[$0].state == .alive }.count
    if relaysAlive > 0, probe.nacks * 2 < relaysAlive { worsenLocalHealth(&effects) }
    // It spoke to us meanwhile: its answers get lost, but it is not gone. Silence alone does not
    // count as loss, or every crashed member would be given the patience due to degraded ones.
    guard table[probe.slot].heard < probe.started else {
      countLoss(of: probe.slot, lost: Int(probe.attempt), answered: false, now, &effects)
      return
    }
    guard table[probe.slot].state.isPresent else { return }
    accuse(probe.slot, now, &effects)
  }

  // MARK: Answers

  mutating func receive(
    ack: Ack, from slot: Int32, now: Instant, _ effects: inout [Effect]
  ) {
    let base = ack.sequence & ~7
    if finishRelay(sequence: base, target: slot, now: now, &effects) { return }
    let number = Int(ack.sequence & 7)
    let match = probes.firstIndex { $0.sequence == base && $0.slot == slot }
    guard let match, number < Int(probes[match].attempt) else {
      // Late answers are common and harmless; nothing is learnt from their timing.
      return
    }
    let probe = removeProbe(at: match)
    let sample = now - Instant(nanoseconds: probe.sent[number])
    measure(slot, sample, at: ack.coordinate)
    // Answers to earlier attempts may still be on their way: only those before count as lost.
    countLoss(of: slot, lost: number, answered: true, now, &effects)
    improveLocalHealth(&effects)
    effects.append(.event(.probed(table.id(slot), roundTrip: sample)))
  }

  mutating func receive(
    relayedAck sequence: UInt32, from relay: Int32, now: Instant, _ effects: inout [Effect]
  ) {
    let match = probes.firstIndex { $0.sequence == sequence && $0.asked.contains(relay) }
    guard let match else {
      effects.append(.event(.rejected(from: table.id(relay), .unexpectedAnswer)))
      return
    }
    let probe = removeProbe(at: match)
    countLoss(of: probe.slot, lost: Int(probe.attempt), answered: false, now, &effects)
    improveLocalHealth(&effects)
  }

  mutating func receive(nack sequence: UInt32, from relay: Int32) {
    let match = probes.firstIndex { $0.sequence == sequence && $0.asked.contains(relay) }
    if let match { probes[match].nacks += 1 }
  }

  mutating func finishProbe(
    ofStreamTo member: NodeID, now: Instant, _ effects: inout [Effect]
  ) {
    guard let slot = table.slot(of: member) else { return }
    table[slot].heard = max(table[slot].heard, now)
    guard let match = probes.firstIndex(where: { $0.slot == slot && $0.attempt > 1 }) else {
      return
    }
    // Its datagrams get lost: alive, but let the loss count.
    let probe = removeProbe(at: match)
    countLoss(of: slot, lost: Int(probe.attempt), answered: false, now, &effects)
    // It has to hear the accusation to refute it, and streams get through.
    let against = proof(against: slot)
    if !against.isEmpty { effects.append(.sendStream(to: member, .evidence(against))) }
  }

  private mutating func removeProbe(at index: Int) -> Probe {
    let probe = probes.remove(at: index)
    // Nothing to wake up for: most probes are answered, and most members have one at a time.
    if probes.isEmpty { probesDue = .distantFuture }
    return probe
  }

  private mutating func measure(_ slot: Int32, _ sample: Duration, at place: NetworkCoordinate) {
    measured.note(slot)
    let seconds = max(Float(sample.nanoseconds) * 1e-9, 1e-6)
    if table[slot].smoothed > 0 {
      let deviation = abs(table[slot].smoothed - seconds)
      table[slot].deviation += (deviation - table[slot].deviation) / 4
      table[slot].smoothed += (seconds - table[slot].smoothed) / 8
    } else {
      table[slot].smoothed = seconds
      table[slot].deviation = seconds / 2
    }
    table[slot].coordinate = place
    coordinate.observe(sample, to: place, using: &rng)
  }
}
