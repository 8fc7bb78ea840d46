import ArgumentParser
import Base
import Replication
import Runtime
import Wire

struct Log: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Who changed what, when; the signatures are verified here, not by the peer.",
    discussion: """
      Example: starling log --path slice/blue --limit 20
               starling log --rejected
      """)

  @Option(help: "At most so many, the newest first.") var limit = 20
  @Option(help: "Only changes at or below this register path.") var path: String?
  @Flag(help: "What was refused, and what waits.") var rejected = false
  @OptionGroup var output: OutputOptions
  @OptionGroup var peer: PeerOptions

  func run() async throws {
    var query = [("limit", String(limit))]
    if let path { query.append(("path", path)) }
    if rejected { query.append(("rejected", "true")) }
    try await peer.withClient { client in
      let entries: [APIChangeset] = try await client.get("/v1/log", query)
      var verified: [Digest: Bool] = [:]
      if !rejected, output.output == .table || output.output == .wide {
        for entry in entries { verified[entry.id] = await isSigned(entry, client) }
      }
      try output.print(entries) { Tables.log(entries, verified: verified, wide: $0) }
    }
  }

  /// Whether the raw bytes hash to the ID and carry their author's signature.
  private func isSigned(_ entry: APIChangeset, _ client: PeerClient) async -> Bool? {
    guard
      let full: APIChangeset = try? await client.get("/v1/changesets/\(entry.id.hex)"),
      let raw = full.raw.flatMap({ [UInt8](hex: $0) })
    else { return nil }
    guard let changeset = try? ChangesetCodec.decode(raw, crypto: .sodium) else { return false }
    return changeset.id == entry.id
      && changeset.endorsements.contains { endorsement in
        endorsement.key == entry.author
          && Sodium.verify(endorsement.signature, changeset.signedBytes, by: endorsement.key)
      }
  }
}
