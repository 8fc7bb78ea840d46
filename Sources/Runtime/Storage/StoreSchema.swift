internal import GRDB

/// The SQLite file: settings and tables.
enum StoreSchema {
  /// In the file's header, so that another program's database is told apart.
  static let applicationID = 0x5354_4c47
  static let version = 1
  static let fileName = "state.db"

  /// One connection that holds the file for itself: no shared-memory file, and no reader can stop a
  /// checkpoint.
  static func open(_ path: String) throws -> DatabaseQueue {
    var configuration = Configuration()
    configuration.label = "starling.store"
    configuration.prepareDatabase { database in
      try database.execute(sql: "PRAGMA locking_mode = EXCLUSIVE")
      guard try String.fetchOne(database, sql: "PRAGMA journal_mode = WAL") == "wal" else {
        throw DatabaseError(message: "write-ahead logging is not possible here")
      }
      // An acknowledged changeset survives loss of power.
      try database.execute(sql: "PRAGMA synchronous = FULL")
      try database.execute(sql: "PRAGMA temp_store = MEMORY")
      try database.execute(sql: "PRAGMA cache_size = -1024")
      try database.execute(sql: "PRAGMA journal_size_limit = 8388608")
    }
    return try DatabaseQueue(path: path, configuration: configuration)
  }

  static func limit(_ database: Database, to bytes: Int) throws {
    let page = try Int.fetchOne(database, sql: "PRAGMA page_size") ?? 4_096
    _ = try Int.fetchOne(database, sql: "PRAGMA max_page_count = \(max(1, bytes / page))")
  }

  static func check(_ database: Database, path: String) throws {
    let application = try Int.fetchOne(database, sql: "PRAGMA application_id") ?? 0
    let found = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
    guard application == applicationID else { throw StorageError.notAStore(path: path) }
    guard found <= version else { throw StorageError.tooNew(path: path, version: found) }
  }

  static func create(_ database: Database, path: String) throws {
    let tables =
      try Int.fetchOne(database, sql: "SELECT count(*) FROM sqlite_master") ?? 0
    guard tables == 0 else { return try check(database, path: path) }
    try database.inTransaction {
      try database.execute(
        sql: """
          CREATE TABLE changeset (
            position INTEGER PRIMARY KEY,
            id BLOB NOT NULL UNIQUE,
            scope TEXT NOT NULL,
            body BLOB NOT NULL,
            endorsements BLOB NOT NULL,
            ingested INTEGER NOT NULL,
            mark BLOB NOT NULL
          );
          CREATE TABLE meta (
            key TEXT PRIMARY KEY,
            value BLOB NOT NULL
          ) WITHOUT ROWID;
          CREATE TABLE rejection (
            position INTEGER PRIMARY KEY AUTOINCREMENT,
            time INTEGER NOT NULL,
            reason TEXT NOT NULL,
            source TEXT NOT NULL,
            author BLOB,
            id BLOB,
            head BLOB NOT NULL
          );
          PRAGMA application_id = \(applicationID);
          PRAGMA user_version = \(version);
          """)
      return .commit
    }
  }

  static func storageError(_ error: any Error, path: String) -> StorageError {
    if let error = error as? StorageError { return error }
    guard let error = error as? DatabaseError else { return .failed("\(error)") }
    switch error.resultCode {
    case .SQLITE_FULL: return .diskFull
    case .SQLITE_CORRUPT: return .damaged(path: path, reason: error.message ?? "malformed")
    case .SQLITE_NOTADB: return .notAStore(path: path)
    case .SQLITE_BUSY: return .inUse(directory: path, process: "unknown")
    case .SQLITE_CANTOPEN, .SQLITE_READONLY, .SQLITE_PERM:
      return .unusable(path: path, reason: error.message ?? "\(error.resultCode)")
    default: return .failed(error.message ?? "\(error.extendedResultCode)")
    }
  }
}
