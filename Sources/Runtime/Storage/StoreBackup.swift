internal import Base
internal import GRDB
internal import Glibc

// MARK: - Backup and restore

extension ChangesetStore {
  /// A consistent copy of the store in one file of mode 0600, made while the daemon runs. It holds no
  /// private key.
  public func backup(to target: String) throws(StorageError) {
    let temporary = "\(target).\(Sodium.randomBytes(6).hex).new"
    do {
      try makeCopy(at: temporary)
      guard rename(temporary, target) == 0 else {
        throw StorageError.unusable(path: target, reason: FileError.last.reason)
      }
    } catch {
      for suffix in ["", "-journal", "-wal"] { unlink(temporary + suffix) }
      throw StoreSchema.storageError(error, path: target)
    }
  }

  private func makeCopy(at path: String) throws {
    // SQLite would make it with the umask's mode.
    let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else {
      throw StorageError.unusable(path: path, reason: FileError.last.reason)
    }
    defer { Glibc.close(file) }
    let copy = try DatabaseQueue(path: path)
    try database().backup(to: copy)
    try copy.inDatabase { database in
      try database.execute(sql: "PRAGMA journal_mode = DELETE; PRAGMA secure_delete = ON")
      for key in StoreMeta.secrets { try StoreMeta.set(key, nil, database) }
    }
    try Self.checkIntegrity(copy, path: path)
    try copy.close()
    guard fsync(file) == 0 else {
      throw StorageError.unusable(path: path, reason: FileError.last.reason)
    }
  }

  /// Puts a backup in the place of a directory's store. No daemon may have the directory open. Rows of
  /// another directory's backup come out of `loadAll` as unverified.
  public static func restore(
    from backup: String, to directory: String, wallMilliseconds: UInt64
  ) throws(StorageError) {
    if mkdir(directory, 0o700) != 0, errno != EEXIST {
      throw .unusable(path: directory, reason: FileError.last.reason)
    }
    let lock = try DirectoryLock(directory: directory)
    defer { withExtendedLifetime(lock) {} }
    let path = "\(directory)/\(StoreSchema.fileName)"
    guard access(backup, R_OK) == 0 else {
      throw .unusable(path: backup, reason: FileError.last.reason)
    }
    let fresh = "\(path).restored"
    for suffix in ["", "-wal", "-shm", "-journal"] { unlink(fresh + suffix) }
    do {
      let epoch = previousBootEpoch(path)
      var readOnly = Configuration()
      readOnly.readonly = true
      let source = try DatabaseQueue(path: backup, configuration: readOnly)
      try source.inDatabase { try StoreSchema.check($0, path: backup) }
      try checkIntegrity(source, path: backup)
      let target = try DatabaseQueue(path: fresh)
      try source.backup(to: target)
      try target.inDatabase { database in
        let known = try StoreMeta.integer(StoreMeta.bootEpoch, database) ?? 0
        try StoreMeta.set(StoreMeta.bootEpoch, integer: max(known, epoch), database)
        try StoreMeta.set(StoreMeta.restored, integer: max(wallMilliseconds, 1), database)
      }
      try target.close()
      try source.close()
      chmod(fresh, 0o600)
      for suffix in ["-wal", "-shm"] { unlink(path + suffix) }
      guard rename(fresh, path) == 0 else {
        throw StorageError.unusable(path: path, reason: FileError.last.reason)
      }
    } catch {
      unlink(fresh)
      throw StoreSchema.storageError(error, path: backup)
    }
  }

  /// Of the store that is about to be replaced, if it can be read.
  private static func previousBootEpoch(_ path: String) -> UInt64 {
    guard access(path, F_OK) == 0, let queue = try? StoreSchema.open(path) else { return 0 }
    defer { try? queue.close() }
    return (try? queue.inDatabase { try StoreMeta.integer(StoreMeta.bootEpoch, $0) }) ?? 0
  }

  private static func checkIntegrity(_ queue: DatabaseQueue, path: String) throws {
    let answer = try queue.inDatabase { try String.fetchOne($0, sql: "PRAGMA integrity_check(1)") }
    guard answer == "ok" else {
      throw StorageError.damaged(path: path, reason: answer ?? "no answer")
    }
  }
}
