internal import Base
internal import Peer
internal import Replication
internal import Slices

extension Rehearsal {
  /// An admin applies a slice's manifest as it would with the CLI: planned on what one peer shows, so
  /// that two who cannot see each other give one block to two clusters.
  func apply(_ number: Int, _ members: UInt64, _ admin: Int, _ at: Int) {
    guard admins.indices.contains(admin), let state = simulation.machines[at].process?.peer.state
    else { return }
    let (name, namespace) = ClusterAgent.slices[number]
    let clusters = simulation.machines.filter { members >> UInt64($0.index & 63) & 1 == 1 }
    let manifest = SliceManifest(
      name: name,
      network: SliceNetwork(
        cidr: IPPrefix(number == 0 ? "10.251.0.0/16" : "10.252.0.0/16"), maxClusters: 32),
      members: clusters.map {
        SliceMember(cluster: $0.configuration.cluster, namespaces: [namespace])
      })
    guard let plan = try? SlicePlan(applying: manifest, to: StateRegisters(state: state)),
      !plan.isEmpty
    else { return }
    let (signer, grant) = admins[admin]
    let writes = plan.writes.compactMap {
      state.write($0.path, $0.value, scope: $0.scope, author: signer.publicKey)
    }
    // Its clock is wrong by some seconds, and a revoked one backdates.
    let error = Int64(rng.below(8_000)) - (revoked.contains(admin) ? 60_000 : 4_000)
    let time = UInt64(Int64(simulation.wallMilliseconds) + error)
    push(set.signedApart(by: signer, under: grant, writes: writes, at: time), at, by: admin)
  }
}
