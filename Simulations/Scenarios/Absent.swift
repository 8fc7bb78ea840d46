internal import Base
internal import Peer
internal import Replication
internal import Simulator

extension Scenario {
  /// A cluster returns after a month with the disk of the day it left.
  static let absent30d = Scenario(
    name: "absent30d", summary: "a cluster returns after 30 days; deleted registers stay deleted",
    nodes: 4, least: 4
  ) { parameters in
    let fleet = Fleet("absent30d", parameters)
    let simulation = fleet.simulation
    fleet.settle(extra: .seconds(10))
    for number in 0..<20 {
      fleet.push(fleet.change("slice/s\(number)", ["cidr": "10.1.0.0/16"]), at: 1)
    }
    fleet.run(for: .seconds(5))
    // It writes something that nobody hears of, too.
    simulation.partition { $0 == 3 ? 1 : 0 }
    fleet.push(fleet.change("slice/late", ["cidr": "10.7.0.0/16"]), at: 3)
    fleet.run(for: .seconds(1))
    let old = simulation.machines[3].disk
    simulation.crash(3)
    simulation.heal()
    for number in 0..<10 { fleet.push(fleet.change("slice/s\(number)", nil), at: number % 3) }
    for number in 10..<20 {
      fleet.push(fleet.change("slice/s\(number)", ["cidr": "10.2.0.0/16"]), at: 0)
    }
    fleet.run(for: .seconds(parameters.seconds ?? 30 * 86_400))
    simulation.restart(3, from: old)
    let took = fleet.time(within: .seconds(60)) { fleet.isAccurate && fleet.agrees }
    fleet.note(times: took.map { [$0] } ?? [])
    if took == nil { fleet.violate("not the same everywhere a minute after the return") }
    for index in simulation.running {
      guard let state = simulation.peer(index)?.state else { continue }
      // What nobody had heard of is a change like any other.
      if state.value("slice/late") == nil { fleet.violate("slice/late is lost on peer \(index)") }
      for number in 0..<10 where state.value("slice/s\(number)") != nil {
        fleet.violate("slice/s\(number) is back on peer \(index)")
      }
    }
    return fleet
  }
}

extension Fleet {
  /// All running peers hold the same compared sets.
  var agrees: Bool {
    let running = simulation.running
    let first = running.first.flatMap {
      simulation.machines[$0].process?.peer.state.digest(.clusterset)
    }
    return running.allSatisfy {
      simulation.machines[$0].process?.peer.state.digest(.clusterset) == first
    }
  }
}
