internal import Base

/// One reconciliation with one peer in one scope: first find out what differs, then fetch it.
struct SyncSession: Sendable {
  struct Key: Hashable, Comparable, Sendable {
    var scope: Scope
    var peer: NodeID

    static func < (a: Key, b: Key) -> Bool {
      a.scope == b.scope ? a.peer < b.peer : a.scope < b.scope
    }
  }

  enum Stage: Sendable {
    /// Streaming symbols; with the digests of both sets when the first window came.
    case sketch(SketchDecoder, local: SetDigest, remote: SetDigest?)
    /// Comparing ranges: those still to ask about, and those asked about.
    case ranges(frontier: [RangePrefix], asked: [RangePrefix])
    /// The difference is known, or everything is wanted: fetching.
    case transfer
  }

  /// The one question under way in the first two stages.
  struct Question: Sendable {
    var message: SyncMessage
    var deadline: Instant
    var attempts: Int
  }

  var kind: Reconciliation
  /// We began it; otherwise the other side offered, and we only fetch.
  let initiated: Bool
  let started: Instant
  var stage: Stage
  var question: Question?
  var fetch: FetchQueue
  /// How often the sets changed under the sketch.
  var restarts = 0
  /// Out of budget, here or there: nothing is sent before.
  var pausedUntil: Instant?
  /// Digests that the session began with.
  let local: SetDigest
  let remote: SetDigest?

  var lacked = 0
  var offered = 0
  var controlBytes = 0
  var changesetBytes = 0
  var rounds = 0

  init(
    kind: Reconciliation, initiated: Bool, now: Instant, local: SetDigest, remote: SetDigest?,
    firstRequest: UInt32
  ) {
    self.kind = kind
    self.initiated = initiated
    started = now
    self.local = local
    self.remote = remote
    fetch = FetchQueue(firstRequest: firstRequest)
    switch kind {
    case .sketch: stage = .sketch(SketchDecoder(), local: local, remote: nil)
    case .ranges: stage = .ranges(frontier: [.all], asked: [])
    case .full: stage = .transfer
    }
  }

  var isComparing: Bool {
    if case .transfer = stage { false } else { true }
  }

  var isUnanswered: Bool {
    (question?.attempts ?? 1) > 1 || fetch.isUnanswered
  }

  func report(_ key: Key, _ outcome: SessionReport.Outcome, now: Instant) -> SessionReport {
    SessionReport(
      scope: key.scope, peer: key.peer, kind: kind, outcome: outcome, initiated: initiated,
      lacked: lacked, offered: offered, controlBytes: controlBytes, changesetBytes: changesetBytes,
      rounds: rounds, duration: now - started)
  }
}
