public import Base
internal import Membership
public import Replication

extension Peer {
  /// Takes changesets into the state and does what follows from it.
  mutating func take(
    _ changesets: [Changeset], from origin: NodeID?, _ arrival: Arrival, now: Now,
    effects: inout [Effect]
  ) -> [Verdict] {
    var verdicts: [Verdict] = []
    verdicts.reserveCapacity(changesets.count)
    for changeset in changesets {
      var changes = StateChanges()
      let outcome = state.ingest(changeset, now: now, changes: &changes)
      verdicts.append(Verdict(id: changeset.id, outcome: outcome))
      if outcome.isWorthReporting {
        rejectedCount += 1
        effects.append(
          .event(.refused(changeset.id, author: changeset.author, from: origin, outcome)))
      }
      if let origin, arrival == .pushed {
        compareClocks(changeset, from: origin, now, &effects)
        if case .pending(let grant) = outcome {
          ask(for: grant, of: origin, now: now, effects: &effects)
        }
      }
      clock.observe(changeset.time, now: now)
      apply(changes, from: origin, arrival, now: now, effects: &effects)
    }
    return verdicts
  }

  /// Whoever pushes what acts under a grant holds the grant: as good as an announcement of it.
  private mutating func ask(
    for grant: Digest, of origin: NodeID, now: Now, effects: inout [Effect]
  ) {
    var out: [SyncEffect] = []
    dissemination.handle(
      .message(.announce([grant]), from: origin), source: state, now: now, effects: &out)
    perform(out, now: now, effects: &effects)
  }

  /// What is pushed was made a moment ago, so its time is that of its author's clock, or of a clock that
  /// its author has heard of.
  private func compareClocks(
    _ changeset: Changeset, from origin: NodeID, _ now: Now, _ effects: inout [Effect]
  ) {
    let theirs = changeset.time.milliseconds
    let tolerance = UInt64(max(0, configuration.clockTolerance.milliseconds))
    guard theirs > now.wallMilliseconds, theirs - now.wallMilliseconds > tolerance else { return }
    let cluster = admitted[crypto.nodeID(of: changeset.author)]?.cluster
    effects.append(.event(.clockBehind(cluster, theirs - now.wallMilliseconds)))
  }

  mutating func apply(
    _ changes: StateChanges, from origin: NodeID?, _ arrival: Arrival, now: Now,
    effects: inout [Effect]
  ) {
    if !changes.toStore.isEmpty {
      unstored.formUnion(changes.toStore.map(\.id))
      effects.append(.store(changes.toStore))
    }
    if !changes.toForget.isEmpty { effects.append(.forget(changes.toForget)) }
    for alarm in changes.alarms { effects.append(.event(.alarm(alarm))) }
    var out: [SyncEffect] = []
    for change in changes.compared {
      antiEntropy.handle(
        .setChanged(change.scope, inserted: change.inserted, removed: change.removed),
        source: state, now: now, effects: &out)
      for id in change.inserted {
        guard let changeset = state.changeset(id) else { continue }
        dissemination.handle(
          .accepted(changeset, from: origin, arrival), source: state, now: now, effects: &out)
      }
    }
    perform(out, now: now, effects: &effects)
    if !changes.registers.isEmpty { effects.append(.registersChanged(changes.registers)) }
    if changes.touchesTrust || changes.registers.contains(where: \.concernsPeers) {
      let mayVouchAnew = changes.registers.contains(where: \.concernsRecords)
      trustChanged(mayVouchAnew: mayVouchAnew, now: now, effects: &effects)
      // What comes together is known together.
      recordIsDue = true
    }
  }

  /// Marks the newest change of a slice that reconcilers failed on: whoever looks for what went wrong
  /// finds it there.
  mutating func quarantine(_ slice: String, _ complaint: String?) {
    if let before = failing.removeValue(forKey: slice) { state.endQuarantine(before) }
    guard let complaint else { return }
    let newest = state.registers(prefix: "slice/\(slice)")
      .filter { $0.path == "slice/\(slice)" || $0.path.hasPrefix("slice/\(slice)/") }
      .map(\.effective).max { ($0.time, $0.changeset) < ($1.time, $1.changeset) }
    guard let newest else { return }
    state.quarantine(newest.changeset, because: complaint)
    failing[slice] = newest.changeset
  }

  mutating func stored(_ ids: [Digest], now: Now, effects: inout [Effect]) {
    unstored.subtract(ids)
    var out: [SyncEffect] = []
    tracking.handle(
      .applied(ids.filter(isApplied)), isApplied: isApplied, now: now, effects: &out)
    perform(out, now: now, effects: &effects)
  }

  /// Durably stored and visible here.
  var isApplied: (Digest) -> Bool {
    { [state, unstored] id in state.counts(id) && !unstored.contains(id) }
  }

