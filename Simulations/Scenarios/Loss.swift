internal import Base
internal import Membership
internal import Peer
internal import Simulator

extension Scenario {
  /// Most of what two peers say is lost, what is said to them is not.
  static let oneway = Scenario(
    name: "oneway", summary: "two peers lose 80 % of what they send, for a minute", nodes: 60,
    least: 4
  ) { parameters in
    let fleet = Fleet("oneway", parameters)
    fleet.settle()
    for index in 0..<2 { fleet.simulation.network.egressLoss[index] = parameters.loss ?? 0.8 }
    fleet.measureBytes { fleet.run(for: .seconds(parameters.seconds ?? 60)) }
    fleet.simulation.network.egressLoss = [:]
    let again = fleet.time(within: .seconds(120), every: .milliseconds(100)) {
      fleet.isAccurate && fleet.allAlive
    }
    fleet.note(times: again.map { [$0] } ?? [])
    if again == nil { fleet.violate("not everybody is alive again two minutes later") }
    return fleet
  }

  static let loss30 = Scenario(
    name: "loss30", summary: "30 % loss on every link for ten minutes", nodes: 60
  ) { parameters in
    let fleet = Fleet("loss30", parameters)
    fleet.settle()
    fleet.simulation.network.loss = parameters.loss ?? 0.3
    fleet.measureBytes { fleet.run(for: .seconds(parameters.seconds ?? 600)) }
    if fleet.recorder.falseEvictions > 1 {
      fleet.violate("\(fleet.recorder.falseEvictions) false evictions in ten minutes")
    }
    return fleet
  }
}

extension Fleet {
  /// Every running peer holds every other one simply alive.
  var allAlive: Bool {
    let running = simulation.running
    return running.allSatisfy {
      simulation.machines[$0].process?.peer.membership.count(.alive) == running.count - 1
    }
  }
}
