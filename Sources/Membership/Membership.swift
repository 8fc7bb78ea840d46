public import Base

/// Who takes part, who is reachable, and how far away: SWIM (Das, Gupta, Motivala, DSN 2002) with
/// Lifeguard (Dadgar, Phillips, Currey, DSN-W 2018), hardened against loss and against liars.
///
/// Sans-IO: `handle` takes what happened and appends what to do. Where it differs from the papers:
/// - *Probe order* (SWIM §4.3, shuffled lists): members go around one common ring by a stride that
///   the wall clock fixes, so that each member is probed about once a period by someone, not about
///   once on average (`Probing`).
/// - *Probe retries* (SWIM §3.1, one ping): a probe repeats itself within its period, direct and
///   indirect, with timeouts from the member's own round-trip time, and tries a stream.
/// - *Death* (SWIM §4.2, `confirm` messages): is never told. Signed accusations are, and every
///   member draws its own conclusion from them, after a time in which the accused could refute, so
///   one liar evicts nobody (`Suspicion`).
/// - *Independent confirmation* (Lifeguard §IV.B): the suspect's ring neighbours probe it at once.
/// - *Incarnations* carry a boot epoch and only the member's own signature raises them.
/// - *Views are compared* by a digest in every ping and repaired from one another (`Synchronising`).
/// - *Dead members are probed* as long as they are admitted, so partitions of any length heal. They
///   are remembered that long too (the design says 24 h): admission already bounds the memory.
public struct Membership: Sendable {
  let identity: MemberIdentity
  let crypto: Crypto
  let configuration: Configuration
  var rng: SeededGenerator

  /// This peer.
  public let id: NodeID
  /// What this peer says about itself.
  public internal(set) var record: MemberRecord
  /// Where it believes to be.
  public internal(set) var coordinate: NetworkCoordinate = .origin
  /// Lifeguard's local health multiplier: 0 is healthy; see `LocalHealth`.
  public internal(set) var localHealth = 0

  var table = MemberTable()
  /// Suspect and dead members.
  var cases: [Case] = []
  var probes: [Probe] = []
  var relays: [Relay] = []
  var broadcasts = Broadcasts()
  /// Evidence that cannot be judged yet; see `hold`.
  var held: [Evidence] = []
  var flaps: [Int32: Flap] = [:]
  var measured = LatelyMeasured()
  var sync: SyncState
  var corrections = RateLimit(burst: 64, perSecond: 64)
  /// Accusations passed on to the accused after a comparison of views.
  var forwards = RateLimit(burst: 64, perSecond: 32)
  var accusationBudgets: [NodeID: RateLimit] = [:]
  var sequence: UInt32
  var probeOrder = ProbeOrder()
  /// Spreads the members' probes over the period.
  let phase: UInt64
  var seedHolders: [Int32]
  var seedTurn = 0
  var isStarted = false
  var started: Instant = .zero
  var isLeaving = false

  // When each kind of work is due; a bound from below, so that a wake-up may find nothing to do.
  var probeDue: Instant = .distantFuture
  var probesDue: Instant = .distantFuture
  var relaysDue: Instant = .distantFuture
  var casesDue: Instant = .distantFuture
  var gossipDue: Instant = .distantFuture
  var healingDue: Instant = .distantFuture
  var flapsDue: Instant = .distantFuture

  /// - Parameter seed: fixes every random choice.
  public init(
    identity: MemberIdentity, crypto: Crypto, configuration: Configuration, seed: UInt64
  ) {
    self.identity = identity
    self.crypto = crypto
    self.configuration = configuration
    rng = SeededGenerator(seed: seed)
    id = crypto.nodeID(of: identity.signer.publicKey)
    record = MemberRecord(
      subject: id, incarnation: Incarnation(bootEpoch: identity.bootEpoch, counter: 0),
      presence: .alive, addresses: identity.addresses, clusterSet: identity.clusterSet,
      signer: identity.signer)
    sequence = UInt32.random(in: 0...(.max), using: &rng) & ~7
    phase = UInt64.random(
      in: 0..<UInt64(max(1, configuration.probePeriod.milliseconds)), using: &rng)
    seedHolders = configuration.seeds.map { _ in -1 }
    sync = SyncState(period: configuration.syncPeriodMinimum)
    table.toggle(record, .alive)
  }

  /// When `tick` is due; may be early, never late.
  public var nextDeadline: Instant {
    min(
      min(min(probeDue, probesDue), min(relaysDue, casesDue)),
      min(min(gossipDue, healingDue), flapsDue))
  }

  public mutating func handle(_ input: Input, now: Now, effects: inout [Effect]) {
    let late = now.instant - nextDeadline
    if late > Self.pauseThreshold { resume(after: late) }
    switch input {
    case .tick: break
    case .messages(let sender, let messages):
      receive(messages, from: sender, now: now.instant, &effects)
    case .heard(let sender): hear(sender, now: now.instant, &effects)
    case .admitted(let peers):
      adopt(table.admission.adding(peers), now: now.instant, &effects)
    case .expelled(let ids):
      adopt(table.admission.removing(ids), now: now.instant, &effects)
    case .restored(let view): table.restore(view, own: record)
    case .admission(let admission): adopt(admission, now: now.instant, &effects)
    case .localAddressesChanged(let addresses):
      guard addresses != record.addresses, !isLeaving else { break }
      renew(addresses: addresses, now: now.instant)
    case .leave: leave(now: now.instant, &effects)
    case .streamProbeResult(let member, let reachable):
      if reachable { finishProbe(ofStreamTo: member, now: now.instant, &effects) }
    }
    runDue(now, &effects)
  }

