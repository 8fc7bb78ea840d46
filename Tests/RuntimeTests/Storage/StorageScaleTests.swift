import Base
import Testing

@testable import Runtime

@Suite("Store at scale", .serialized)
struct StorageScaleTests {
  let directory = TemporaryDirectory()

  @Test("100,000 changesets are appended in batches and loaded fast")
  func hundredThousand() async throws {
    let clock = ContinuousClock()
    let store = try ChangesetStore(directory: directory.path)
    let rows = (0..<100_000).map { row($0, bytes: 200) }
    let appended = try await clock.measure {
      for start in stride(from: 0, to: rows.count, by: 1_000) {
        try await store.append(Array(rows[start..<start + 1_000]))
      }
    }
    store.close()
    let again = try ChangesetStore(directory: directory.path)
    var loaded = 0
    let took = try clock.measure {
      let report = try again.loadAll { loaded += $0.count }
      #expect(report.unverified.isEmpty)
    }
    #expect(loaded == rows.count)
    print("append 100,000: \(appended), load: \(took)")
  }
}
