import ArgumentParser
import Runtime

struct Revoke: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "End the grants of a key; shows what lives under them, and what of it is kept.",
    discussion: """
      What the key signed and is kept goes on counting; everything else that it ever signed, or will \
      sign with any date, is void at once and everywhere. A kept grant keeps what is under it.

      Example, a colleague leaves, the work stays:
        starling revoke 5f0c1a --keep all

      Example, a stolen key, of which two changes are known to be good:
        starling revoke 5f0c1a --keep 3f2a91c0 --keep 77b0de12

      Example, a cluster's peer: its cluster leaves every slice at once:
        starling revoke 9d44e0 --keep none
      """)

  @Argument(
    help: ArgumentHelp(
      "The key or the grant: all digits, or as many as tell it apart.", valueName: "key"))
  var subject: String

  @Option(
    help: ArgumentHelp(
      "What stays of all that it signed: all, none, or the ID of a changeset or grant (may be repeated). "
        + "Else you are asked.", valueName: "what"))
  var keep: [String] = []

  @Flag(name: [.customShort("y"), .long], help: "Ask nothing.")
  var yes = false

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
    guard keep.count <= 1 || !keep.contains(where: { $0 == "all" || $0 == "none" }) else {
      throw ValidationError("--keep all and --keep none stand alone.")
    }
  }

  private var choice: KeepChoice? {
    switch keep.first {
    case nil: nil
    case "all": .all
    case "none": KeepChoice.none
    default: .these(keep)
    }
  }

  func run() async throws {
    let session = try common.session()
    try await session.withPeer { client in
      let state = try await session.signingState(client)
      let revocations = try await session.revocations(of: subject, state, client)
      if !output.output.isStructured { session.show(revocations, keeping: choice) }
      let keep = try session.choose(choice, for: revocations)
      try session.confirm("End this?", isConfirmed: yes)
      let (changeset, under) = try session.sign(
        try revocations.map { try $0.floor(keeping: keep) }, needs: revocations.map(\.need), state,
        under: under.under?.digest, message: message.isEmpty ? "revoke \(subject)" : message)
      try await session.finish(
        changeset, under, state, to: out, client, output.output, how: "starling revoke ...")
    }
  }
}
