public import Base
public import Replication
internal import Wire

/// Changesets that were signed while no peer could be reached (the first join tokens), in a folder
/// beside the context. They are sent with the next command that reaches one; until then new signatures
/// build on them.
public struct Outbox: Sendable {
  private let folder: String
  private static let suffix = ".changeset"
  static let limit = 1_024

  public init(_ context: AdminContext) {
    folder = "\(context.folder)/outbox"
  }

  /// Those of one ClusterSet, by time.
  public func changesets(of clusterSet: Base.Digest) -> [Changeset] {
    TextFile.names(in: folder).prefix(Self.limit).compactMap { name -> Changeset? in
      guard name.hasSuffix(Self.suffix),
        let bytes = try? TextFile.readBytes("\(folder)/\(name)", limit: Changeset.maximumBytes),
        let changeset = try? ChangesetCodec.decode(bytes, crypto: .sodium),
        changeset.clusterSet == clusterSet
      else { return nil }
      return changeset
    }.sorted { ($0.time, $0.id) < ($1.time, $1.id) }
  }

  public func add(_ changeset: Changeset) throws(AdminError) {
    try TextFile.makeDirectory(folder)
    try TextFile.write(
      ChangesetCodec.encode(changeset), to: path(changeset), replacing: true)
  }

  public func remove(_ changeset: Changeset) {
    TextFile.remove(path(changeset))
  }

  private func path(_ changeset: Changeset) -> String {
    "\(folder)/\(changeset.id.short)\(Self.suffix)"
  }
}
