internal import Base
internal import Simulator

extension Scenario {
  /// Nothing happens for a minute: what membership and comparisons cost.
  static let idle = Scenario(
    name: "idle", summary: "a settled fleet left alone for a minute", nodes: 1_000
  ) { parameters in
    let fleet = Fleet("idle", parameters)
    fleet.settle()
    fleet.measureBytes { fleet.run(for: .seconds(parameters.seconds ?? 60)) }
    return fleet
  }
}
