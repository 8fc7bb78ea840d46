import ArgumentParser
import Runtime

@main struct Starlingd: AsyncParsableCommand {
  mutating func run() async throws {}
}
