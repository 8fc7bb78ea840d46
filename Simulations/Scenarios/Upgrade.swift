internal import Base
internal import Peer
internal import Replication
internal import Simulator

extension Scenario {
  /// One peer after the other is restarted with a release that says more than this one understands, and a
  /// few of them go back. What they do not understand they pass over or keep, byte for byte.
  static let upgrade = Scenario(
    name: "upgrade",
    summary: "a rolling upgrade to a later release, and half of it back, on real bytes",
    nodes: 24
  ) { parameters in
    var parameters = parameters
    parameters.world = DaemonWire.world()
    let fleet = Fleet("upgrade", parameters)
    let simulation = fleet.simulation
    guard let wire = parameters.world.wire as? DaemonWire else { return fleet }
    fleet.settle(extra: .seconds(10))
    // Every hundredth packet has a bit turned over, too.
    simulation.network.corruption = 0.01
    var written: [String: Value] = [:]
    func push(_ path: String, at index: Int) {
      let value: Value = ["cidr": .string("10.\(written.count).\(index).0/24")]
      written[path] = value
      fleet.push(fleet.change(path, value), at: index)
    }
    func restart(_ index: Int, newer: Bool) {
      simulation.crash(index)
      if newer { wire.newer.insert(index) } else { wire.newer.remove(index) }
      fleet.run(for: .seconds(2))
      simulation.restart(index)
      fleet.run(for: .seconds(3))
    }
    for index in 0..<parameters.nodes {
      // Half way, admins sign with the later release.
      if index == parameters.nodes / 2 { wire.renew(author: fleet.set.root.publicKey) }
      restart(index, newer: true)
      push("slice/up\(index)", at: index)
      push("slice/up\(index)", at: (index + 7) % parameters.nodes)
    }
    for index in 0..<parameters.nodes where index % 2 == 0 {
      restart(index, newer: false)
      push("slice/down\(index)", at: index)
    }
    let took = fleet.time(within: .seconds(60)) { fleet.isAccurate && fleet.agrees }
    fleet.note(times: took.map { [$0] } ?? [])
    if took == nil { fleet.violate("not the same everywhere a minute after the upgrade") }
    for index in simulation.running {
      guard let state = simulation.machines[index].process?.peer.state else { continue }
      let lost = written.filter { state.value($0.key) != $0.value }
      if !lost.isEmpty { fleet.violate("peer \(index) does not see \(lost.count) changes") }
    }
    if wire.unopened == 0 { fleet.violate("no corrupted packet was noticed") }
    return fleet
  }
}
