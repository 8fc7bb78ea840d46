internal import Foundation
internal import GRDB

// MARK: - Named values

extension ChangesetStore {
  public func value(_ key: String) throws(StorageError) -> [UInt8]? {
    try read { try StoreMeta.get(key, $0) }
  }

  /// Durable when it returns.
  public func setValue(_ value: [UInt8]?, for key: String) throws(StorageError) {
    try read { database in
      try StoreMeta.set(key, value, database)
    }
  }

  /// A boot epoch above every earlier one of this directory, durable before it is returned. It starts at
  /// the wall clock in seconds, so that a directory restored from an old backup comes out above too.
  ///
  /// - Parameter least: the epoch is at least this: others have seen one below it.
  public func nextBootEpoch(wallMilliseconds: UInt64, least: UInt64 = 0) throws(StorageError)
    -> UInt64
  {
    try read { database in
      let last = try StoreMeta.integer(StoreMeta.bootEpoch, database) ?? 0
      let next = max(last &+ 1, wallMilliseconds / 1_000, least)
      try StoreMeta.set(StoreMeta.bootEpoch, integer: next, database)
      return next
    }
  }

  /// Others know a higher epoch of ours: the next start will be above it.
  public func raiseBootEpoch(to epoch: UInt64) throws(StorageError) {
    try read { database in
      let last = try StoreMeta.integer(StoreMeta.bootEpoch, database) ?? 0
      guard epoch > last else { return }
      try StoreMeta.set(StoreMeta.bootEpoch, integer: epoch, database)
    }
  }

  /// When this directory was restored from a backup, if it was and nobody has cleared it: the peer has
  /// to learn its own counters from others before it writes.
  public func restoredMilliseconds() throws(StorageError) -> UInt64? {
    try read { try StoreMeta.integer(StoreMeta.restored, $0) }
  }

  /// This directory begins anew for a peer that was there before.
  func markRestored(wallMilliseconds: UInt64) throws(StorageError) {
    try read { try StoreMeta.set(StoreMeta.restored, integer: max(wallMilliseconds, 1), $0) }
  }

  public func clearRestored() throws(StorageError) {
    try setValue(nil, for: StoreMeta.restored)
  }
}

enum StoreMeta {
  static let bootEpoch = "boot-epoch"
  static let restored = "restored"
  /// The static X25519 keys of the cluster's gateways; another is made where there is none.
  static func gatewayKey(_ index: Int) -> String {
    index == 0 ? "gateway-key" : "gateway-key-\(index)"
  }
  /// Gateways of one cluster.
  static let gatewayLimit = 16
  /// What a backup leaves out.
  static let secrets = (0..<gatewayLimit).map(gatewayKey)

  static func get(_ key: String, _ database: Database) throws -> [UInt8]? {
    try Data.fetchOne(database, sql: "SELECT value FROM meta WHERE key = ?", arguments: [key])
      .map { [UInt8]($0) }
  }

  static func set(_ key: String, _ value: [UInt8]?, _ database: Database) throws {
    guard let value else {
      return try database.execute(sql: "DELETE FROM meta WHERE key = ?", arguments: [key])
    }
    try database.execute(
      sql: """
        INSERT INTO meta (key, value) VALUES (?, ?)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value
        """, arguments: [key, Data(value)])
  }

  static func integer(_ key: String, _ database: Database) throws -> UInt64? {
    try get(key, database).map { $0.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }
  }

  static func set(_ key: String, integer: UInt64, _ database: Database) throws {
    let bytes = (0..<8).map { UInt8(truncatingIfNeeded: integer >> UInt64(56 - 8 * $0)) }
    try set(key, bytes, database)
  }
}
