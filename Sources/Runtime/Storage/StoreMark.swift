internal import Base

/// Says that this peer verified a row's signature once: a keyed digest over all of the row, by a key
/// that lies beside the database. Whoever edits a row without that key loses the mark.
struct StoreMark: Sendable {
  static let bytes = 16
  private let key: [UInt8]

  /// Reads `store.key` of the directory, or makes it.
  init(directory: String) throws(StorageError) {
    let path = "\(directory)/store.key"
    do throws(FileError) {
      let content = try PrivateFile.read(path, limit: 64)
      guard content.bytes.count == 32, !content.isExposed else {
        throw FileError.unfit
      }
      key = content.bytes
    } catch {
      guard error.isMissing else {
        throw .unusable(
          path: path,
          reason: error == .unfit ? "it has to hold 32 bytes, with mode 0600" : error.reason)
      }
      let made = Sodium.randomBytes(32)
      do throws(FileError) {
        try PrivateFile.write(made, to: path)
      } catch {
        throw error.isDiskFull ? .diskFull : .unusable(path: path, reason: error.reason)
      }
      key = made
    }
  }

  func mark(_ row: StoredChangeset) -> [UInt8] {
    var writer = ByteWriter(reserving: row.body.count + row.endorsements.count + 96)
    writer.bytes32(row.id)
    writer.u64(row.ingestedMilliseconds)
    writer.u32(UInt32(truncatingIfNeeded: row.scope.utf8.count))
    writer.raw(row.scope.utf8)
    writer.u32(UInt32(truncatingIfNeeded: row.endorsements.count))
    writer.raw(row.endorsements)
    writer.raw(row.body)
    return Sodium.keyedHash(writer.bytes, key: key, count: Self.bytes)
  }

  func isTrue(_ mark: [UInt8], of row: StoredChangeset) -> Bool {
    Sodium.equal(mark, self.mark(row))
  }
}
