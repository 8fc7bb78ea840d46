public import ArgumentParser
public import Runtime

struct Get: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List what a peer sees.",
    discussion: """
      Kinds: \(Listing.Kind.allCases.map(\.rawValue).joined(separator: ", ")); one letter less is fine \
      (`get slice blue`). A single slice as YAML or JSON is its manifest, ready to be applied again.

      Example:
        starling get slices -o wide
        starling get slice blue -o yaml > blue.yaml
        starling get registers --prefix slice/blue
      """)

  @Argument(help: "What to list.")
  var kind: Listing.Kind

  @Argument(help: "Only this one.")
  var name: String?

  @Option(help: ArgumentHelp("Of registers: whose path begins so.", valueName: "path"))
  var prefix: String?

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let session = try common.session()
    try await session.withPeer { client in
      try await Listing(session: session, client: client, format: output.output)
        .run(kind, name: name, prefix: prefix ?? "")
    }
  }
}

extension Listing.Kind: ExpressibleByArgument {
  public init?(argument: String) {
    self.init(loosely: argument)
  }
}
