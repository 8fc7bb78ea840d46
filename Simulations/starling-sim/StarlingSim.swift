import ArgumentParser
internal import Simulator

@main struct StarlingSim: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "starling-sim",
    abstract: "Rehearses failures of a fleet of peers in virtual time, from a seed.",
    subcommands: [List.self, Run.self, Swarm.self, Replay.self, Shrink.self, Mutants.self])

  static func main() {
    HugePages.request()
    main(nil)
  }
}

struct List: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Lists the scenarios.")

  func run() {
    let width = Scenario.all.map(\.name.count).max() ?? 0
    for scenario in Scenario.all {
      let padding = String(repeating: " ", count: width - scenario.name.count)
      print("\(scenario.name)\(padding)  \(scenario.summary) (\(scenario.nodes) peers)")
    }
  }
}
