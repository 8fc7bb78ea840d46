import ArgumentParser
import Runtime

struct Join: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Let the peer beside this command join a ClusterSet by a token.",
    discussion: """
      Run it where starlingd runs: it talks to the peer's Unix socket. The peer makes its own key; the \
      fingerprint that is shown is what the admin compares before sealing the token.

      Example:
        starling join @eu-1.token
      """)

  @Argument(
    help: ArgumentHelp(
      "The token, or @file, or - for standard input.", valueName: "token"))
  var token: String

  @Option(help: ArgumentHelp("How long to wait until it has joined.", valueName: "duration"))
  var waitTimeout: DurationArgument = .seconds(60)

  @Flag(help: "Do not wait.")
  var noWait = false

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let session = try common.session()
    let text = try JoinWork.token(token)
    try await session.withPeer { client in
      let answer = try await session.join(
        text, client, wait: noWait ? nil : waitTimeout.duration)
      try session.print(answer, output.output) { JoinWork.text(answer, style: session.output) }
    }
  }
}
