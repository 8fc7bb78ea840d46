import ArgumentParser
internal import Simulator

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs a scenario.",
    discussion: "Exits with 1 where a goal or an invariant does not hold.")

  @Argument(help: "Its name; see `list`.") var scenario: String
  @Option(help: "Fixes every random choice.") var seed: UInt64 = 1
  @Option(help: "Runs so many seeds from `seed` on and prints medians.") var seeds: UInt64 = 1
  @Option(help: "Peers; each scenario has its own number.") var nodes: Int?
  @Option(help: "Share of packets lost, where the scenario has loss.") var loss: Double?
  @Option(help: "How long its main part lasts, where that can be chosen.") var seconds: Double?
  @Option(help: "Writes a page about the last seed's run.") var report: String?
  @Flag(help: "Sends every message through the daemon's codec and seals, with real keys.")
  var wire = false
  @Flag(help: "Prints one JSON object.") var json = false

  /// Machines in 24 bits; memory ends earlier.
  private static let mostNodes = 1 << 24

  func validate() throws {
    guard let chosen = Scenario.named(scenario) else {
      throw ValidationError("There is no scenario '\(scenario)'; `starling-sim list` has them.")
    }
    guard nodes.map({ (chosen.least...Self.mostNodes).contains($0) }) ?? true else {
      throw ValidationError("\(scenario) takes \(chosen.least) to \(Self.mostNodes) nodes.")
    }
    guard seeds > 0, seconds.map({ $0 >= 0 && $0 <= 1e9 }) ?? true,
      loss.map({ (0..<1).contains($0) }) ?? true
    else { throw ValidationError("There is at least one seed, and loss is 0 to 1.") }
  }

  func run() throws {
    guard let chosen = Scenario.named(scenario) else { return }
    var runs: [Figures] = []
    for number in seed..<seed + seeds {
      let clock = ContinuousClock()
      let (began, core) = (clock.now, CoreClock.seconds)
      let chronicle = report != nil && number == seed + seeds - 1 ? Chronicle() : nil
      let fleet = chosen.run(
        .init(
          seed: number, nodes: nodes ?? chosen.nodes, loss: loss, seconds: seconds,
          world: wire ? DaemonWire.world() : .quick, chronicle: chronicle))
      var figures = fleet.finish()
      figures.realSeconds = Double((clock.now - began).components.seconds)
      figures.realSeconds += Double((clock.now - began).components.attoseconds) * 1e-18
      figures.coreSeconds = CoreClock.seconds - core
      runs.append(figures)
      if let report, let chronicle {
        try Report(figures: figures, fleet: fleet, chronicle: chronicle).write(to: report)
      }
    }
    guard let figures = Figures.medians(of: runs) else { return }
    show(figures)
    if !figures.violations.isEmpty { throw ExitCode.failure }
  }

  private func show(_ figures: Figures) {
    if json { return print(JSONValue.object(figures.table).text) }
    let width = figures.table.map(\.key.count).max() ?? 0
    for (key, value) in figures.table {
      print(key + String(repeating: " ", count: width - key.count + 2) + value.text)
    }
  }
}
