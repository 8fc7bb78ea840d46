import Base
import GRDB
import Glibc
import Testing

@testable import Runtime

func row(_ number: Int, bytes: Int = 300) -> StoredChangeset {
  var generator = SeededGenerator(seed: UInt64(number))
  let body = (0..<bytes).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
  return StoredChangeset(
    id: Sodium.sha256(body), scope: number.isMultiple(of: 3) ? "slice/blue" : "clusterset",
    body: body, endorsements: Array(body.prefix(96)), ingestedMilliseconds: UInt64(number))
}

func load(_ store: ChangesetStore) throws -> (rows: [StoredChangeset], report: LoadReport) {
  var rows: [StoredChangeset] = []
  let report = try store.loadAll { rows += $0 }
  return (rows, report)
}

@Suite("Store")
struct StorageTests {
  let directory = TemporaryDirectory()

  /// Changes the file behind the store's back.
  private func meddle(_ sql: String) throws {
    let queue = try DatabaseQueue(path: directory.file("state.db"))
    try queue.inDatabase { try $0.execute(sql: sql) }
    try queue.close()
  }

  @Test("what was acknowledged is there after opening again, in order")
  func roundTrip() async throws {
    let rows = (0..<1_000).map { row($0) }
    do {
      let store = try ChangesetStore(directory: directory.path)
      try await store.append(rows)
      try await store.append(Array(rows.prefix(10)))
      #expect(try store.count() == 1_000)
      try await store.write(StoreChanges(delete: [rows[3].id]))
      store.close()
    }
    let store = try ChangesetStore(directory: directory.path)
    var sizes: [Int] = []
    var loaded: [StoredChangeset] = []
    let report = try store.loadAll(chunk: 256) {
      sizes.append($0.count)
      loaded += $0
    }
    var expected = rows
    expected.remove(at: 3)
    #expect(loaded == expected)
    #expect(sizes == [256, 256, 256, 231])
    #expect(report.loaded == 999)
    #expect(report.unverified.isEmpty && report.unreadable == 0 && report.salvage == nil)
    #expect(try PrivateFile.read(directory.file("store.key"), limit: 64).mode == 0o600)
  }

