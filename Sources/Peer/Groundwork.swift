public import Base
public import Membership
public import Replication

/// What a peer works out of its state when it starts: whom the state admits, and what anti-entropy keeps
/// of each set. Peers of one process with equal states may share it, as those of a simulation do.
public struct Groundwork: Sendable {
  let admission: Admission
  /// Ascending by scope.
  let indexes: [(scope: Scope, index: ScopeIndex)]

  let view: MembershipView?

  /// - Parameter records: of members that are known to be there.
  public init(_ state: ReplicatedState, crypto: Crypto, records: [MemberRecord] = []) {
    let admission = Self.admission(state, crypto, known: .empty)
    self.admission = admission
    view = records.isEmpty ? nil : MembershipView(admission, records: records)
    indexes = state.scopes.sorted().map { scope in
      var index = ScopeIndex()
      for id in state.compared(scope) { index.insert(id) }
      return (scope, index)
    }
  }

  /// `known` itself where nothing has changed.
  static func admission(
    _ state: ReplicatedState, _ crypto: Crypto, known: Admission
  ) -> Admission {
    var peers: [AdmittedPeer] = []
    var isNew = false
    for (key, cluster) in state.admittedPeers {
      let addresses = recordedAddresses(state, of: key, cluster: cluster)
      if let old = known[crypto.nodeID(of: key)], old.cluster == cluster,
        old.addresses == addresses
      {
        peers.append(old)
      } else {
        isNew = true
        peers.append(
          AdmittedPeer(key: key, cluster: cluster, addresses: addresses, crypto: crypto))
      }
    }
    return isNew || peers.count != known.count ? Admission(peers) : known
  }

  /// `cluster/<c>/info` lists its peers with their addresses.
  private static func recordedAddresses(
    _ state: ReplicatedState, of key: PublicKey, cluster: String
  ) -> [String] {
    let info = state.value("cluster/\(cluster)/info", scope: .clusterset)
    let peer = info?["peers"]?.list?.first { $0["key"]?.bytes == key.bytes }
    return peer?["addresses"]?.list?.compactMap(\.string) ?? []
  }
}
