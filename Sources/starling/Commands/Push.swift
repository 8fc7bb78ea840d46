import ArgumentParser
import Runtime

struct Push: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Hand signed changesets to a peer.",
    discussion: """
      No key is needed: the signatures are in the files. Pushing the same file again does no harm.

      Example:
        starling push blue.signed.yaml --wait
      """)

  @Argument(help: "Files of `kind: SignedChangeset`; - is standard input.", completion: .file())
  var files: [String]

  @Flag(help: "Wait until every cluster has it.")
  var wait = false

  @Option(help: ArgumentHelp("How long --wait waits.", valueName: "duration"))
  var waitTimeout: DurationArgument = .seconds(30)

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await common.session().push(
      files, wait: wait ? waitTimeout.duration : nil, output.output)
  }
}
