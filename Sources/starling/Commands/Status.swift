import ArgumentParser
import Base
import Replication
import Runtime

struct Status: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows one peer as it sees itself.",
    discussion: "Example: starling status --tunnels")

  @Flag(help: "Show tunnels too.") var tunnels = false
  @OptionGroup var output: OutputOptions
  @OptionGroup var peer: PeerOptions

  func run() async throws {
    try await peer.withClient { client in
      let status: APIStatus = try await client.get("/v1/status")
      try output.print(status) { _ in Tables.status(status) }
      if tunnels {
        let all: [APITunnel] = try await client.get("/v1/tunnels")
        try output.print(all) { Tables.tunnels(all, wide: $0) }
      }
    }
  }
}

struct Conflicts: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Lists what disagrees: edits, addresses, tokens, exports.",
    discussion: "Example: starling conflicts")

  @OptionGroup var output: OutputOptions
  @OptionGroup var peer: PeerOptions

  func run() async throws {
    try await peer.withClient { client in
      let conflicts: [APIConflict] = try await client.get("/v1/conflicts")
      try output.print(conflicts) { Tables.conflicts(conflicts, wide: $0) }
    }
  }
}

struct Explain: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Walks the chain from the signed change to the packet: why does it not work?",
    discussion: """
      Example: starling explain web.shop.svc.slice.local
               starling explain slice/blue
               starling explain tunnel/us-1
      Exit code 1 where something is wrong.
      """)

  @Argument(help: "A DNS name, slice/NAME or tunnel/CLUSTER.") var subject: String
  @OptionGroup var output: OutputOptions
  @OptionGroup var peer: PeerOptions

  func run() async throws {
    let parts = subject.split(separator: "/", maxSplits: 1).map(String.init)
    let query =
      switch (parts.first, parts.count) {
      case ("slice", 2), ("tunnel", 2): (parts[0], parts[1])
      default: ("name", subject)
      }
    let verdict = try await peer.withClient { client in
      let explanation: APIExplanation = try await client.get("/v1/explain", [query])
      try output.print(explanation) { _ in Tables.explanation(explanation) }
      return explanation.verdict
    }
    if verdict == .failed { throw ExitCode(1) }
  }
}

struct Version: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Prints the version.")

  func run() {
    print("starling \(StarlingVersion.current)")
  }
}
