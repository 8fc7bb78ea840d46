internal import Base
internal import Peer
public import Replication
internal import Slices

extension Fleet {
  /// The slice `blue` with the clusters of these machines, as a manifest applied by the root.
  public func slice(of members: [Int], seenBy index: Int) -> Changeset? {
    guard let state = simulation.machines[index].process?.peer.state else { return nil }
    let (name, namespace) = ClusterAgent.slices[0]
    let manifest = SliceManifest(
      name: name, network: SliceNetwork(cidr: IPPrefix("10.251.0.0/16"), maxClusters: 64),
      members: members.map {
        SliceMember(
          cluster: simulation.machines[$0].configuration.cluster, namespaces: [namespace])
      })
    guard let plan = try? SlicePlan(applying: manifest, to: StateRegisters(state: state)) else {
      return nil
    }
    let writes = plan.writes.compactMap {
      state.write($0.path, $0.value, scope: $0.scope, author: set.root.publicKey)
    }
    return set.byRoot(writes: writes, at: simulation.wallMilliseconds)
  }
}
