public import Base
public import Membership
public import Replication
internal import Slices

/// One peer: membership, replicated state and its spreading, composed into one state machine.
///
/// The daemon and the simulator run this same struct. It knows no sockets, disks or clocks; every
/// input is handled at once and what is to be done comes out as effects, in order.
public struct Peer: Sendable {
  public let configuration: PeerConfiguration
  public let id: NodeID
  let crypto: Crypto

  public internal(set) var state: ReplicatedState
  public internal(set) var membership: Membership
  var antiEntropy: AntiEntropy
  var dissemination: Dissemination
  var tracking: ApplyTracking
  var clock: HybridClock

  /// Peers that the state admits, with the addresses of their cluster's record; self included.
  public internal(set) var admitted = Admission.empty
  /// The scopes that this peer holds.
  var held: [Scope: HeldScope] = [:]
  /// Their names, ascending.
  var heldScopes: [Scope] = []
  /// Until the start.
  var groundwork: Groundwork?
  /// Changesets given to the store and not on disk yet.
  var unstored: Set<Digest> = []
  /// What this cluster's reconcilers want, by register; written anew when the state differs.
  var wanted: [RegisterName: Value?] = [:]
  /// This peer's part of its cluster's record.
  var record: ClusterInfo?
  /// It may have to be written anew, after all that this input brings.
  var recordIsDue = false
  /// By slice, the changeset since which reconcilers cannot act on it.
  var failing: [String: Digest] = [:]
  var attachment = ScopeAttachment()
  /// What this peer has learned already, where it began without what others know.
  var recovery: Recovery?
  /// Changesets that were not taken since the start.
  public internal(set) var rejectedCount: UInt64 = 0
  /// When round trips are told to the overlays next, and own writes are looked through.
  var overlayDue: Instant = .distantFuture

  /// How often overlays follow measured round trips; and how soon they follow members that come.
  static let overlayInterval: Duration = .seconds(60)
  static let overlayDelay: Duration = .seconds(2)

  /// - Parameter state: rebuilt from the store; empty for a new peer.
  /// - Parameter groundwork: of this state, where somebody has made it; see there.
  public init(
    _ configuration: PeerConfiguration, state: ReplicatedState, crypto: Crypto,
    groundwork: Groundwork? = nil
  ) {
    self.groundwork = groundwork
    self.configuration = configuration
    self.crypto = crypto
    self.state = state
    var rng = SeededGenerator(seed: configuration.seed)
    id = crypto.nodeID(of: configuration.signer.publicKey)
    membership = Membership(
      identity: MemberIdentity(
        signer: configuration.signer, cluster: configuration.cluster,
        clusterSet: configuration.genesis.id, bootEpoch: configuration.bootEpoch,
        addresses: configuration.addresses),
      crypto: crypto, configuration: configuration.membership, seed: rng.next())
    var entropy = AntiEntropy.Options()
    entropy.controlBudget = configuration.gossipBudget
    antiEntropy = AntiEntropy(local: id, options: entropy, seed: rng.next())
    var spreading = Dissemination.Options()
    spreading.budget = configuration.gossipBudget
    dissemination = Dissemination(local: id, options: spreading, seed: rng.next())
    tracking = ApplyTracking(local: id, seed: rng.next())
    clock = HybridClock(latest: state.latestTime)
    recovery = Recovery(
      configuration, knowsItsRecord: knowsRecord(of: configuration.cluster))
  }

  /// Whether nothing of a scope is known to differ from what others hold.
  public func isSynced(_ scope: Scope) -> Bool {
    held[scope] == nil || (antiEntropy.sessionCount == 0 && isKnown(scope))
  }

  /// When `tick` is due at the latest.
  public var nextDeadline: Instant {
    var earliest = min(membership.nextDeadline, overlayDue)
    if let due = antiEntropy.nextDeadline { earliest = min(earliest, due) }
    if let due = dissemination.nextDeadline { earliest = min(earliest, due) }
    if let due = tracking.nextDeadline { earliest = min(earliest, due) }
    if let due = state.nextDeadline { earliest = min(earliest, due) }
    return earliest
  }

