import ArgumentParser
import Foundation

struct Mutants: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Plants bugs in a copy of the cores, one at a time, and says what catches each.",
    discussion: "Needs the sources, Python and a Swift toolchain: the copy has to be built.")

  @Option(help: "The package's folder.") var package = "."
  @Option(help: "Seeds to try for each bug.") var seeds = 2_000

  func run() throws {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [
      "python3", "-B", "\(package)/Simulations/Mutants/run.py", "--seeds", "\(seeds)",
    ]
    try process.run()
    process.waitUntilExit()
    throw ExitCode(process.terminationStatus)
  }
}
