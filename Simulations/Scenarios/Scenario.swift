internal import Base
internal import Simulator

/// One rehearsal with its goals.
struct Scenario: Sendable {
  var name: String
  /// One line for `list`.
  var summary: String
  var nodes: Int
  /// With fewer peers there is nothing to rehearse.
  var least = 2
  var run: @Sendable (Parameters) -> Fleet

  struct Parameters {
    var seed: UInt64
    var nodes: Int
    /// Of the scenario's network, where it has one to choose.
    var loss: Double?
    /// Of what the scenario repeats or lets pass, where it has something to choose.
    var seconds: Double?
    var world = World.quick
    /// For a report.
    var chronicle: Chronicle?
  }

  static let all: [Scenario] = [
    .idle, .push, .crash, .oneway, .loss30, .heal, .storm, .forge, .sync, .poison, .revoke,
    .absent30d, .names, .upgrade,
  ]

  static func named(_ name: String) -> Scenario? { all.first { $0.name == name } }
}

extension Fleet {
  /// As the scenario's parameters have it.
  convenience init(
    _ name: String, _ parameters: Scenario.Parameters, common: Int = 0,
    spread: Duration = .seconds(1), knowsItself: Bool = true
  ) {
    self.init(
      name, seed: parameters.seed, nodes: parameters.nodes, common: common, spread: spread,
      knowsItself: knowsItself, world: parameters.world,
      chronicle: parameters.chronicle)
  }
}