  public mutating func handle(_ input: Input, now: Now, effects: inout [Effect]) {
    switch input {
    case .start: start(now: now, effects: &effects)
    case .received(let sender, let messages):
      receive(messages, from: sender, now: now, effects: &effects)
    case .introduced(let connection, let changesets):
      meet(changesets, on: connection, now: now, effects: &effects)
    case .submitted(let changesets, let ticket):
      let verdicts = take(changesets, from: nil, .pushed, now: now, effects: &effects)
      effects.append(.judged(ticket: ticket, verdicts))
    case .publish(let registers):
      for register in registers {
        wanted[RegisterName(scope: register.scope, path: register.path)] = register.value
      }
      publish(now: now, effects: &effects)
    case .record(let own):
      record = own
      keepRecord(now: now, effects: &effects)
    case .reconciled(let slice, let complaint): quarantine(slice, complaint)
    case .relinquish: wanted = wanted.filter { $0.key.scope == .clusterset }
    case .stored(let ids): stored(ids, now: now, effects: &effects)
    case .track(let id, let until): track(id, until: until, now: now, effects: &effects)
    case .streamProbe(let node, let reachable):
      member(.streamProbeResult(node, reachable: reachable), now: now, effects: &effects)
    case .addresses(let addresses):
      member(.localAddressesChanged(addresses), now: now, effects: &effects)
    case .leave: member(.leave, now: now, effects: &effects)
    case .tick: tick(now: now, effects: &effects)
    }
    if recordIsDue { keepRecord(now: now, effects: &effects) }
  }

  private mutating func start(now: Now, effects: inout [Effect]) {
    let groundwork = groundwork ?? Groundwork(state, crypto: crypto)
    self.groundwork = nil
    for (scope, index) in groundwork.indexes {
      sync(.restored(scope, index), now: now, effects: &effects)
    }
    if let view = groundwork.view {
      member(.restored(view), now: now, effects: &effects)
    }
    adopt(groundwork.admission, now: now, effects: &effects)
    overlayDue = now.instant + .seconds(5)
  }

  private mutating func tick(now: Now, effects: inout [Effect]) {
    member(.tick, now: now, effects: &effects)
    if let due = state.nextDeadline, due <= now.instant {
      var changes = StateChanges()
      state.release(now: now, changes: &changes)
      apply(changes, from: nil, .reconciled, now: now, effects: &effects)
    }
    if overlayDue <= now.instant {
      overlayDue = now.instant + Self.overlayInterval
      refreshHolders(now: now, effects: &effects)
      compact(now: now, effects: &effects)
    }
    let instant = now.instant
    func isDue(_ deadline: Instant?) -> Bool { deadline.map { $0 <= instant } ?? false }
    if isDue(antiEntropy.nextDeadline) { sync(.tick, now: now, effects: &effects) }
    var out: [SyncEffect] = []
    if isDue(dissemination.nextDeadline) {
      dissemination.handle(.tick, source: state, now: now, effects: &out)
    }
    if isDue(tracking.nextDeadline) {
      tracking.handle(.tick, isApplied: isApplied, now: now, effects: &out)
    }
    perform(out, now: now, effects: &effects)
  }

  private mutating func receive(
    _ messages: [PeerMessage], from sender: NodeID, now: Now, effects: inout [Effect]
  ) {
    guard admitted.roster.contains(sender) else { return }
    var about: [Membership.Message] = []
    for message in messages {
      switch message {
      case .membership(let message): about.append(message)
      case .sync(let message): receive(message, from: sender, now: now, effects: &effects)
      case .streamPing(let nonce):
        effects.append(.frame(to: sender, .streamPong(nonce)))
      case .streamPong:
        member(.streamProbeResult(sender, reachable: true), now: now, effects: &effects)
      case .introduce(let changesets):
        // It is admitted already; what it brings may still be news.
        _ = take(changesets, from: sender, .reconciled, now: now, effects: &effects)
      case .refused(let reason):
        effects.append(.event(.refusedBy(sender, reason)))
      }
    }
    member(
      about.isEmpty ? .heard(sender) : .messages(from: sender, about), now: now, effects: &effects)
  }
}
