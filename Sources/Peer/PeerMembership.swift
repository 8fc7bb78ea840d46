internal import Base
internal import Membership
internal import Replication

extension Peer {
  mutating func member(_ input: Membership.Input, now: Now, effects: inout [Effect]) {
    var out: [Membership.Effect] = []
    membership.handle(input, now: now, effects: &out)
    for effect in out { perform(effect, now: now, effects: &effects) }
  }

  private mutating func perform(
    _ effect: Membership.Effect, now: Now, effects: inout [Effect]
  ) {
    switch effect {
    case .send(let to, let messages):
      effects.append(.datagram(to: to, messages.map { .membership(attaching(to: to, $0)) }))
    case .sendStream(let to, let message):
      effects.append(.frame(to: to, .membership(message)))
    case .streamProbe(let to):
      effects.append(.probeStream(to))
    case .contactSeed(let address):
      effects.append(.contactSeed(address, .introduce(introduction)))
    case .persistBootEpoch(let epoch):
      effects.append(.persistBootEpoch(epoch))
    case .event(.attachment(let from, let bytes)):
      compare(bytes, from: from, now: now, effects: &effects)
    case .event(let event):
      effects.append(.event(.membership(event)))
      if case .state(let node, let old, let new) = event {
        presenceChanged(of: node, from: old, to: new, now: now, effects: &effects)
      }
    }
  }

  /// Pings carry the digests of shared scopes; acks need not, since everybody pings.
  private mutating func attaching(
    to node: NodeID, _ message: Membership.Message
  ) -> Membership.Message {
    guard case .ping(var ping) = message else { return message }
    let shared = holders.keys.filter { holders[$0]?.contains(node) ?? false }.sorted()
    ping.attachment = attachment.next(
      shared, digest: { antiEntropy.digest($0) }, name: scopeName)
    return .ping(ping)
  }

  private func scopeName(_ scope: Scope) -> UInt32 {
    UInt32(truncatingIfNeeded: crypto.sha256(Array(scope.description.utf8)).words.0 >> 32)
  }

  private mutating func compare(
    _ bytes: [UInt8], from node: NodeID, now: Now, effects: inout [Effect]
  ) {
    guard let digests = try? ScopeAttachment.read(bytes) else { return }
    let known = holders.keys.filter { holders[$0]?.contains(node) ?? false }
    var named: [ScopeDigest] = []
    for (name, digest) in digests {
      for scope in known.sorted() where scopeName(scope) == name {
        named.append(ScopeDigest(scope: scope, digest: digest))
      }
    }
    if !named.isEmpty {
      recover(named, now: now, effects: &effects)
      sync(.digests(named, from: node), now: now, effects: &effects)
    }
  }

  private mutating func presenceChanged(
    of node: NodeID, from old: MemberState, to new: MemberState, now: Now,
    effects: inout [Effect]
  ) {
    guard old.isPresent != new.isPresent else { return }
    refreshHolders(now: now, effects: &effects)
    if new.isPresent {
      sync(.contact(node), now: now, effects: &effects)
    }
  }

  /// The state admits other peers now, or other clusters take part in slices.
  mutating func trustChanged(now: Now, effects: inout [Effect]) {
    var next: [NodeID: AdmittedPeer] = [:]
    for (key, cluster) in state.admittedPeers {
      let node = crypto.nodeID(of: key)
      let addresses = recordedAddresses(of: key, cluster: cluster)
      if let known = admitted[node], known.cluster == cluster, known.addresses == addresses {
        next[node] = known
      } else {
        next[node] = AdmittedPeer(key: key, cluster: cluster, addresses: addresses, crypto: crypto)
      }
    }
    let expelled = admitted.keys.filter { next[$0] == nil }.sorted()
    let changed = next.values.filter { admitted[$0.id] !== $0 }.sorted { $0.id < $1.id }
    let isFirst = admitted.isEmpty
    admitted = next
    if !expelled.isEmpty { member(.expelled(expelled), now: now, effects: &effects) }
    if !changed.isEmpty || isFirst { member(.admitted(changed), now: now, effects: &effects) }
    if !changed.isEmpty || !expelled.isEmpty { effects.append(.peersChanged) }
    refreshHolders(now: now, effects: &effects)
  }

  /// `cluster/<c>/info` lists its peers with their addresses.
  private func recordedAddresses(of key: PublicKey, cluster: String) -> [String] {
    let info = state.value("cluster/\(cluster)/info", scope: .clusterset)
    let peer = info?["peers"]?.list?.first { $0["key"]?.bytes == key.bytes }
    return peer?["addresses"]?.list?.compactMap(\.string) ?? []
  }

  /// Tells dissemination and anti-entropy who holds which scope, and how far away they are.
  mutating func refreshHolders(now: Now, effects: inout [Effect]) {
    let mine = configuration.cluster
    // Who may hold a scope; `nil`: everyone.
    var clusters: [(scope: Scope, allowed: Set<String>?)] = [(.clusterset, nil)]
    for slice in state.slices.sorted() {
      let members = state.members(of: slice)
      if members.contains(mine) { clusters.append((.slice(slice), members)) }
    }
    let held = Set(clusters.map(\.scope))
    var out: [SyncEffect] = []
    for scope in holders.keys.sorted() where !held.contains(scope) {
      holders[scope] = nil
      antiEntropy.handle(.scopeDropped(scope), source: state, now: now, effects: &out)
      dissemination.handle(.scopeDropped(scope), source: state, now: now, effects: &out)
    }
    guard admitted[id] != nil else { return perform(out, now: now, effects: &effects) }
    for (scope, allowed) in clusters {
      let all = admitted.values
        .filter { $0.id != id && allowed?.contains($0.cluster) ?? true }
        .map(\.id).sorted()
      holders[scope] = all
      let present = all.filter { membership.member($0)?.state.isPresent ?? false }
      let peers = present.map { SyncPeer(id: $0, roundTrip: membership.estimatedRTT(to: $0)) }
      antiEntropy.handle(.members(scope, peers), source: state, now: now, effects: &out)
      dissemination.handle(.members(scope, peers), source: state, now: now, effects: &out)
    }
    perform(out, now: now, effects: &effects)
  }
}
