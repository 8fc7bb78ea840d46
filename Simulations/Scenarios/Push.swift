internal import Base
internal import Replication
internal import Simulator

extension Scenario {
  /// A change is handed to one peer: how long until the others have it, and how often it is sent.
  static let push = Scenario(
    name: "push", summary: "ten changes, each pushed to a random peer, at 5 % loss", nodes: 1_000
  ) { parameters in
    let fleet = Fleet("push", parameters)
    fleet.settle(extra: .seconds(parameters.seconds ?? 300))
    fleet.simulation.network.loss = parameters.loss ?? 0.05
    fleet.run(for: .seconds(5))
    var times: [Double] = []
    var copies = 0
    let rounds = 10
    for round in 0..<rounds {
      let change = fleet.change("slice/blue", ["cidr": .string("10.\(round).0.0/16")])
      fleet.push(change, at: fleet.random(parameters.nodes))
      fleet.run(for: .seconds(3))
      // What got lost on all ways is found by a comparison of digests.
      _ = fleet.time(within: .seconds(7), every: .milliseconds(100)) {
        fleet.recorder.spreads[change.id]?.arrivals.count == parameters.nodes
      }
      guard let spread = fleet.recorder.spreads[change.id] else { continue }
      let missing = parameters.nodes - spread.arrivals.count
      if missing > 0 { fleet.violate("\(missing) peers do not have a change after 10 s") }
      times += spread.arrivals.values.map { ($0 - spread.began).milliseconds }
      times += Array(repeating: 10_000, count: missing)
      copies += spread.copies
    }
    fleet.note(times: times)
    fleet.figures.copiesPerPeer = Double(copies) / Double(rounds * parameters.nodes)
    return fleet
  }
}
