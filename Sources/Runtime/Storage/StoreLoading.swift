internal import Base
internal import Foundation
internal import GRDB
internal import Glibc

// MARK: - Reading

extension ChangesetStore {
  public func count() throws(StorageError) -> Int {
    try read { try Int.fetchOne($0, sql: "SELECT count(*) FROM changeset") ?? 0 }
  }

  /// Hands out all changesets with a true mark, in the order of their arrival, `chunk` at a time, so
  /// that the caller can decode one chunk on other threads while the next is read.
  ///
  /// A file that SQLite cannot read through is replaced by one with the rows that can be read.
  public func loadAll(
    chunk: Int = 4_096, _ body: ([StoredChangeset]) -> Void
  ) throws(StorageError) -> LoadReport {
    do throws(StorageError) {
      var report = LoadReport()
      try scan(chunk: chunk, report: &report, body)
      return report
    } catch {
      guard case .damaged(_, let reason) = error else { throw error }
      let salvage = try salvage(because: reason)
      var report = LoadReport()
      report.salvage = salvage
      try scan(chunk: chunk, report: &report, body)
      return report
    }
  }

  private func scan(
    chunk: Int, report: inout LoadReport, _ body: ([StoredChangeset]) -> Void
  ) throws(StorageError) {
    var found = LoadReport()
    // Before anything is handed out: a salvage must not hand it out twice.
    try read { database in
      guard try String.fetchOne(database, sql: "PRAGMA quick_check(1)") == "ok" else {
        throw StorageError.damaged(path: self.path, reason: "a page cannot be read")
      }
    }
    let unreadable: [Int64] = try read { database in
      var unreadable: [Int64] = []
      var rows: [StoredChangeset] = []
      rows.reserveCapacity(chunk)
      let cursor = try Row.fetchCursor(database, sql: Self.selection)
      while let row = try cursor.next() {
        guard let (changeset, mark) = Self.changeset(row) else {
          unreadable.append(row[0])
          continue
        }
        guard self.mark.isTrue(mark, of: changeset) else {
          found.unverified.append(changeset)
          continue
        }
        rows.append(changeset)
        found.loaded += 1
        if rows.count == chunk {
          body(rows)
          rows.removeAll(keepingCapacity: true)
        }
      }
      if !rows.isEmpty { body(rows) }
      return unreadable
    }
    found.unreadable = unreadable.count
    found.salvage = report.salvage
    report = found
    guard !unreadable.isEmpty else { return }
    try read { database in
      for position in unreadable {
        try database.execute(
          sql: "DELETE FROM changeset WHERE position = ?", arguments: [position])
      }
    }
  }

  static let selection =
    "SELECT position, id, scope, body, endorsements, ingested, mark FROM changeset ORDER BY position"

  /// `nil` where a column has not even the right type or size.
  static func changeset(_ row: Row) -> (StoredChangeset, mark: [UInt8])? {
    guard let rawID = bytes(row, 1), let id = Digest(rawID),
      let scope = String.fromDatabaseValue(row[2]), let body = bytes(row, 3),
      let endorsements = bytes(row, 4), let ingested = Int64.fromDatabaseValue(row[5]),
      let mark = bytes(row, 6), mark.count == StoreMark.bytes
    else { return nil }
    let changeset = StoredChangeset(
      id: id, scope: scope, body: body, endorsements: endorsements,
      ingestedMilliseconds: UInt64(clamping: ingested))
    return (changeset, mark)
  }

  private static func bytes(_ row: Row, _ index: Int) -> [UInt8]? {
    // `try`: a column of another type.
    (try? row.withUnsafeData(atIndex: index) { $0.map { $0.withUnsafeBytes { [UInt8]($0) } } })
      ?? nil
  }

  /// On the database's own queue, whatever it does; errors come out typed.
  func read<T>(_ body: (Database) throws -> T) throws(StorageError) -> T {
    let queue = try database()
    do {
      return try queue.inDatabase(body)
    } catch {
      throw StoreSchema.storageError(error, path: path)
    }
  }

  /// Moves what can be read to a new file; the damaged one stays beside it for inspection.
  private func salvage(because reason: String) throws(StorageError) -> String {
    let damaged = "\(path).damaged"
    let fresh = "\(path).salvaged"
    for suffix in ["", "-wal", "-shm"] { unlink(fresh + suffix) }
    do {
      let source = try database()
      let target = try StoreSchema.open(fresh)
      try target.inDatabase { try StoreSchema.create($0, path: fresh) }
      var saved = 0
      for (order, table) in Salvage.scans {
        saved += (try? Salvage.copy(table, order, from: source, to: target)) ?? 0
      }
      try? source.close()
      try target.close()
      for suffix in ["-wal", "-shm"] { unlink(path + suffix) }
      guard rename(path, damaged) == 0, rename(fresh, path) == 0 else {
        throw StorageError.unusable(path: path, reason: FileError.last.reason)
      }
      replaceDatabase(try StoreSchema.open(path))
      return "\(reason); \(saved) rows were saved, the damaged file is \(damaged)"
    } catch {
      throw StoreSchema.storageError(error, path: path)
    }
  }
}

/// Copies the rows of a damaged file, from both ends up to what cannot be read.
private enum Salvage {
  static let scans = [
    ("ASC", "changeset"), ("DESC", "changeset"), ("ASC", "meta"), ("DESC", "meta"),
    ("ASC", "rejection"),
  ]

  static func copy(
    _ table: String, _ order: String, from source: DatabaseQueue, to target: DatabaseQueue
  ) throws -> Int {
    try source.inDatabase { sourceDatabase in
      try target.inDatabase { targetDatabase in
        var saved = 0
        try targetDatabase.inTransaction {
          let key = table == "meta" ? "key" : "position"
          // The order by the table's own key reads no index, which may be what is damaged.
          let cursor = try? Row.fetchCursor(
            sourceDatabase, sql: "SELECT * FROM \(table) ORDER BY \(key) \(order)")
          while let row = try? cursor?.next() {
            let places = Array(repeating: "?", count: row.count).joined(separator: ",")
            try targetDatabase.execute(
              sql: "INSERT OR IGNORE INTO \(table) VALUES (\(places))",
              arguments: StatementArguments(row.databaseValues))
            saved += targetDatabase.changesCount
          }
          return .commit
        }
        return saved
      }
    }
  }
}
