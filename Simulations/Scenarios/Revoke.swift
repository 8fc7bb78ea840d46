internal import Base
internal import Peer
internal import Replication
internal import Simulator

extension Scenario {
  /// An admin is revoked in one half of a partition while it goes on writing, with a backdated clock,
  /// in the other: what the floor does not keep vanishes everywhere, and what it covered is back.
  static let revoke = Scenario(
    name: "revoke", summary: "a revoked admin backdates its writes in half of a partition",
    nodes: 30, least: 4
  ) { parameters in
    let fleet = Fleet("revoke", parameters)
    fleet.settle()
    let simulation = fleet.simulation
    let admin = simulation.world.signer(1_000_000 + parameters.seed)
    let grant = fleet.set.byRoot(
      grant: Grant(subject: admin.publicKey, capabilities: [.slice("*")]),
      at: simulation.wallMilliseconds)
    fleet.push(grant, at: 0)
    for name in ["one", "two"] {
      fleet.push(fleet.change("slice/\(name)", ["cidr": "10.1.0.0/16"]), at: 1)
    }
    fleet.run(for: .seconds(2))
    func write(_ path: String, at index: Int, backdated: UInt64 = 0) -> Changeset? {
      let state = simulation.machines[index].process?.peer.state
      guard let write = state?.write(path, ["cidr": "10.6.6.0/24"], author: admin.publicKey) else {
        return nil
      }
      return fleet.set.signedApart(
        by: admin, under: grant.id, writes: [write],
        at: simulation.wallMilliseconds - backdated)
    }
    guard let kept = write("slice/kept", at: 2) else { return fleet }
    fleet.push(kept, at: 2)
    fleet.run(for: .seconds(2))
    let half = parameters.nodes / 2
    simulation.partition { $0 < half ? 0 : 1 }
    let floor = fleet.set.byRoot(
      floors: [Floor(grant: grant.id, time: .max, keep: [kept.id])],
      at: simulation.wallMilliseconds)
    fleet.push(floor, at: 0)
    var voided: [Digest] = []
    for (number, path) in ["slice/one", "slice/two", "slice/new"].enumerated() {
      let backdated = UInt64(number) * 20_000
      guard let change = write(path, at: half, backdated: backdated) else { continue }
      voided.append(change.id)
      fleet.push(change, at: half)
      fleet.run(for: .seconds(1))
    }
    fleet.run(for: .seconds(parameters.seconds ?? 60))
    simulation.heal()
    func isRight(_ index: Int) -> Bool {
      guard let state = simulation.machines[index].process?.peer.state else { return false }
      return state.counts(kept.id) && !voided.contains(where: state.counts)
        && state.value("slice/new") == nil
        && ["one", "two"].allSatisfy {
          state.value("slice/\($0)")?["cidr"] == "10.1.0.0/16"
        }
    }
    let took = fleet.time(within: .seconds(60)) { simulation.running.allSatisfy(isRight) }
    fleet.note(times: took.map { [$0] } ?? [])
    if took == nil { fleet.violate("voided writes are visible, or what they covered is not") }
    let views = Set(simulation.running.map { simulation.peer($0)?.state.viewHash(.clusterset) })
    if views.count != 1 { fleet.violate("\(views.count) different views") }
    return fleet
  }
}
