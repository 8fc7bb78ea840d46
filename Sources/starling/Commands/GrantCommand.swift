import ArgumentParser
import Base
import Replication
import Runtime

struct GrantCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "grant", abstract: "Let a key do something.",
    discussion: """
      Capabilities:
        slice:<name>    write the slice of that name; a final * stands for any rest: slice:blue-*
        admit           admit clusters and make join tokens
        grant           give to others what one holds oneself
        read            read the API of peers over the network

      Example, a team's admin for its own slices, for a quarter:
        starling grant 5f0c... --capability 'slice:blue-*' --capability read --not-after 90d

      Example, an operator who may admit clusters and name two levels of others:
        starling grant 81aa... --capability admit --capability grant --delegate 2
      """)

  @Argument(help: ArgumentHelp("The public key, 64 hexadecimal digits.", valueName: "key"))
  var subject: PublicKeyArgument

  @Option(
    help: ArgumentHelp("May be given several times.", valueName: "capability"))
  var capability: [CapabilityArgument]

  @Option(
    help: ArgumentHelp(
      "For how long it may sign; what it signed stays. Else without end.", valueName: "duration"))
  var notAfter: DurationArgument?

  @Option(
    help: ArgumentHelp("How many links of further grants may hang under this one, 0 to 3."))
  var delegate = 0

  @Option(
    name: [.customShort("m"), .long],
    help: ArgumentHelp("Why; `starling log` shows it.", valueName: "text"))
  var message = ""

  @Option(
    help: ArgumentHelp(
      "Write it signed to this file instead of sending it, for `starling cosign`.",
      valueName: "file"), completion: .file())
  var out: String?

  @OptionGroup var under: UnderOption
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard !capability.isEmpty else { throw ValidationError("Give at least one --capability.") }
    guard (0...3).contains(delegate) else { throw ValidationError("--delegate is 0 to 3.") }
  }

  func run() async throws {
    let session = try common.session()
    let grant = Grant(
      subject: subject.key, capabilities: Set(capability.map(\.capability)).sorted(),
      notAfterMilliseconds: notAfter.map { session.now.milliseconds + $0.milliseconds },
      delegationDepth: delegate)
    let text = message.isEmpty ? "grant to \(subject.key.short)" : message
    try await session.withPeer { client in
      let state = try await session.signingState(client)
      let (changeset, choice) = try session.sign(
        grant, state, under: under.under?.digest, message: text)
      try await session.finish(
        changeset, choice, state, to: out, client, output.output, how: "starling grant ...")
    }
  }
}

struct CapabilityArgument: ExpressibleByArgument {
  var capability: Capability

  init?(argument: String) {
    guard let capability = Capability(argument) else { return nil }
    switch capability {
    // These are the tokens' and the peers' own business.
    case .own, .enrol: return nil
    case .grant, .admit, .read, .slice: self.capability = capability
    }
  }
}
