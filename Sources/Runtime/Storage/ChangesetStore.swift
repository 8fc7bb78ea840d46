internal import Base
internal import Foundation
internal import GRDB
internal import Synchronization

/// The peer's durable state in its data directory: changesets, a few named values, and what was
/// refused. SQLite in WAL mode with `synchronous=FULL`; what is acknowledged is on the disk.
///
/// Writes of many callers share a transaction (group commit): while one is being synced the next
/// gathers. One daemon at a time has a directory open.
public final class ChangesetStore: Sendable {
  /// Bytes that may wait for the disk; more is refused with `overloaded`.
  public static let maximumWaitingBytes = 64 << 20
  /// Operations of one transaction.
  static let maximumBatch = 16_384

  public let directory: String
  let path: String
  let mark: StoreMark
  private let lock: DirectoryLock
  private let state: Mutex<State>

  typealias Completion = @Sendable (Result<Void, StorageError>) -> Void

  private struct Waiting: Sendable {
    var changes: StoreChanges
    var bytes: Int
    var completion: Completion
  }

  private struct State {
    var queue: DatabaseQueue?
    var waiting: [Waiting] = []
    var waitingBytes = 0
    var rejections: [Rejection] = []
    var isWriting = false
  }

  /// Opens the store of a directory, which has to exist, and makes it at the first start.
  ///
  /// - Parameter maximumBytes: of the database; changes that would make it larger are refused as if the
  ///   disk were full.
  public init(directory: String, maximumBytes: Int? = nil) throws(StorageError) {
    self.directory = directory
    path = "\(directory)/\(StoreSchema.fileName)"
    lock = try DirectoryLock(directory: directory)
    mark = try StoreMark(directory: directory)
    do {
      let queue = try StoreSchema.open(path)
      try queue.inDatabase { [path] in
        try StoreSchema.create($0, path: path)
        if let maximumBytes { try StoreSchema.limit($0, to: maximumBytes) }
      }
      state = Mutex(State(queue: queue))
    } catch {
      throw StoreSchema.storageError(error, path: path)
    }
  }

  /// Waits for what is being written, then closes the file. Later calls throw `closed`.
  public func close() {
    let queue = state.withLock { state in
      let queue = state.queue
      state.queue = nil
      return queue
    }
    guard let queue else { return }
    queue.inDatabase { _ in }
    failWaiting()
    try? queue.close()
    lock.release()
  }

  /// - Throws: `closed`.
  func database() throws(StorageError) -> DatabaseQueue {
    guard let queue = state.withLock({ $0.queue }) else { throw .closed }
    return queue
  }

  func replaceDatabase(_ queue: DatabaseQueue) {
    state.withLock { $0.queue = queue }
  }
}

// MARK: - Writing

extension ChangesetStore {
  /// Writes, and calls `completion` when it is durable, or when it is not going to be. Calls come in the
  /// order of the writes, on the store's own queue.
  public func write(
    _ changes: StoreChanges,
    completion: @escaping @Sendable (Result<Void, StorageError>) -> Void
  ) {
    let bytes = changes.put.reduce(0) { $0 + $1.body.count + $1.endorsements.count + 128 }
    let entry = Waiting(changes: changes, bytes: bytes, completion: completion)
    let refusal: StorageError? = state.withLock { state in
      guard state.queue != nil else { return .closed }
      guard state.waitingBytes + bytes <= Self.maximumWaitingBytes || state.waiting.isEmpty else {
        return .overloaded
      }
      state.waiting.append(entry)
      state.waitingBytes += bytes
      return nil
    }
    if let refusal { return completion(.failure(refusal)) }
    startWriting()
  }

  /// Returns when it is durable.
  public func write(_ changes: StoreChanges) async throws(StorageError) {
    let result = await withCheckedContinuation { continuation in
      write(changes) { continuation.resume(returning: $0) }
    }
    try result.get()
  }

