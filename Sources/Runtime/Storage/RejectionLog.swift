internal import Base
internal import Foundation
internal import GRDB

// MARK: - What was refused

extension ChangesetStore {
  /// The newest first.
  public func rejections(limit: Int = 100) throws(StorageError) -> [Rejection] {
    try read { try RejectionLog.newest(limit, $0) }
  }
}

/// The last refusals, in a bounded table.
enum RejectionLog {
  static let maximumRows = 10_000
  static let maximumWaiting = 256

  static func add(_ rejections: [Rejection], _ database: Database) throws {
    guard !rejections.isEmpty else { return }
    let insert = try database.cachedStatement(
      sql: """
        INSERT INTO rejection (time, reason, source, author, id, head) VALUES (?, ?, ?, ?, ?, ?)
        """)
    for rejection in rejections {
      try insert.execute(arguments: [
        Int64(clamping: rejection.timeMilliseconds), rejection.reason, rejection.source,
        rejection.author.map { Data($0.bytes) }, rejection.id.map { Data($0.bytes) },
        Data(rejection.head),
      ])
    }
    try database.execute(
      sql: "DELETE FROM rejection WHERE position <= (SELECT max(position) FROM rejection) - ?",
      arguments: [maximumRows])
  }

  static func newest(_ limit: Int, _ database: Database) throws -> [Rejection] {
    let rows = try Row.fetchAll(
      database,
      sql: """
        SELECT time, reason, source, author, id, head FROM rejection
        ORDER BY position DESC LIMIT ?
        """, arguments: [max(0, min(limit, maximumRows))])
    return rows.map { row in
      Rejection(
        timeMilliseconds: UInt64(clamping: Int64.fromDatabaseValue(row[0]) ?? 0),
        reason: String.fromDatabaseValue(row[1]) ?? "",
        source: String.fromDatabaseValue(row[2]) ?? "",
        author: Data.fromDatabaseValue(row[3]).flatMap { PublicKey($0) },
        id: Data.fromDatabaseValue(row[4]).flatMap { Digest($0) },
        head: Data.fromDatabaseValue(row[5]).map { [UInt8]($0) } ?? [])
    }
  }
}
