package import Base
internal import Dispatch
package import Replication
internal import Synchronization
internal import Wire

/// Rebuilds the state from the store: rows are read in order, decoded on all cores, taken in order.
package enum StateLoading {
  package struct Loaded {
    package var state: ReplicatedState
    package var report: LoadReport
    /// Rows whose content could not be decoded; anti-entropy brings them again.
    package var undecodable = 0
  }

  package static func load(
    from store: ChangesetStore, genesis: Genesis, cluster: String, now: Now
  ) throws -> Loaded {
    var chunks: [[StoredChangeset]] = []
    let report = try store.loadAll(chunk: 4_096) { chunks.append($0) }
    let decoded = Mutex<[[Changeset]]>(Array(repeating: [], count: chunks.count))
    let rows = chunks
    DispatchQueue.concurrentPerform(iterations: rows.count) { index in
      let changesets = rows[index].compactMap { row in
        try? ChangesetCodec.decode(body: row.body, endorsements: row.endorsements, id: row.id)
      }
      decoded.withLock { $0[index] = changesets }
    }
    // Not copied into one array: at 100,000 changesets that would be 30 MB at the worst moment.
    let changesets = decoded.withLock { $0 }.joined()
    var state = ReplicatedState(genesis: genesis, crypto: .sodium, cluster: cluster)
    var changes = StateChanges()
    state.load(changesets, now: now, changes: &changes)
    // Rows without a true mark (another directory's backup, an edited row) are judged like news.
    for row in report.unverified {
      if let changeset = try? ChangesetCodec.decode(
        body: row.body, endorsements: row.endorsements, id: row.id)
      {
        _ = state.ingest(changeset, now: now, changes: &changes)
      }
    }
    return Loaded(
      state: state, report: report, undecodable: report.loaded - changesets.count)
  }
}
