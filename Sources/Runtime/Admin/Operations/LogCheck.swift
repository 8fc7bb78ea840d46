internal import Base
internal import Replication

/// A line of the log with what this machine makes of its signature.
public struct CheckedLogEntry: Codable, Hashable, Sendable {
  public enum Signature: String, Codable, Sendable {
    case valid
    case invalid
    /// The peer does not hold the signed bytes (any more).
    case unchecked
  }

  public var changeset: APIChangeset
  public var signature: Signature

  public init(changeset: APIChangeset, signature: Signature) {
    self.changeset = changeset
    self.signature = signature
  }
}

public enum LogCheck {
  /// Bytes asked for at the same time.
  static let parallel = 8

  public static func entries(
    _ query: APILogQuery, isVerified: Bool, with client: PeerClient
  ) async throws -> [CheckedLogEntry] {
    var target = "/v1/log?limit=\(query.limit)"
    if let path = query.path { target += "&path=\(PeerAddress.percentEncoded(path))" }
    if query.rejected { target += "&rejected=true" }
    let changesets = try await client.get(target, as: [APIChangeset].self)
    return isVerified
      ? try await verify(changesets, with: client)
      : changesets.map { CheckedLogEntry(changeset: $0, signature: .unchecked) }
  }

  /// Fetches the signed bytes of each and verifies them here, so that a peer cannot put words into
  /// anybody's mouth.
  public static func verify(
    _ changesets: [APIChangeset], with client: PeerClient
  ) async throws -> [CheckedLogEntry] {
    try await withThrowingTaskGroup(of: (Int, CheckedLogEntry.Signature).self) { group in
      var out = changesets.map { CheckedLogEntry(changeset: $0, signature: .unchecked) }
      var next = 0
      func start() {
        guard next < changesets.count else { return }
        let (index, entry) = (next, changesets[next])
        next += 1
        group.addTask { (index, try await judge(entry, client)) }
      }
      for _ in 0..<parallel { start() }
      for try await (index, signature) in group {
        out[index].signature = signature
        start()
      }
      return out
    }
  }

  private static func judge(
    _ entry: APIChangeset, _ client: PeerClient
  ) async throws -> CheckedLogEntry.Signature {
    let changeset: Changeset
    do {
      changeset = try await client.changeset(entry.id).0
    } catch let error as AdminError where error.status == .failed {
      return .unchecked
    }
    return matches(entry, changeset) ? .valid : .invalid
  }

  /// Whether the bytes are signed by the author that the log names, and say what the log says.
  static func matches(_ entry: APIChangeset, _ changeset: Changeset) -> Bool {
    SignedChangesetFile.isSigned(changeset)
      && changeset.endorsements.contains { $0.key == changeset.author }
      && changeset.id == entry.id && changeset.author == entry.author
      && changeset.time == entry.hlc && changeset.under == entry.under
      && changeset.writes.map(\.path) == entry.writes.map(\.path)
      && changeset.message == entry.message
  }
}