  public func append(_ changesets: [StoredChangeset]) async throws(StorageError) {
    try await write(StoreChanges(put: changesets))
  }

  /// Remembers a refusal with the next transaction. Never waits; when refusals come faster than the
  /// disk, the newest are left out.
  public func record(_ rejection: Rejection) {
    state.withLock { state in
      if state.rejections.count < RejectionLog.maximumWaiting { state.rejections.append(rejection) }
    }
    startWriting()
  }

  private func startWriting() {
    let queue: DatabaseQueue? = state.withLock { state in
      guard !state.isWriting, let queue = state.queue else { return nil }
      state.isWriting = true
      return queue
    }
    queue?.asyncWriteWithoutTransaction { [self] database in writeBatch(database) }
  }

  /// On the database's queue: one transaction, then its turn again behind whoever reads.
  private func writeBatch(_ database: Database) {
    guard let (batch, rejections) = nextBatch() else { return }
    let result: Result<Void, StorageError>
    do {
      try commit(batch.map { $0.changes }, rejections, database)
      result = .success(())
    } catch {
      result = .failure(StoreSchema.storageError(error, path: path))
    }
    for entry in batch { entry.completion(result) }
    continueWriting()
  }

  private func continueWriting() {
    let queue: DatabaseQueue? = state.withLock { state in
      guard let queue = state.queue, !(state.waiting.isEmpty && state.rejections.isEmpty) else {
        state.isWriting = false
        return nil
      }
      return queue
    }
    queue?.asyncWriteWithoutTransaction { [self] database in writeBatch(database) }
  }

  private func nextBatch() -> ([Waiting], [Rejection])? {
    state.withLock { state in
      guard !(state.waiting.isEmpty && state.rejections.isEmpty) else {
        state.isWriting = false
        return nil
      }
      var (count, operations) = (0, 0)
      while count < state.waiting.count, operations < Self.maximumBatch {
        let changes = state.waiting[count].changes
        operations += changes.put.count + changes.delete.count + changes.meta.count
        count += 1
      }
      let batch = Array(state.waiting[..<count])
      state.waiting.removeFirst(count)
      state.waitingBytes -= batch.reduce(0) { $0 + $1.bytes }
      defer { state.rejections = [] }
      return (batch, state.rejections)
    }
  }

  private func failWaiting() {
    let rest = state.withLock { state in
      defer { state.waiting = [] }
      return state.waiting
    }
    for entry in rest { entry.completion(.failure(.closed)) }
  }

  private func commit(
    _ batch: [StoreChanges], _ rejections: [Rejection], _ database: Database
  ) throws {
    try database.inTransaction {
      for changes in batch {
        try put(changes.put, database)
        try delete(changes.delete, database)
        for (key, value) in changes.meta { try StoreMeta.set(key, value, database) }
      }
      try RejectionLog.add(rejections, database)
      return .commit
    }
  }

  func put(_ rows: [StoredChangeset], _ database: Database) throws {
    guard !rows.isEmpty else { return }
    let insert = try database.cachedStatement(
      sql: """
        INSERT INTO changeset (id, scope, body, endorsements, ingested, mark)
        VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET scope = excluded.scope, body = excluded.body,
          endorsements = excluded.endorsements, ingested = excluded.ingested, mark = excluded.mark
        WHERE mark <> excluded.mark OR body <> excluded.body OR scope <> excluded.scope
          OR endorsements <> excluded.endorsements
        """)
    for row in rows {
      try insert.execute(arguments: [
        Data(row.id.bytes), row.scope, Data(row.body), Data(row.endorsements),
        Int64(clamping: row.ingestedMilliseconds), Data(mark.mark(row)),
      ])
    }
  }

  func delete(_ ids: [Digest], _ database: Database) throws {
    guard !ids.isEmpty else { return }
    let statement = try database.cachedStatement(sql: "DELETE FROM changeset WHERE id = ?")
    for id in ids { try statement.execute(arguments: [Data(id.bytes)]) }
  }
}
