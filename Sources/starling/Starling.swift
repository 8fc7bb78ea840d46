import ArgumentParser
import Runtime

@main struct Starling: AsyncParsableCommand {
  mutating func run() async throws {}
}
