import ArgumentParser
import Base
import Replication
import Runtime

struct Revoke: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Revokes a key: shows what lives under it, and what will be kept.",
    discussion: """
      Example: starling revoke 5f0c... --keep all
               starling revoke 5f0c... --keep none --yes

      One floor voids everything under the key's grants but what is named. A thief with a backdated \
      clock gains nothing: only the named changesets live.
      """)

  enum Keep: String, ExpressibleByArgument, CaseIterable { case all, none }

  @Argument(help: "The public key, or the ID of one grant (64 hexadecimal digits).")
  var key: String

  @Option(help: "all: what lives under it stays; none: nothing does.")
  var keep = Keep.all

  @Option(name: .customLong("keep-id"), help: "Keep this changeset; repeat for more.")
  var keepIDs: [String] = []

  @Flag(help: "Do not ask.") var yes = false
  @Option(help: "Why; shown by `starling log`.") var message = ""
  @OptionGroup var peer: PeerOptions

  func run() async throws {
    try await peer.withClient { client in
      let session = try await AdminSession(peer: peer, client: client)
      let targets = session.grants.grants.filter {
        ($0.subject?.hex == key || $0.id.hex == key) && $0.state != .void
      }
      guard !targets.isEmpty else {
        throw AdminError(
          .failed, "no grant of \(key) is in force", fix: "See: starling get grants -o wide")
      }
      var floors: [Floor] = []
      for target in targets {
        let detail: APIGrantDetail = try await client.get("/v1/grants/\(target.id.hex)")
        let kept = try kept(of: detail)
        show(detail, kept: kept)
        floors.append(Floor(grant: target.id, time: .max, keep: kept.sorted()))
      }
      guard yes || Terminal.confirm("Revoke?") else {
        throw AdminError(.failed, "nothing was sent", fix: "Say yes, or --yes in scripts.")
      }
      let under = try parent(of: targets, session: session)
      let changeset = session.builder(under: under)
        .changeset(floors: floors, message: message.isEmpty ? "revoke" : message)
      try await session.push(changeset)
      print("revoked by \(changeset.id.hex)")
    }
  }

  private func kept(of detail: APIGrantDetail) throws -> [Digest] {
    let live = detail.live.map(\.id)
    if keep == .all { return live }
    return try keepIDs.map { text in
      guard let id = Digest(hex: text) else {
        throw AdminError(.invalid, "--keep-id \(text) is not 64 hexadecimal digits")
      }
      return id
    }.filter { live.contains($0) }
  }

  private func show(_ detail: APIGrantDetail, kept: [Digest]) {
    let grant = detail.grant
    let held = grant.capabilities.map(\.description).joined(separator: ", ")
    print("grant \(grant.id.short): \(held)")
    for changeset in detail.live {
      let sign = kept.contains(changeset.id) ? "keep" : "void"
      let what = changeset.writes.map(\.path).joined(separator: " ")
      print("  \(sign)  \(changeset.id.short)  \(changeset.at)  \(what) \(changeset.message)")
    }
    if detail.live.isEmpty { print("  nothing lives under it") }
  }

  /// A floor counts when it is signed by a grantor on the grant's chain.
  private func parent(of targets: [APIGrant], session: AdminSession) throws -> Digest {
    let own = try session.grant(to: "revoke") { $0.contains(.grant) || $0.contains(.admit) }
    for target in targets {
      var above = target.under
      while let id = above, id != own {
        above = session.grants.grants.first { $0.id == id }?.under
      }
      guard above == own else {
        throw AdminError(
          .failed, "this key's grant \(own.short) is not above \(target.id.short)",
          fix: "Use the key of who granted it, or a root key.")
      }
    }
    return own
  }
}
