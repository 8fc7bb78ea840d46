import ArgumentParser
import Base
import Runtime

struct Key: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a key of your own, or show its public half.",
    subcommands: [New.self, Show.self])

  struct New: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Make a key: the private half never leaves this machine.",
      discussion: """
        The file is encrypted with a passphrase (Argon2id). The public half, which it prints, is what you \
        send to whoever is to grant you something.

        Example:
          starling key new --out ~/.config/starling/ana.key
        """)

    @Option(
      help: ArgumentHelp("The new file; an existing one is not touched.", valueName: "file"),
      completion: .file())
    var out: String

    @Flag(help: "Leave it unencrypted. For tests and machines that nobody sits at.")
    var noPassphrase = false

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let session = try common.session()
      let report = try session.makeKey(at: out, isEncrypted: !noPassphrase)
      try session.print(report, output.output) { report.key.hex + "\n" }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print the public half of a key; no passphrase is needed.",
      discussion: """
        Example:
          starling key show ~/.config/starling/ana.key
        """)

    @Argument(
      help: ArgumentHelp("The key file; else the one of --key or the context.", valueName: "file"),
      completion: .file())
    var file: String?

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let session = try common.session()
      let report = try session.showKey(file)
      try session.print(report, output.output) { report.key.hex + "\n" }
    }
  }
}
