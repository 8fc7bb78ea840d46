public import Base

/// A grant or a root version as it stands.
public struct GrantState: Hashable, Sendable {
  /// Of the changeset that makes it, or the genesis'.
  public var id: Digest
  public var grant: Grant
  /// Of a root version.
  public var root: RootKeys?
  /// The grant it was made under; `nil`: the genesis.
  public var parent: Digest?
  /// Who made it, and when; `nil`: the genesis.
  public var grantor: PublicKey?
  public var time: HybridTime?
  /// Why it does not count, `nil` where it does.
  public var void: NotCounting?
  /// Carries a floor above all time: the key is revoked, or the token is sealed. What the floor keeps
  /// stays, nothing new under the grant ever counts.
  public var revocation: Digest?
  /// The cluster whose records it may write.
  public var cluster: String?
  public var isToken: Bool
  /// The root change that took a root version's place.
  public var successor: Digest?

  /// Whether it counts, and so what is kept under it.
  public var isLive: Bool { void == nil }
  /// Revoked or sealed: what was kept under it lives, nothing new will.
  public var isClosed: Bool { revocation != nil }

  /// Whether its time is over for changesets made at `milliseconds`.
  public func isExpired(at milliseconds: UInt64) -> Bool {
    grant.notAfterMilliseconds.map { milliseconds > $0 } ?? false
  }
}

extension ReplicatedState {
  /// `nil` where it is not held.
  public func grant(_ id: Digest) -> GrantState? {
    engine.nodes[id].map(grantState)
  }

  /// All grants whose subject is this key, and root versions that have it, live ones first, then by time.
  public func grants(of key: PublicKey) -> [GrantState] {
    grants().filter { $0.root?.keys.contains(key) ?? ($0.grant.subject == key) }
  }

  /// All grants and root versions, live ones first, then by (time, ID).
  public func grants() -> [GrantState] {
    engine.nodes.values.map(grantState).sorted {
      if $0.isLive != $1.isLive { return $0.isLive }
      return ($0.time ?? .zero, $0.id) < ($1.time ?? .zero, $1.id)
    }
  }

  /// IDs of the changesets and root versions above a changeset, from the genesis down, itself not
  /// included; empty where it is not held.
  public func chain(of id: Digest) -> [Digest] {
    guard let slot = engine.slots[id] else { return [] }
    return engine.chain(engine.held[Int(slot)].parent).reversed().map {
      engine.grants[Int($0)].id
    }
  }

  /// The root version in force.
  public var rootVersion: Digest {
    var index: GrantIndex = 0
    while engine.grants[Int(index)].successor >= 0 {
      index = engine.held[Int(engine.grants[Int(index)].successor)].made
    }
    return engine.grants[Int(index)].id
  }

  public var root: RootKeys { grant(rootVersion)?.root ?? genesis.root }

  /// The cluster of every key with a live grant `own:<c>` of an admitted cluster that no floor has
  /// closed. Expiry is not looked
  /// at: it ends what a key may write, and `grant` tells it.
  public var admittedPeers: [PublicKey: String] {
    var out: [PublicKey: String] = [:]
    for cluster in engine.clusterGrants.keys.sorted() where isAdmitted(cluster) {
      for index in engine.clusterGrants[cluster] ?? []
      where engine.isUsable(index) {
        let key = engine.grants[Int(index)].grant.subject
        if out[key] == nil { out[key] = cluster }
      }
    }
    return out
  }

  /// The live grant `own:<cluster>` of a key, not revoked: the one made last, by (HLC, ID).
  public func ownGrant(of key: PublicKey, for cluster: String) -> Digest? {
    var best: (time: HybridTime, id: Digest)?
    for index in engine.clusterGrants[cluster] ?? []
    where engine.grants[Int(index)].grant.subject == key && engine.isUsable(index) {
      let node = engine.grants[Int(index)]
      let candidate = (engine.changeset(node.slot).time, node.id)
      if best.map({ $0 < candidate }) ?? true { best = candidate }
    }
    return best?.id
  }

  /// Whether there is a register `cluster/<c>`.
  public func isAdmitted(_ cluster: String) -> Bool {
    guard let record = index.record("cluster/\(cluster)", 0) else { return false }
    return index.records[Int(record)].isPresent
  }

  /// Clusters with a register `slice/<s>/member/<c>`.
  public func members(of slice: String) -> Set<String> {
    index.numbers[.slice(slice)].map(engine.members) ?? []
  }

  /// Slices with a member, ascending.
  public var slices: [String] {
    index.numbers.compactMap { scope, number in
      if case .slice(let name) = scope, !engine.members(number).isEmpty { name } else { nil }
    }.sorted()
  }

  /// Whether a cluster's peers are served a scope: the ClusterSet's to the admitted, a slice's to its
  /// members among them.
  public func mayRead(_ scope: Scope, cluster: String) -> Bool {
    guard isAdmitted(cluster) else { return false }
    guard case .slice(let slice) = scope else { return true }
    return members(of: slice).contains(cluster)
  }

  /// What needs a person's eye now, by grant ID.
  public var alarms: [StateAlarm] {
    engine.nodes.sorted { $0.key < $1.key }.compactMap { alarm(of: $0.value) }
  }

  private func grantState(_ index: GrantIndex) -> GrantState {
    let node = engine.grants[Int(index)]
    let changeset = node.slot < 0 ? nil : engine.changeset(node.slot)
    return GrantState(
      id: node.id, grant: node.grant, root: node.root, parent: changeset?.under,
      grantor: changeset?.author, time: changeset?.time,
      void: node.slot < 0 ? nil : engine.reason(node.slot, scopes: self.index.scopes.map(\.scope)),
      revocation: engine.revocation(index), cluster: node.cluster, isToken: node.isToken,
      successor: node.successor < 0 ? nil : engine.changeset(node.successor).id)
  }
}
