internal import Base
internal import Membership
internal import Simulator

extension Scenario {
  /// A machine dies: how long until each other peer holds it dead.
  static let crash = Scenario(
    name: "crash", summary: "one peer dies at a random moment", nodes: 1_000, least: 3
  ) { parameters in
    let fleet = Fleet("crash", parameters)
    fleet.settle(extra: .seconds(20))
    fleet.run(for: .milliseconds(fleet.random(1_000)))
    let victim = fleet.random(parameters.nodes)
    let began = fleet.now
    fleet.simulation.crash(victim)
    let took = fleet.time(within: .seconds(30)) { fleet.isAccurate }
    if took == nil { fleet.violate("not everybody knows of the death after 30 s") }
    fleet.note(
      times: fleet.recorder.transitions.filter { $0.subject == victim && $0.to == .dead }
        .map { ($0.at - began).milliseconds })
    return fleet
  }
}
