internal import Base
internal import Simulator

extension Scenario {
  /// The fleet falls apart for a minute or a day, and comes together.
  static let heal = Scenario(
    name: "heal", summary: "a third is cut off for a minute (--seconds 86400: a day)", nodes: 60,
    least: 3
  ) { parameters in
    let fleet = Fleet("heal", parameters)
    fleet.settle()
    let third = parameters.nodes / 3
    fleet.simulation.partition { $0 < third ? 1 : 0 }
    fleet.run(for: .seconds(parameters.seconds ?? 60))
    fleet.recorder.forgetTransitions()
    fleet.simulation.heal()
    let took = fleet.time(within: .seconds(60)) { fleet.isAccurate }
    fleet.note(times: took.map { [$0] } ?? [])
    fleet.recorder.forgetTransitions()
    fleet.run(for: .seconds(30))
    if took.map({ $0 > 10_000 }) ?? true { fleet.violate("views were not repaired within 10 s") }
    return fleet
  }
}
