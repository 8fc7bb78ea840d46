import ArgumentParser
import Runtime

struct Cosign: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Add your root signature to a signed changeset.",
    discussion: """
      Shows what it does, from the signed bytes themselves, before it asks. Works with no peer: the root \
      keys are in the genesis.

      Example:
        starling cosign grant.signed.yaml && git commit -am 'second signature'
      """)

  @Argument(help: "The file; it is replaced.", completion: .file())
  var file: String

  @Option(
    help: ArgumentHelp("Write to this file instead; - is standard output.", valueName: "file"),
    completion: .file())
  var out: String?

  @Flag(name: [.customShort("y"), .long], help: "Ask nothing.")
  var yes = false

  @OptionGroup var common: CommonOptions

  func run() async throws {
    try common.session().cosign(file, to: out ?? file, isConfirmed: yes)
  }
}
