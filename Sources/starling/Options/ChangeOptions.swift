import ArgumentParser
import Base
import Runtime

/// Flags of commands that sign a change and send it.
struct ChangeOptions: ParsableArguments {
  @Flag(help: "Wait until every cluster has it; ends with `3/3 clusters in 183 ms`.")
  var wait = false

  @Option(help: ArgumentHelp("How long --wait waits.", valueName: "duration"))
  var waitTimeout: DurationArgument = .seconds(30)

  @Flag(
    help: ArgumentHelp(
      "Fail (status 5) where somebody else changed it since: since the manifest was written by "
        + "`get -o yaml`, since --base, or else since the plan was shown."))
  var ifUnchanged = false

  @Flag(name: [.customShort("y"), .long], help: "Ask nothing.")
  var yes = false

  @Option(
    name: [.customShort("m"), .long],
    help: ArgumentHelp("Why; `starling log` shows it.", valueName: "text"))
  var message = ""

  @OptionGroup var under: UnderOption
  @OptionGroup var output: OutputOptions

  func request(bases: [String: String] = [:]) -> ChangeRequest {
    ChangeRequest(
      message: message, under: under.under?.digest, wait: wait ? waitTimeout.duration : nil,
      format: output.output, isConfirmed: yes, ifUnchanged: ifUnchanged, bases: bases)
  }
}

struct UnderOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Sign under this grant (64 hexadecimal digits) instead of the least powerful one of the key "
        + "that suffices. Peers judge whether it does.",
      valueName: "grant"))
  var under: DigestArgument?
}

struct DigestArgument: ExpressibleByArgument {
  var digest: Digest

  init?(argument: String) {
    guard let digest = Digest(hex: argument.lowercased()) else { return nil }
    self.digest = digest
  }
}

struct ManifestOption: ParsableArguments {
  @Option(
    name: [.customShort("f"), .customLong("file")],
    help: ArgumentHelp(
      "A manifest; `-` is standard input. May be given several times.", valueName: "file"),
    completion: .file(extensions: ["yaml", "yml"]))
  var files: [String]

  func read() throws -> [ManifestFile] {
    try ManifestFile.read(files)
  }
}

/// `key=value` on the command line.
struct LabelArgument: ExpressibleByArgument {
  var name: String
  var value: String

  init?(argument: String) {
    guard let equals = argument.firstIndex(of: "="), equals > argument.startIndex else {
      return nil
    }
    name = String(argument[..<equals])
    value = String(argument[argument.index(after: equals)...])
  }
}
