import Base
import Foundation
import Replication
import Runtime
import Wire

/// Opens a store and rebuilds the state, in a child process: its memory is then what a daemon needs.
enum ColdStart {
  static let command = "cold-start"
  private static let genesisFile = "genesis"

  static func run(
    in folder: String, genesis: Genesis, expecting count: Int, _ figures: inout Figures
  ) throws {
    note("starting cold")
    let file = "\(folder)/\(genesisFile)"
    guard FileManager.default.createFile(atPath: file, contents: Data(genesis.bytes)) else {
      throw BenchmarkError("cannot write \(file)")
    }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    process.arguments = [command, folder]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    let numbers = String(decoding: output, as: UTF8.self).split(separator: " ").compactMap {
      Double($0.trimmingCharacters(in: .newlines))
    }
    guard process.terminationStatus == 0, numbers.count == 4, Int(numbers[0]) == count else {
      throw BenchmarkError("the cold start failed: \(numbers)")
    }
    figures.add("cold_start_seconds", numbers[1])
    figures.add("cold_start_cpu_seconds", numbers[2])
    figures.add("cold_start_rss_megabytes", numbers[3])
  }

  /// The child: prints how many changesets count, wall seconds, CPU seconds, and the peak of memory.
  static func measure(in folder: String) throws {
    guard let bytes = FileManager.default.contents(atPath: "\(folder)/\(genesisFile)") else {
      throw BenchmarkError("no genesis in \(folder)")
    }
    let before = Usage.now
    let genesis = try GenesisCodec.decode([UInt8](bytes), crypto: .sodium)
    let store = try ChangesetStore(directory: folder)
    let state = try StateLoading.load(
      from: store, genesis: genesis, cluster: World.cluster, now: World.now
    ).state
    let after = Usage.now
    let count = state.scopes.reduce(0) { $0 + state.comparedCount($1) }
    store.close()
    print(
      count, after.wallSeconds(since: before), after.cpuSeconds - before.cpuSeconds,
      after.peakMegabytes)
  }
}
