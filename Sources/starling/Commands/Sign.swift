import ArgumentParser
import Runtime

struct Sign: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Sign what manifests say, and write it to a file instead of sending it.",
    discussion: """
      The file is a `kind: SignedChangeset` document: hand it to any one cluster by `starling push`, \
      kubectl or Git. The signature carries the authority, whoever hands it over needs none. The peer is \
      asked only for the state that the change builds on.

      Example:
        starling sign -f blue.yaml --out blue.signed.yaml
      """)

  @OptionGroup var manifests: ManifestOption

  @Option(
    help: ArgumentHelp("The file; else standard output.", valueName: "file"), completion: .file())
  var out = "-"

  @Option(
    name: [.customShort("m"), .long],
    help: ArgumentHelp("Why; `starling log` shows it.", valueName: "text"))
  var message = ""

  @OptionGroup var under: UnderOption
  @OptionGroup var common: CommonOptions

  func run() async throws {
    let files = try manifests.read()
    let request = ChangeRequest(
      destination: .file(out), message: message, under: under.under?.digest, isConfirmed: true)
    try await common.session().change(request) { snapshot throws(AdminError) in
      try ChangePlan(applying: files, to: snapshot)
    }
  }
}