  /// A tick later than this means that this process stood still.
  static let pauseThreshold: Duration = .seconds(1)

  /// The process was frozen: what did not answer meanwhile may have, so nothing is concluded from
  /// the time that we missed, and what was about to be concluded waits for as long as it was.
  private mutating func resume(after pause: Duration) {
    probes.removeAll()
    for i in cases.indices where cases[i].due < .distantFuture {
      cases[i].opened = cases[i].opened + pause
      cases[i].due = cases[i].due + pause
    }
    localHealth = min(localHealth + 1, configuration.localHealthMaximum)
    probesDue = .distantFuture
    casesDue = cases.reduce(.distantFuture) { min($0, $1.due) }
  }

  private mutating func runDue(_ now: Now, _ effects: inout [Effect]) {
    let instant = now.instant
    if probeDue <= instant { startRingProbe(now, &effects) }
    if probesDue <= instant { continueProbes(instant, &effects) }
    if relaysDue <= instant { expireRelays(instant, &effects) }
    if casesDue <= instant { judgeCases(instant, &effects) }
    if healingDue <= instant { heal(instant, &effects) }
    if flapsDue <= instant { settleFlaps(instant, &effects) }
    if gossipDue <= instant { gossip(instant, &effects) }
  }

  // MARK: Admission

  private mutating func adopt(
    _ next: Admission, now: Instant, _ effects: inout [Effect]
  ) {
    let before = table.admission
    let expelled = before.roster.ids.filter { $0 != id && !next.roster.contains($0) }
    if !expelled.isEmpty { expel(expelled, now: now, &effects) }
    if let moved = table.adopt(next, own: id, now: now) { move(moved) }
    if !isStarted {
      isStarted = true
      started = now
      // Jitter, so that peers started together do not probe together.
      probeDue = now + jitter(upTo: .milliseconds(200))
      healingDue = now + jitter(upTo: configuration.healingPeriod)
      if !configuration.seeds.isEmpty { healingDue = now }
    }
    if next.count > before.count - expelled.count { retryHeld(now: now, &effects) }
  }

  private mutating func expel(_ ids: [NodeID], now: Instant, _ effects: inout [Effect]) {
    for member in ids {
      guard let slot = table.slot(of: member) else { continue }
      let state = table[slot].state
      closeCase(of: slot)
      probes.removeAll { $0.slot == slot }
      relays.removeAll { $0.target == slot }
      flaps[slot] = nil
      accusationBudgets[member] = nil
      for i in seedHolders.indices where seedHolders[i] == slot { seedHolders[i] = -1 }
      table.remove(slot)
      if state != .unknown { effects.append(.event(.state(member, from: state, to: .unknown))) }
    }
    withdraw(accusationsBy: ids, now: now, &effects)
  }

  /// Follows the table where slots have moved; nobody who is gone is named here any more, but among
  /// those that were asked to help.
  private mutating func move(_ moved: [Int32]) {
    func new(_ slot: Int32) -> Int32 { slot < 0 ? -1 : moved[Int(slot)] }
    for i in cases.indices { cases[i].slot = new(cases[i].slot) }
    for i in probes.indices {
      probes[i].slot = new(probes[i].slot)
      probes[i].asked = probes[i].asked.map(new).filter { $0 >= 0 }
    }
    for i in relays.indices { relays[i].target = new(relays[i].target) }
    flaps = Dictionary(flaps.map { (new($0.key), $0.value) }, uniquingKeysWith: { $1 })
    seedHolders = seedHolders.map(new)
    measured.move(new)
  }

  // MARK: Word about oneself

  /// Signs a newer record of this peer and spreads it.
  mutating func renew(
    addresses: [String]? = nil, presence: MemberRecord.Presence = .alive,
    above other: Incarnation? = nil, now: Instant
  ) {
    let current = max(record.incarnation, other ?? record.incarnation)
    table.toggle(record, record.presence == .alive ? .alive : .left)
    record = MemberRecord(
      subject: id, incarnation: current.next, presence: presence,
      addresses: addresses ?? record.addresses, clusterSet: identity.clusterSet,
      signer: identity.signer)
    table.toggle(record, presence == .alive ? .alive : .left)
    // Three times as often as others' evidence: where our own packets are the ones that get lost,
    // nobody else can pass on what never arrived.
    broadcast(.record(record), urgent: true, weight: 3, now: now)
  }

  private mutating func leave(now: Instant, _ effects: inout [Effect]) {
    guard !isLeaving else { return }
    isLeaving = true
    renew(presence: .left, now: now)
    probes.removeAll()
    (probeDue, probesDue, healingDue) = (.distantFuture, .distantFuture, .distantFuture)
    // The process may end before the next round: tell as many as one burst allows.
    for slot in table.sample(8, suspects: true, using: &rng) {
      effects.append(.send(to: table.id(slot), [.evidence([.record(record)])]))
    }
  }

  mutating func jitter(upTo limit: Duration) -> Duration {
    .nanoseconds(Int64.random(in: 0...max(limit.nanoseconds, 0), using: &rng))
  }
}
