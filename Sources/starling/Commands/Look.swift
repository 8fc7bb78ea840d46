import ArgumentParser
import Runtime

struct Status: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "How the peer is, as it sees itself.",
    discussion: """
      Example:
        starling status --peer unix:///var/lib/starling/api.sock
        starling status --tunnels -o wide
      """)

  @Flag(help: "The tunnels of its gateway instead.")
  var tunnels = false

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let session = try common.session()
    try await session.withPeer { client in
      guard !tunnels else {
        return try await Listing(session: session, client: client, format: output.output)
          .run(.tunnels, name: nil, prefix: "")
      }
      let status = try await client.get("/v1/status", as: APIStatus.self)
      try session.print(status, output.output) {
        Reports.status(status, style: session.output, now: session.now)
      }
    }
  }
}

struct Members: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "The peers of all clusters: who is alive, how far away.",
    discussion: """
      Example:
        starling members -o wide
      """)

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let session = try common.session()
    try await session.withPeer { client in
      try await Listing(session: session, client: client, format: output.output)
        .run(.members, name: nil, prefix: "")
    }
  }
}

struct Conflicts: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Edits that met, addresses claimed twice, tokens used twice.",
    discussion: """
      No edit is lost: the greatest stands, the others are shown here until somebody writes again.

      Example:
        starling conflicts
      """)

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let session = try common.session()
    try await session.withPeer { client in
      let conflicts = try await client.get("/v1/conflicts", as: [APIConflict].self)
      try session.print(conflicts, output.output, table: { Tables.conflicts(conflicts) })
    }
  }
}

struct Explain: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Why a name, a slice or a tunnel works, or does not.",
    discussion: """
      Walks the chain from the signed change to the packet and says where it breaks, and what to do.

      Example:
        starling explain web.shop.svc.slice.local
        starling explain slice/blue
        starling explain tunnel/blue/us-1
      """)

  @Argument(help: "A DNS name, slice/NAME, tunnel/CLUSTER or tunnel/SLICE/CLUSTER.")
  var subject: String

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let session = try common.session()
    let answer = try await session.withPeer { client in
      try await client.get(ExplainQuery.target(subject), as: APIExplanation.self)
    }
    try session.print(answer, output.output) {
      Reports.explanation(answer, style: session.output)
    }
    if answer.verdict == .failed { throw ExitCode(ExitStatus.failed.rawValue) }
  }
}

struct Log: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Who changed what, when; each signature verified here.",
    discussion: """
      The signed bytes of each change are fetched and verified on this machine, not only by the peer.

      Example:
        starling log --path slice/blue
        starling log --rejected
      """)

  @Flag(help: "What was refused, is held or waits, with the reason, instead of what is in the log.")
  var rejected = false

  @Option(help: ArgumentHelp("Only changes at or below this path.", valueName: "path"))
  var path: String?

  @Option(help: "How many, newest first; 1 to 1000.")
  var limit = 20

  @Flag(help: "Do not fetch and verify signatures.")
  var noVerify = false

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard (1...APILogQuery.maximumLimit).contains(limit) else {
      throw ValidationError("--limit is 1 to \(APILogQuery.maximumLimit).")
    }
  }

  func run() async throws {
    let session = try common.session()
    try await session.withPeer { client in
      let query = APILogQuery(limit: limit, path: path, rejected: rejected)
      let entries = try await LogCheck.entries(query, isVerified: !noVerify, with: client)
      try session.print(entries, output.output, table: { Tables.log(entries, now: session.now) })
      if entries.contains(where: { $0.signature == .invalid }) {
        throw AdminError(
          .failed, "this peer shows a change that its author did not sign",
          fix: "Do not trust this peer; compare with another one.")
      }
    }
  }
}
