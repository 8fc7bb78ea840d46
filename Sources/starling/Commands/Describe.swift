import ArgumentParser
import Runtime

struct Describe: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show all about one slice, cluster, service, tunnel or grant.",
    discussion: """
      Example:
        starling describe slice blue
        starling describe service shop/web
        starling describe grant 3f2a91c0
      """)

  @Argument(help: "slice, cluster, service, tunnel or grant.")
  var kind: Listing.Kind

  @Argument(help: "Its name; of a service namespace/name, of a tunnel slice/cluster.")
  var name: String

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let session = try common.session()
    try await session.withPeer { client in
      try await Listing(session: session, client: client, format: output.output)
        .describe(kind, name)
    }
  }
}
