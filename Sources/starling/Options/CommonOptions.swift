public import ArgumentParser
import Foundation
public import Runtime

enum Surroundings {
  static var environment: [String: String] { ProcessInfo.processInfo.environment }
}

/// Flags of every command that talks to a peer or signs.
struct CommonOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The peer to talk to: unix:///path/api.sock or https://host:7443.", valueName: "address"))
  var peer: String?

  @Option(
    help: ArgumentHelp(
      "Your key file. It signs changes, and requests over the network.", valueName: "file"),
    completion: .file())
  var key: String?

  @Option(
    help: ArgumentHelp("File whose first line is the key's passphrase.", valueName: "file"),
    completion: .file())
  var passphraseFile: String?

  @Option(
    help: ArgumentHelp(
      "CA certificates (PEM) for https://: the clusters' own, as `starling context pin` writes "
        + "them. No other CA is trusted, and the host name is not compared.",
      valueName: "file"),
    completion: .file())
  var ca: String?

  @Option(
    help: ArgumentHelp("The context file; see `starling context`.", valueName: "file"),
    completion: .file())
  var config: String?

  @Option(
    help: ArgumentHelp("How long to wait for an answer of the peer.", valueName: "duration"))
  var requestTimeout: DurationArgument = .seconds(10)

  @Flag(help: "No colours (they also stay away where the output is no terminal).")
  var noColor = false

  func session() throws -> AdminSession {
    try AdminSession(
      AdminSession.Options(
        config: config, peer: peer, key: key, ca: ca, passphraseFile: passphraseFile,
        timeout: requestTimeout.duration, isColourWanted: !noColor),
      environment: Surroundings.environment)
  }
}

struct OutputOptions: ParsableArguments {
  @Option(name: [.customShort("o"), .long], help: "How to print it.")
  var output: OutputFormat = .table
}

extension OutputFormat: ExpressibleByArgument {}
