internal import Base
internal import Simulator

extension Scenario {
  /// Everybody starts at once and knows nobody's state.
  static let storm = Scenario(
    name: "storm", summary: "all peers join at once", nodes: 1_000
  ) { parameters in
    let fleet = Fleet("storm", parameters, spread: .milliseconds(100), knowsItself: false)
    fleet.measureBytes {
      let took = fleet.time(within: .seconds(60), every: .milliseconds(50)) {
        fleet.simulation.running.count == parameters.nodes && fleet.isAccurate
      }
      fleet.note(times: took.map { [$0] } ?? [])
      if took.map({ $0 > 15_000 }) ?? true { fleet.violate("not converged within 15 s") }
    }
    if fleet.recorder.peersOverBudget > 0 {
      fleet.violate("\(fleet.recorder.peersOverBudget) peers sent more than their budget")
    }
    return fleet
  }
}
