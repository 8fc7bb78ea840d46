import Base

/// Memory of a member that comes and goes. Exists only for such members.
struct Flap: Sendable {
  /// Refuted suspicions lately; loses one every `forgiveness`.
  var score: Float = 0
  var updated: Instant
  /// Whose accusation was refuted last: one accuser alone gets nobody degraded.
  var accuser: NodeID?
  /// Returns from the dead since it was last quiet.
  var returns = 0
  /// Until then it is degraded, whatever it answers.
  var degradedUntil: Instant
  /// When time changes something about it next.
  var due: Instant

  init(now: Instant) { (updated, degradedUntil, due) = (now, now, now) }
}

/// A member that is accused and refutes again and again, or loses most of its answers, is *degraded*:
/// used last and given the longest patience, rather than evicted and readmitted for ever.
extension Membership {
  private static let forgiveness: Duration = .seconds(30)
  private static let degradedAbove: Float = 1.5
  private static let recoveredBelow: Float = 0.5
  /// So that recovery takes about a minute, whatever was before.
  private static let scoreLimit: Float = 3
  /// After this long without trouble the memory goes.
  private static let quiet: Duration = .seconds(600)
  private static let lossDegraded: UInt8 = 170

  func isDegraded(_ slot: Int32) -> Bool {
    flaps[slot].map { $0.degradedUntil > $0.updated } ?? false
      || table[slot].loss > Self.lossDegraded
  }

  /// The state in which a member comes back from suspicion or death.
  mutating func dampen(
    _ slot: Int32, after old: MemberState, accusers: [NodeID], now: Instant
  ) -> MemberState {
    guard old == .suspect || old == .dead else { return old }
    var flap = flaps[slot] ?? Flap(now: now)
    decay(&flap, now)
    if old == .dead {
      // The first return is free, so that a restart or a healed partition costs nothing. Further
      // ones back off: 10 s doubling to 5 min, during which it is used last.
      if flap.returns > 0 {
        var backoff = configuration.reentryBackoffMinimum
        for _ in 1..<min(flap.returns, 16) where backoff < configuration.reentryBackoffMaximum {
          backoff = backoff * 2
        }
        let until = now + min(backoff, configuration.reentryBackoffMaximum)
        flap.degradedUntil = max(flap.degradedUntil, until)
      }
      flap.returns += 1
    } else if let accuser = accusers.first, accusers.count > 1 || accuser != flap.accuser {
      flap.score = min(flap.score + 1, Self.scoreLimit)
      flap.accuser = accuser
      if flap.score > Self.degradedAbove {
        flap.degradedUntil = max(
          flap.degradedUntil, now + configuration.reentryBackoffMinimum)
      }
    }
    flap.due = now + .seconds(1)
    flaps[slot] = flap
    flapsDue = min(flapsDue, flap.due)
    return isDegraded(slot) ? .degraded : .alive
  }

  /// It answers us directly though accused: its word gets lost.
  mutating func markDegraded(_ slot: Int32, now: Instant) {
    var flap = flaps[slot] ?? Flap(now: now)
    decay(&flap, now)
    flap.score = max(flap.score, 2)
    flap.degradedUntil = now + configuration.reentryBackoffMinimum
    flap.due = now + .seconds(1)
    flaps[slot] = flap
    flapsDue = min(flapsDue, flap.due)
  }

  private func decay(_ flap: inout Flap, _ now: Instant) {
    let elapsed = Float(max((now - flap.updated).nanoseconds, 0))
    flap.score = max(0, flap.score - elapsed / Float(Self.forgiveness.nanoseconds))
    flap.updated = now
  }

  /// Lets members recover.
  mutating func settleFlaps(_ now: Instant, _ effects: inout [Effect]) {
    // Sorted: a dictionary's order must not reach the effects.
    for slot in flaps.filter({ $0.value.due <= now }).keys.sorted() {
      guard var flap = flaps[slot] else { continue }
      decay(&flap, now)
      if flap.score > Self.recoveredBelow, table[slot].state == .degraded {
        flap.degradedUntil = max(flap.degradedUntil, now + .seconds(1))
      }
      flaps[slot] = flap
      // Where probes are rare, time has to do what answers would.
      if table[slot].loss > 0 { table[slot].loss -= 1 }
      if table[slot].state == .degraded, !isDegraded(slot) {
        setState(slot, .alive, record: nil, now: now, &effects)
      }
      let isRecovering =
        table[slot].state == .degraded || table[slot].loss > 0 || flap.degradedUntil > now
      let end = flap.degradedUntil + Self.quiet
      flap.due = isRecovering ? now + .seconds(1) : max(end, now + Self.forgiveness)
      flaps[slot] = flap.score < 0.01 && end <= now ? nil : flap
    }
    flapsDue = flaps.values.reduce(.distantFuture) { min($0, $1.due) }
  }

  /// Takes the fate of direct pings into account; an answer ends a run of `lost` ones.
  mutating func countLoss(
    of slot: Int32, lost: Int, answered: Bool, _ now: Instant, _ effects: inout [Effect]
  ) {
    var loss = Int(table[slot].loss)
    for _ in 0..<min(lost, 4) { loss += (255 - loss) / 4 }
    if answered { loss -= loss / 4 }
    table[slot].loss = UInt8(min(max(loss, 0), 255))
    if loss > Int(Self.lossDegraded), table[slot].state == .alive {
      markDegraded(slot, now: now)
      setState(slot, .degraded, record: nil, now: now, &effects)
    }
  }
}
