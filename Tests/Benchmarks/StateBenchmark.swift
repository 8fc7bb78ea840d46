import Base
import Foundation
import Replication
import Runtime
import Synchronization
import Wire

/// Fills a store with verified changesets, rebuilds the state from it in a process of its own, and
/// measures what it takes to even out two such sets.
struct StateBenchmark {
  let count: Int
  private static let batch = 256

  func run() throws {
    note("signing \(count) changesets")
    let world = World(changesets: count)
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("starling-bench-\(ProcessInfo.processInfo.processIdentifier)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var figures = Figures()
    figures.add("changesets", world.wire.count)
    let bytes = world.wire.reduce(0) { $0 + $1.count }
    figures.add("changeset_bytes_mean", Double(bytes) / Double(world.wire.count))
    let ids = try fill(folder, with: world, &figures)
    try ColdStart.run(in: folder, genesis: world.genesis, expecting: count, &figures)
    for differences in [1, 10, 100, 1_000] {
      note("evening out \(differences) differences")
      let bytes = SyncMeasurement.bytes(ids: ids, differences: differences)
      figures.add("sync_bytes_\(differences)_differences", bytes)
    }
    print(figures.json)
  }

  /// Decodes, verifies, takes in and stores, as a peer does with what others send it.
  ///
  /// - Returns: the IDs of what was taken.
  private func fill(
    _ folder: String, with world: World, _ figures: inout Figures
  ) throws -> [Digest] {
    note("taking them in")
    let store = try ChangesetStore(directory: folder)
    var state = ReplicatedState(genesis: world.genesis, crypto: .sodium, cluster: World.cluster)
    var ids: [Digest] = []
    ids.reserveCapacity(world.wire.count)
    let failures = Mutex<[String]>([])
    let group = DispatchGroup()
    let before = Usage.now
    for start in stride(from: 0, to: world.wire.count, by: Self.batch) {
      var changes = StateChanges()
      for bytes in world.wire[start..<min(start + Self.batch, world.wire.count)] {
        let changeset = try ChangesetCodec.decode(bytes, crypto: .sodium)
        let outcome = state.ingest(changeset, now: World.now, changes: &changes)
        guard outcome == .accepted else { throw BenchmarkError("not accepted: \(outcome)") }
        ids.append(changeset.id)
      }
      group.enter()
      store.write(StoreChanges(put: changes.toStore.map(Self.row))) { result in
        if case .failure(let error) = result { failures.withLock { $0.append("\(error)") } }
        group.leave()
      }
    }
    let taken = Usage.now
    group.wait()
    let stored = Usage.now
    if let failure = failures.withLock({ $0.first }) { throw BenchmarkError(failure) }
    let total = Double(ids.count)
    figures.add("ingest_per_second_per_core", total / (stored.cpuSeconds - before.cpuSeconds))
    figures.add("ingest_per_second_wall", total / stored.wallSeconds(since: before))
    figures.add("ingest_cpu_seconds", stored.cpuSeconds - before.cpuSeconds)
    figures.add("ingest_disk_wait_seconds", stored.wallSeconds(since: taken))
    store.close()
    return ids
  }

  private static func row(_ changeset: Changeset) -> StoredChangeset {
    StoredChangeset(
      id: changeset.id, scope: changeset.scope.description, body: changeset.body,
      endorsements: ChangesetCodec.encodeEndorsements(changeset),
      ingestedMilliseconds: World.now.wallMilliseconds)
  }
}
