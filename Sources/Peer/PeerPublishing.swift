internal import Base
internal import Membership
internal import Replication
internal import Slices

extension Peer {
  /// Wants the cluster's record with this peer in it, whatever other peers of the cluster make of it.
  ///
  /// Who joins a cluster that others know is told its record along with its admission; to write before
  /// would be to disagree with it.
  mutating func keepRecord(now: Now, effects: inout [Effect]) {
    recordIsDue = false
    guard let record, admitted[id] != nil else { return }
    let name = RegisterName(
      scope: .clusterset, path: SlicePath.clusterInfo(configuration.cluster).text)
    let peers = admitted.values.filter { $0.cluster == configuration.cluster }
    let value = ClusterRecordReconciler.desired(
      state.value(name.path, scope: name.scope).flatMap { try? ClusterInfo($0) }, own: record,
      admitted: Set(peers.map(\.key))
    ).value
    guard wanted[name] != .some(value) || state.value(name.path, scope: name.scope) != value else {
      return
    }
    wanted[name] = value
    publish(now: now, effects: &effects)
  }

  /// Writes what this cluster's reconcilers want and the state does not show yet.
  ///
  /// Writes need a live grant of this peer's own; without one (not enrolled yet, or removed) what is
  /// wanted is kept and written when there is one.
  mutating func publish(now: Now, effects: inout [Effect]) {
    guard let grant = ownGrant else { return }
    var byScope: [Scope: [(path: String, value: Value?)]] = [:]
    for (name, value) in wanted.sorted(by: { $0.key < $1.key }) {
      guard mayWrite(name.scope), knowsOwnWrites(name.scope),
        state.value(name.path, scope: name.scope) != value
      else {
        continue
      }
      byScope[name.scope, default: []].append((name.path, value))
    }
    for scope in byScope.keys.sorted() {
      let writes = byScope[scope] ?? []
      for start in stride(from: 0, to: writes.count, by: Self.writesPerChangeset) {
        let batch = writes[start..<min(start + Self.writesPerChangeset, writes.count)]
        publish(Array(batch), scope: scope, under: grant, now: now, effects: &effects)
      }
    }
  }

  /// What allows this peer to write: `nil` while it is not enrolled, or removed.
  var ownGrant: Digest? {
    state.ownGrant(of: configuration.signer.publicKey, for: configuration.cluster)
  }

  /// Below the bound of 256: shards of 100 endpoints must fit into 64 KiB too.
  static let writesPerChangeset = 16

  private func mayWrite(_ scope: Scope) -> Bool {
    switch scope {
    case .clusterset: true
    case .slice(let name): state.members(of: name).contains(configuration.cluster)
    }
  }

  private mutating func publish(
    _ writes: [(path: String, value: Value?)], scope: Scope, under grant: Digest, now: Now,
    effects: inout [Effect]
  ) {
    let author = configuration.signer.publicKey
    var draft = self.draft(scope, under: grant, now: now)
    draft.writes = writes.compactMap { path, value in
      state.write(path, value, scope: scope, author: author)
    }
    guard !draft.writes.isEmpty else { return }
    publish(draft, now: now, effects: &effects)
  }

  private mutating func draft(_ scope: Scope, under grant: Digest, now: Now) -> Changeset {
    Changeset(
      id: .zero, body: [], endorsements: [], clusterSet: configuration.genesis.id, scope: scope,
      under: grant, author: configuration.signer.publicKey, time: clock.next(now: now))
  }

  /// Signs and takes a changeset of this peer's own.
  private mutating func publish(_ draft: Changeset, now: Now, effects: inout [Effect]) {
    var changeset = configuration.seal(draft)
    changeset.endorsements = [
      Endorsement(
        key: changeset.author, signature: configuration.signer.sign(changeset.signedBytes))
    ]
    let verdicts = take([changeset], from: nil, .pushed, now: now, effects: &effects)
    if let refused = verdicts.first, refused.outcome.isWorthReporting {
      effects.append(.event(.cannotPublish(refused.outcome.sentence)))
    }
  }

  /// Own changesets that show nowhere any more before they are worth a compaction.
  static let compactionGain = 16

  /// Signs the oldest of its own live writes again, where that lets enough deletions be forgotten.
  mutating func compact(now: Now, effects: inout [Effect]) {
    guard let grant = ownGrant else { return }
    for scope in held.keys.sorted() where mayWrite(scope) && knowsOwnWrites(scope) {
      guard
        let step = state.compaction(under: grant, scope: scope, gaining: Self.compactionGain)
      else { continue }
      var draft = self.draft(scope, under: grant, now: now)
      draft.writes = step.writes
      draft.floors = [step.floor]
      publish(draft, now: now, effects: &effects)
    }
  }
}
