import ArgumentParser
import Runtime
import Wire

struct Token: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make join tokens, and seal them.", subcommands: [Create.self, Seal.self])

  struct Create: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Admit a cluster, and make the token with which its peer enrols.",
      discussion: """
        The token is printed on standard output. It is a secret for the hour it lives: whoever has it \
        could enrol in the cluster's place. Sealing ends it, and keeps one enrolment by name. It works \
        with no peer at hand too (the first cluster): all that is needed is in the token.

        Example:
          starling token create --cluster eu-1 --label tier=edge --location 50.11,8.68 > eu-1.token

        Example, wait for the peer, compare its fingerprint with what `starling join` shows there, and \
        seal the token:
          starling token create --cluster eu-1 --wait --out eu-1.token
        """)

    @Option(help: "The cluster's name, a DNS label.")
    var cluster: String

    @Option(help: ArgumentHelp("May be given several times.", valueName: "name=value"))
    var label: [LabelArgument] = []

    @Option(help: ArgumentHelp("Where it is, in degrees.", valueName: "latitude,longitude"))
    var location: LocationArgument?

    @Option(
      help: ArgumentHelp(
        "Gossip address of a peer to ask; else those that the peer here knows. May be given several "
          + "times; the first cluster needs none.", valueName: "host:port"))
    var seed: [String] = []

    @Option(help: ArgumentHelp("How long the token lives.", valueName: "duration"))
    var ttl: DurationArgument = .seconds(3600)

    @Option(
      help: ArgumentHelp("Write the token to this file (mode 0600).", valueName: "file"),
      completion: .file())
    var out: String?

    @Flag(help: "Wait until a peer enrols, show its fingerprint, and seal the token.")
    var wait = false

    @Flag(name: [.customShort("y"), .long], help: "Seal without asking.")
    var yes = false

    @Option(
      name: [.customShort("o"), .customLong("output")],
      help: "How to print it; `table` prints the token alone.")
    var output: OutputFormat = .table

    @OptionGroup var common: CommonOptions

    func run() async throws {
      let session = try common.session()
      let request = TokenRequest(
        cluster: cluster,
        labels: Dictionary(label.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 }),
        location: location.map { ($0.latitude, $0.longitude) }, seeds: seed,
        lifetimeMilliseconds: ttl.milliseconds)
      let made = try await session.makeToken(request)
      try session.hand(out: made, to: out, output)
      guard wait else { return }
      try await session.withPeer { client in
        session.note("waiting for the peer of \(cluster), until \(made.notAfter) ...")
        let enrolments = try await session.waitForEnrolment(
          under: made.token.grant, with: client, limit: ttl.duration)
        try await session.seal(enrolments, keeping: nil, isConfirmed: yes, client)
      }
    }
  }

  struct Seal: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "End a token, and keep the one enrolment that is right.",
      discussion: """
        Two enrolments under one token mean that it was copied: both are held until one is kept. Compare \
        fingerprints with what `starling status` shows beside the right peer.

        Example:
          starling token seal 3f2a91c0 --keep 77b0de12
        """)

    @Argument(
      help: ArgumentHelp(
        "The token's grant, as `starling get grants` shows it.", valueName: "grant"))
    var grant: String

    @Option(
      help: ArgumentHelp(
        "The enrolment, or the key, to keep. Needed where there are several.", valueName: "id"))
    var keep: String?

    @Flag(name: [.customShort("y"), .long], help: "Ask nothing.")
    var yes = false

    @OptionGroup var common: CommonOptions

    func run() async throws {
      let session = try common.session()
      try await session.withPeer { client in
        let enrolments = try await session.enrolments(under: grant, client)
        try await session.seal(enrolments, keeping: keep, isConfirmed: yes, client)
      }
    }
  }
}

struct LocationArgument: ExpressibleByArgument {
  var latitude: String
  var longitude: String

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { String($0) }
    guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
    latitude = parts[0]
    longitude = parts[1].hasPrefix(" ") ? String(parts[1].dropFirst()) : parts[1]
  }
}
