/// A backup as `starling backup` wrote it.
public struct BackupFile: Sendable {
  public var path: String

  public init(path: String) {
    self.path = path
  }

  /// Puts it in the place of a data directory's store; no daemon may have the directory open.
  public func restore(to directory: String) throws(AdminError) {
    do throws(StorageError) {
      try ChangesetStore.restore(
        from: path, to: directory, wallMilliseconds: ChangesetBuilder.wallMilliseconds())
    } catch {
      throw AdminError(.failed, "\(error)")
    }
  }
}