  @Test("many callers share transactions, and each is told")
  func groupCommit() async throws {
    let store = try ChangesetStore(directory: directory.path)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<500 {
        group.addTask { try await store.append([row(number)]) }
      }
      try await group.waitForAll()
    }
    #expect(try store.count() == 500)
  }

  @Test("one daemon a directory")
  func exclusive() throws {
    let store = try ChangesetStore(directory: directory.path)
    #expect(
      throws: StorageError.inUse(directory: directory.path, process: "\(getpid())")
    ) {
      try ChangesetStore(directory: directory.path)
    }
    withExtendedLifetime(store) {}
    #expect(throws: StorageError.self) { try ChangesetStore(directory: "/no/such/place") }
  }

  @Test(
    "a store that was closed is free, even while a child between fork and exec has the lock open")
  func releasedDespiteCopies() throws {
    let store = try ChangesetStore(directory: directory.path)
    let lock = try #require(
      (0..<1_024).first { number in
        var path = [CChar](repeating: 0, count: 512)
        let count = readlink("/proc/self/fd/\(number)", &path, path.count - 1)
        return count > 0
          && String(decoding: path.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
            == directory.file("lock")
      })
    let copy = dup(Int32(lock))
    defer { close(copy) }
    store.close()
    try ChangesetStore(directory: directory.path).close()
  }

  @Test("a closed store says so")
  func closed() async throws {
    let store = try ChangesetStore(directory: directory.path)
    store.close()
    await #expect(throws: StorageError.closed) { try await store.append([row(1)]) }
    #expect(throws: StorageError.closed) { try store.count() }
    store.close()
  }

  @Test("an edited row loses its mark and is handed out apart")
  func editedRow() async throws {
    let rows = (0..<20).map { row($0) }
    do {
      let store = try ChangesetStore(directory: directory.path)
      try await store.append(rows)
      store.close()
    }
    try meddle("UPDATE changeset SET body = x'00' || substr(body, 2) WHERE position = 5")
    try meddle("UPDATE changeset SET scope = 'slice/red' WHERE position = 6")
    try meddle("UPDATE changeset SET endorsements = x'' WHERE position = 7")
    try meddle(
      "UPDATE changeset SET mark = (SELECT mark FROM changeset WHERE position = 9) WHERE position = 8"
    )
    try meddle("UPDATE changeset SET id = x'0102' WHERE position = 10")
    try meddle("UPDATE changeset SET mark = 'text' WHERE position = 11")
    let store = try ChangesetStore(directory: directory.path)
    let (loaded, report) = try load(store)
    #expect(
      loaded == rows.enumerated().filter { !(4...10).contains($0.0) || $0.0 == 8 }.map { $0.1 })
    #expect(report.unverified.count == 4)
    #expect(report.unverified.last == rows[7])
    #expect(report.unreadable == 2)
    #expect(try store.count() == 18)
    // Verified again and put back, or put right by what peers send.
    try await store.append([rows[4], rows[7]])
    let again = try load(store)
    #expect(again.report.unverified.count == 2)
    #expect(again.rows.contains(rows[4]) && again.rows.contains(rows[7]))
  }

  @Test("another key beside the store makes every row unverified, and loses none")
  func lostKey() async throws {
    do {
      let store = try ChangesetStore(directory: directory.path)
      try await store.append((0..<10).map { row($0) })
      store.close()
    }
    unlink(directory.file("store.key"))
    let store = try ChangesetStore(directory: directory.path)
    let (loaded, report) = try load(store)
    #expect(loaded.isEmpty)
    #expect(report.unverified == (0..<10).map { row($0) })
  }

  @Test("pages that cannot be read cost what is on them, not the rest")
  func tornPages() async throws {
    let rows = (0..<2_000).map { row($0) }
    do {
      let store = try ChangesetStore(directory: directory.path)
      try await store.append(rows)
      try store.setValue([1, 2, 3], for: "identity")
      store.close()
    }
    let file = open(directory.file("state.db"), O_RDWR)
    let noise = [UInt8](repeating: 0xa5, count: 4_096 * 3)
    #expect(pwrite(file, noise, noise.count, 4_096 * 90) == noise.count)
    close(file)
    let store = try ChangesetStore(directory: directory.path)
    let (loaded, report) = try load(store)
    #expect(report.salvage != nil)
    #expect(loaded.count > 1_000 && loaded.count < 2_000)
    #expect(Set(loaded).isSubset(of: Set(rows)))
    #expect(Set(loaded).count == loaded.count)
    #expect(try store.value("identity") == [1, 2, 3])
    // It works as before, and is whole again.
    try await store.append(rows)
    #expect(try store.count() == 2_000)
    #expect(try load(store).report.salvage == nil)
    #expect(directory.names.contains("state.db.damaged"))
  }

  @Test("other files are not taken for a store, nor stores of later releases")
  func foreign() throws {
    try PrivateFile.write(
      Array("not a database, whatever it is called".utf8), to: directory.file("state.db"))
    #expect(throws: StorageError.notAStore(path: directory.file("state.db"))) {
      try ChangesetStore(directory: directory.path)
    }
    unlink(directory.file("state.db"))
    try meddle("CREATE TABLE other (x)")
    #expect(throws: StorageError.notAStore(path: directory.file("state.db"))) {
      try ChangesetStore(directory: directory.path)
    }
    for suffix in ["", "-wal", "-shm"] { unlink(directory.file("state.db" + suffix)) }
    try ChangesetStore(directory: directory.path).close()
    try meddle("PRAGMA user_version = 9")
    #expect(throws: StorageError.tooNew(path: directory.file("state.db"), version: 9)) {
      try ChangesetStore(directory: directory.path)
    }
  }

  @Test("boot epochs only rise")
  func bootEpoch() throws {
    var last: UInt64 = 0
    for wall: UInt64 in [5_000, 5_000, 4_000, 9_000_000] {
      let store = try ChangesetStore(directory: directory.path)
      let epoch = try store.nextBootEpoch(wallMilliseconds: wall)
      #expect(epoch > last && epoch >= wall / 1_000)
      last = epoch
      store.close()
    }
    let store = try ChangesetStore(directory: directory.path)
    try store.raiseBootEpoch(to: 1_000_000)
    try store.raiseBootEpoch(to: 3)
    #expect(try store.nextBootEpoch(wallMilliseconds: 0) == 1_000_001)
    #expect(try store.nextBootEpoch(wallMilliseconds: 0, least: 2_000_000) == 2_000_000)
  }

  @Test("refusals are kept, the newest first, within bounds")
  func rejections() async throws {
    let store = try ChangesetStore(directory: directory.path)
    let key = SigningKey().publicKey
    for number in 0..<200 {
      store.record(
        Rejection(
          timeMilliseconds: UInt64(number), reason: "bad signature \(number)", source: "10.0.0.1",
          author: key, id: number == 199 ? Sodium.sha256([1]) : nil,
          head: [UInt8](repeating: 1, count: 1_000)))
    }
    try await store.append([row(1)])
    let newest = try store.rejections(limit: 5)
    #expect(newest.map { $0.timeMilliseconds } == [199, 198, 197, 196, 195])
    #expect(newest[0].author == key && newest[0].id == Sodium.sha256([1]))
    #expect(newest[0].head.count == Rejection.maximumHead)
    for number in 0..<(RejectionLog.maximumRows + 500) {
      store.record(Rejection(timeMilliseconds: UInt64(number), reason: "r", source: "s"))
      if number.isMultiple(of: 200) { try await store.append([row(2)]) }
    }
    try await store.append([row(3)])
    #expect(try store.rejections(limit: .max).count <= RejectionLog.maximumRows)
  }
}
