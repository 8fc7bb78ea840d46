import ArgumentParser
import Base
import Runtime

struct Init: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a new ClusterSet: its root key and its genesis.",
    discussion: """
      The genesis names the ClusterSet and its root keys; its hash is the ClusterSet's identity. Both files \
      are made here, on this machine, and the context remembers them. Keep the root key safe: whoever has \
      it can do everything, and nobody can make another.

      Example, one root key:
        starling init --name prod

      Example, two of three people have to sign what the root does (each makes a key with \
      `starling key new` and sends its public half, `starling key show`):
        starling init --name prod --threshold 2 --root-key 5f0c... --root-key 81aa...
      """)

  @Option(help: "Name of the ClusterSet, a DNS label.")
  var name: String

  @Option(
    help: ArgumentHelp(
      "Folder for root.key and genesis; else that of the context file.", valueName: "folder"),
    completion: .directory)
  var out: String?

  @Option(help: ArgumentHelp("How many root keys have to sign.", valueName: "k"))
  var threshold = 1

  @Option(
    help: ArgumentHelp(
      "Public key of another root holder, 64 hexadecimal digits. May be given several times.",
      valueName: "key"))
  var rootKey: [PublicKeyArgument] = []

  @Option(help: ArgumentHelp("DNS zone of slice names.", valueName: "zone"))
  var zone: [String] = ["slice.local"]

  @Flag(help: "Leave the new key unencrypted. For tests.")
  var noPassphrase = false

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let session = try common.session()
    let report = try session.makeClusterSet(
      ClusterSetRequest(
        name: name, folder: out, threshold: threshold, otherKeys: rootKey.map(\.key), zones: zone,
        isEncrypted: !noPassphrase))
    try session.print(report, output.output) { report.text }
  }
}

struct PublicKeyArgument: ExpressibleByArgument {
  var key: PublicKey

  init?(argument: String) {
    guard let key = PublicKey(hex: argument.lowercased()) else { return nil }
    self.key = key
  }
}
