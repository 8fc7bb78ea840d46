import Base
import GRDB
import Glibc
import Testing

@testable import Runtime

@Suite("Backup, restore and full disks")
struct StorageBackupTests {
  let directory = TemporaryDirectory()
  let other = TemporaryDirectory()

  @Test("a backup taken while writing goes on is restored whole")
  func roundTrip() async throws {
    let store = try ChangesetStore(directory: directory.path)
    let rows = (0..<300).map { row($0) }
    try await store.append(rows)
    let epoch = try store.nextBootEpoch(wallMilliseconds: 7_000_000)
    let file = other.file("backup.db")
    try store.backup(to: file)
    #expect(try PrivateFile.read(file, limit: 10 << 20).mode == 0o600)
    try await store.append([row(999)])
    let later = try store.nextBootEpoch(wallMilliseconds: 8_000_000)
    #expect(throws: StorageError.self) {
      try ChangesetStore.restore(from: file, to: directory.path, wallMilliseconds: 5)
    }
    store.close()

    try ChangesetStore.restore(from: file, to: directory.path, wallMilliseconds: 5)
    let restored = try ChangesetStore(directory: directory.path)
    let (loaded, report) = try load(restored)
    #expect(loaded == rows)
    #expect(report.unverified.isEmpty)
    #expect(try restored.restoredMilliseconds() == 5)
    try restored.clearRestored()
    #expect(try restored.restoredMilliseconds() == nil)
    // Not the backup's: what ran after it has been seen by others.
    #expect(try restored.nextBootEpoch(wallMilliseconds: 0) == later + 1)
    #expect(later > epoch)
  }

  @Test("a backup of another peer is handed out as unverified")
  func elsewhere() async throws {
    let store = try ChangesetStore(directory: directory.path)
    try await store.append((0..<30).map { row($0) })
    let file = directory.file("backup.db")
    try store.backup(to: file)
    try ChangesetStore.restore(from: file, to: other.path, wallMilliseconds: 1)
    let elsewhere = try ChangesetStore(directory: other.path)
    let (loaded, report) = try load(elsewhere)
    #expect(loaded.isEmpty)
    #expect(report.unverified.count == 30)
  }

  @Test("a damaged backup, or no backup, changes nothing")
  func bad() async throws {
    let store = try ChangesetStore(directory: directory.path)
    try await store.append((0..<500).map { row($0) })
    let file = other.file("backup.db")
    try store.backup(to: file)
    store.close()
    let descriptor = open(file, O_RDWR)
    let noise = [UInt8](repeating: 0x5a, count: 8_192)
    #expect(pwrite(descriptor, noise, noise.count, 4_096 * 10) == noise.count)
    close(descriptor)
    try PrivateFile.write(Array("hello, I am no database at all".utf8), to: other.file("text"))
    for path in [file, other.file("text"), other.file("missing")] {
      #expect(throws: StorageError.self) {
        try ChangesetStore.restore(from: path, to: directory.path, wallMilliseconds: 1)
      }
    }
    let again = try ChangesetStore(directory: directory.path)
    #expect(try load(again).rows.count == 500)
    #expect(try again.restoredMilliseconds() == nil)
  }

  @Test("a full disk refuses with its own reason, serves on, and recovers")
  func diskFull() async throws {
    let store = try ChangesetStore(directory: directory.path)
    try await store.append((0..<50).map { row($0) })
    try store.limitPages(to: 40)
    var refused = 0
    for number in 100..<200 {
      do throws(StorageError) {
        try await store.append([row(number, bytes: 4_000)])
      } catch {
        #expect(error == .diskFull)
        refused += 1
      }
    }
    #expect(refused > 50)
    let kept = try load(store).rows
    #expect(kept.count == 150 - refused)
    try store.limitPages(to: 100_000)
    try await store.append([row(500)])
    #expect(try load(store).rows.last == row(500))
  }

  @Test("a file system without space, for real", .enabled(if: getuid() == 0))
  func tinyFileSystem() async throws {
    guard mount("none", other.path, "tmpfs", 0, "size=400k") == 0 else { return }
    defer { umount2(other.path, 0) }
    let store = try ChangesetStore(directory: other.path)
    var (written, refused): ([StoredChangeset], Int) = ([], 0)
    for number in 0..<300 {
      do throws(StorageError) {
        try await store.append([row(number, bytes: 2_000)])
        written.append(row(number, bytes: 2_000))
      } catch {
        #expect(error == .diskFull)
        refused += 1
      }
    }
    #expect(!written.isEmpty && refused > 0)
    #expect(try load(store).rows == written)
    #expect(mount("none", other.path, "tmpfs", UInt(MS_REMOUNT), "size=8m") == 0)
    try await store.append([row(1_000)])
    #expect(try load(store).rows == written + [row(1_000)])
    store.close()
    let again = try ChangesetStore(directory: other.path)
    #expect(try load(again).rows == written + [row(1_000)])
    again.close()
  }
}

extension ChangesetStore {
  func limitPages(to count: Int) throws {
    try read { try $0.execute(sql: "PRAGMA max_page_count = \(count)") }
  }
}
