import ArgumentParser
import Base
import Replication
import Runtime

struct GrantCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "grant", abstract: "Gives a key capabilities.",
    discussion: """
      Example: starling grant 5f0c... --capability 'slice:blue-*' --capability read --not-after 90d

      Capabilities: grant, admit, read, slice:<name or prefix*>. A grant holds no more than the one \
      that it is made under.
      """)

  @Argument(help: "The subject's public key (64 hexadecimal digits).")
  var subject: PublicKey

  @Option(name: .customLong("capability"), help: "Repeat for more.")
  var capabilities: [Capability]

  @Option(name: .customLong("not-after"), help: "How long it holds, for example 90d.")
  var notAfter: Lifetime?

  @Option(help: "How many more links may hang under it, 0 to 3.")
  var delegate = 0

  @Option(help: "Why; shown by `starling log`.")
  var message = ""

  @OptionGroup var peer: PeerOptions

  func run() async throws {
    try await peer.withClient { client in
      let session = try await AdminSession(peer: peer, client: client)
      let under = try session.grant(to: "grant") { $0.contains(.grant) }
      let builder = session.builder(under: under)
      let changeset = builder.changeset(
        granting: Grant(
          subject: subject, capabilities: Set(capabilities).sorted(),
          notAfterMilliseconds: notAfter.map { builder.time.milliseconds + $0.milliseconds },
          delegationDepth: delegate),
        message: message)
      try await session.push(changeset)
      print("granted \(changeset.id.hex)")
    }
  }
}
