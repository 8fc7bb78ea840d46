internal import Base
internal import Logging
internal import NIOCore
internal import Peer
internal import Replication

/// Between the core and the disk.
///
/// What is not on disk is neither acknowledged nor confirmed to others. While the disk refuses writes
/// the peer goes on with what it has, refuses what is pushed to it, and tries again.
extension PeerEngine {
  /// Arrival times kept for `starling log`.
  private static let receivedLimit = 16_384
  /// How often a disk that refused is asked again.
  private static let storageRetry: TimeAmount = .seconds(2)

  func makeDurable(_ changesets: [Changeset]) {
    let now = WallClock.now
    for changeset in changesets { bound.value.received[changeset.id] = now.wallMilliseconds }
    if bound.value.received.count > Self.receivedLimit { bound.value.received.removeAll() }
    let ids = changesets.map(\.id)
    let began = now.instant
    store.write(StoreChanges(put: changesets.map { StoredChangeset($0, now: now) })) { result in
      self.loop.execute { self.written(ids, result, began: began) }
    }
  }

  private func written(
    _ ids: [Digest], _ result: Result<Void, StorageError>, began: Instant
  ) {
    switch result {
    case .success:
      metrics.stored(ids.count, took: WallClock.now.instant - began)
      if bound.value.storageProblem != nil {
        bound.value.storageProblem = nil
        logger.notice("the disk takes changes again")
      }
      handle(.stored(ids))
      for id in ids { for promise in take(id) { promise.succeed() } }
    case .failure(let error):
      for id in ids { for promise in take(id) { promise.fail(error) } }
      guard bound.value.storageProblem == nil else { return }
      bound.value.storageProblem = error
      logger.error("changes are not durable", metadata: ["why": "\(error)"])
      retryStorage()
    }
  }

  private func take(_ id: Digest) -> [EventLoopPromise<Void>] {
    bound.value.durable.removeValue(forKey: id) ?? []
  }

  private func retryStorage() {
    loop.scheduleTask(in: Self.storageRetry) {
      guard self.bound.value.storageProblem != nil else { return }
      let waiting = self.bound.value.peer.unstoredChangesets
      guard !waiting.isEmpty else {
        self.bound.value.storageProblem = nil
        return
      }
      self.makeDurable(waiting)
      self.retryStorage()
    }
  }

  /// Waits until none of these waits for the disk.
  func durable(_ ids: [Digest]) async throws {
    let waiting = try await loop.submit { () -> [EventLoopFuture<Void>] in
      try ids.filter { self.bound.value.peer.isUnstored($0) }.map { id in
        if let problem = self.bound.value.storageProblem { throw problem }
        let promise = self.loop.makePromise(of: Void.self)
        self.bound.value.durable[id, default: []].append(promise)
        return promise.futureResult
      }
    }.get()
    for future in waiting { try await future.get() }
  }

  /// What keeps changes from the disk, where something does.
  func storageProblem() async -> StorageError? {
    (try? await loop.submit { self.bound.value.storageProblem }.get()) ?? nil
  }
}