  mutating func track(
    _ digest: Digest, until: Instant, now: Now, effects: inout [Effect]
  ) {
    let scope = state.changeset(digest)?.scope ?? .clusterset
    var out: [SyncEffect] = []
    tracking.handle(
      .track(digest, members: holders(of: scope) + [id], until: until),
      isApplied: isApplied, now: now, effects: &out)
    perform(out, now: now, effects: &effects)
  }

  /// Someone who may not be admitted says who it is; what it brings is judged like any changeset, and
  /// answered by what proves this peer's own admission, and that of the cluster which it joins: the token
  /// of a cluster's later peers leaves out what all others know.
  mutating func meet(
    _ changesets: [Changeset], on connection: ConnectionID, now: Now, effects: inout [Effect]
  ) {
    guard changesets.count <= PeerMessage.introductionLimit else { return }
    let verdicts = take(changesets, from: nil, .pushed, now: now, effects: &effects)
    // Without the record in the answer the other side could not vouch for this peer's streams.
    if recordIsDue { keepRecord(now: now, effects: &effects) }
    if let refused = verdicts.first(where: { $0.outcome.isWorthReporting }) {
      effects.append(.answer(connection, .refused(refused.outcome.sentence)))
    } else {
      let newcomer = changesets.compactMap(\.grant).map { crypto.nodeID(of: $0.subject) }
        .first { admitted[$0] != nil }
      effects.append(.answer(connection, .introduce(introduction(to: newcomer))))
    }
  }

  /// What proves this peer's admission to someone who holds nothing but the genesis; with what admits
  /// the other's cluster, where it is known who that is.
  public func introduction(to node: NodeID? = nil) -> [Changeset] {
    guard let grant = ownGrant else { return [] }
    let clusters = [configuration.cluster, node.flatMap { admitted[$0]?.cluster }]
    let records = clusters.compactMap { $0 }.flatMap { cluster in
      ["cluster/\(cluster)", "cluster/\(cluster)/info"].compactMap {
        state.register($0, scope: .clusterset)?.effective.changeset
      }
    }
    var proof: [Digest] = []
    for id in [grant] + records {
      for link in state.chain(of: id) + [id] where !proof.contains(link) { proof.append(link) }
    }
    return proof.prefix(PeerMessage.introductionLimit).compactMap { state.changeset($0) }
  }

  // MARK: Dissemination and anti-entropy

  mutating func sync(_ input: AntiEntropy.Input, now: Now, effects: inout [Effect]) {
    var out: [SyncEffect] = []
    antiEntropy.handle(input, source: state, now: now, effects: &out)
    perform(out, now: now, effects: &effects)
  }

  mutating func receive(
    _ message: SyncMessage, from sender: NodeID, now: Now, effects: inout [Effect]
  ) {
    var out: [SyncEffect] = []
    switch message {
    case .push, .announce, .graft, .prune:
      dissemination.handle(
        .message(message, from: sender), source: state, now: now, effects: &out)
    case .track, .applied:
      tracking.handle(
        .message(message, from: sender), isApplied: isApplied, now: now, effects: &out)
    case .digests(let digests, _):
      recover(digests, from: sender, now: now, effects: &effects)
      antiEntropy.handle(.message(message, from: sender), source: state, now: now, effects: &out)
    default:
      antiEntropy.handle(.message(message, from: sender), source: state, now: now, effects: &out)
    }
    perform(out, now: now, effects: &effects)
  }

  mutating func perform(_ out: [SyncEffect], now: Now, effects: inout [Effect]) {
    for effect in out {
      switch effect {
      case .send(let to, let message, let reliable):
        effects.append(
          reliable ? .frame(to: to, .sync(message)) : .datagram(to: to, [.sync(message)]))
      case .deliver(let changesets, let from, let arrival):
        _ = take(changesets, from: from, arrival, now: now, effects: &effects)
      case .confirmed(let digest, let node):
        effects.append(.confirmed(digest, by: node))
      case .event(let event):
        if case .sessionEnded(let report) = event {
          recover(report, now: now, effects: &effects)
        }
        effects.append(.event(.sync(event)))
      }
    }
  }
}

extension RegisterName {
  /// Whether it decides who the peers are, where they are, or which scopes they hold.
  var concernsPeers: Bool {
    guard scope == .clusterset else { return false }
    return path.hasPrefix("cluster/") || path.contains("/member/")
  }

  /// Whether it says which CAs vouch for peers.
  var concernsRecords: Bool {
    scope == .clusterset && path.hasPrefix("cluster/") && path.hasSuffix("/info")
  }
}

extension Peer {
  /// Whether a changeset was given to the store and is not on disk yet.
  public func isUnstored(_ id: Digest) -> Bool { unstored.contains(id) }

  /// What the store has not confirmed, for a disk that works again; ascending by ID.
  public var unstoredChangesets: [Changeset] {
    unstored.sorted().compactMap { state.changeset($0) }
  }
}
