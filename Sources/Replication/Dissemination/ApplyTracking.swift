public import Base

/// Tells which members have a changeset durably stored and visible: what `apply --wait` shows.
///
/// The peer that took the change asks every member of its scope (again each second those that have
/// not answered), each answers as soon as it has it. Bounded on both sides: what is forgotten is
/// asked again.
public struct ApplyTracking: Sendable {
  public struct Options: Sendable {
    public var retry: Duration = .seconds(1)
    /// Others that wait for an answer of ours, and how long.
    public var watchers = 1_024
    public var watch: Duration = .seconds(60)
    /// Changesets tracked from here at a time.
    public var tracked = 256
    /// IDs that were applied and are answered for at once.
    public var recent = 8_192

    public init() {}
  }

  public enum Input: Sendable {
    /// Someone here waits until these members have it, or until the deadline.
    case track(Digest, members: [NodeID], until: Instant)
    /// Nobody waits for it any more.
    case forget(Digest)
    /// Durably stored here, and visible.
    case applied([Digest])
    case message(SyncMessage, from: NodeID)
    case tick
  }

  private struct Tracked: Sendable {
    var waiting: Set<NodeID>
    var until: Instant
    var retryAt: Instant
    var attempts: Int
  }

  private struct Watcher: Hashable, Comparable, Sendable {
    var id: Digest
    var peer: NodeID

    static func < (a: Watcher, b: Watcher) -> Bool {
      a.id == b.id ? a.peer < b.peer : a.id < b.id
    }
  }

  private let local: NodeID
  private let options: Options
  private var rng: SeededGenerator
  private var tracked: [Digest: Tracked] = [:]
  private var watchers: [Watcher: Instant] = [:]
  private var recent: RecentIDs

  public init(local: NodeID, options: Options = Options(), seed: UInt64) {
    self.local = local
    self.options = options
    rng = SeededGenerator(seed: seed)
    recent = RecentIDs(capacity: options.recent)
  }

  /// Members that have not confirmed a tracked changeset yet, ascending.
  public func waiting(_ id: Digest) -> [NodeID] { tracked[id]?.waiting.sorted() ?? [] }

  public var watcherCount: Int { watchers.count }

  /// `isApplied`: whether this peer has a changeset durably stored and visible, however long since.
  public mutating func handle(
    _ input: Input, isApplied: (Digest) -> Bool, now: Now, effects: inout [SyncEffect]
  ) {
    let now = now.instant
    switch input {
    case .track(let id, let members, let until):
      track(id, members, until, isApplied: isApplied, now: now, effects: &effects)
    case .forget(let id):
      tracked[id] = nil
    case .applied(let ids):
      applied(ids, now: now, effects: &effects)
    case .message(.track(let ids), let peer):
      watch(ids, peer, isApplied: isApplied, now: now, effects: &effects)
    case .message(.applied(let ids), let peer):
      guard ids.count <= SyncLimits.ids else { return }
      for id in ids { confirm(id, by: peer, effects: &effects) }
    case .message:
      break
    case .tick:
      watchers = watchers.filter { $0.value > now }
    }
    advance(now: now, effects: &effects)
  }

  public var nextDeadline: Instant? {
    (tracked.values.map { min($0.retryAt, $0.until) } + watchers.values).min()
  }

  private mutating func track(
    _ id: Digest, _ members: [NodeID], _ until: Instant, isApplied: (Digest) -> Bool,
    now: Instant, effects: inout [SyncEffect]
  ) {
    guard tracked[id] != nil || tracked.count < options.tracked else {
      effects.append(.event(.refused("too many changes are waited for", from: local)))
      return
    }
    tracked[id] = Tracked(waiting: Set(members), until: until, retryAt: now, attempts: 0)
    if members.contains(local), recent.contains(id) || isApplied(id) {
      confirm(id, by: local, effects: &effects)
    }
  }

  private mutating func applied(
    _ ids: [Digest], now: Instant, effects: inout [SyncEffect]
  ) {
    for id in ids {
      recent.insert(id)
      confirm(id, by: local, effects: &effects)
    }
    guard !watchers.isEmpty else { return }
    let done = Set(ids)
    let answered = watchers.keys.filter { done.contains($0.id) }.sorted()
    var answers: [NodeID: [Digest]] = [:]
    for watcher in answered {
      watchers[watcher] = nil
      answers[watcher.peer, default: []].append(watcher.id)
    }
    for peer in answers.keys.sorted() {
      answer(answers[peer] ?? [], to: peer, effects: &effects)
    }
  }

  /// IDs in one message: as many as a datagram takes.
  private static let batch = 32

  private func answer(_ ids: [Digest], to peer: NodeID, effects: inout [SyncEffect]) {
    for start in stride(from: 0, to: ids.count, by: Self.batch) {
      let batch = Array(ids[start..<min(start + Self.batch, ids.count)])
      effects.append(.send(to: peer, .applied(batch), reliable: false))
    }
  }

  private mutating func watch(
    _ ids: [Digest], _ peer: NodeID, isApplied: (Digest) -> Bool, now: Instant,
    effects: inout [SyncEffect]
  ) {
    guard ids.count <= SyncLimits.ids else {
      effects.append(.event(.refused("ids", from: peer)))
      return
    }
    var have: [Digest] = []
    for id in ids {
      if recent.contains(id) || isApplied(id) {
        have.append(id)
      } else {
        let watcher = Watcher(id: id, peer: peer)
        if watchers[watcher] != nil || watchers.count < options.watchers {
          watchers[watcher] = now + options.watch
        }
      }
    }
    answer(have, to: peer, effects: &effects)
  }

  private mutating func confirm(_ id: Digest, by peer: NodeID, effects: inout [SyncEffect]) {
    guard tracked[id]?.waiting.remove(peer) != nil else { return }
    effects.append(.confirmed(id, by: peer))
    if tracked[id]?.waiting.isEmpty == true { tracked[id] = nil }
  }

  private mutating func advance(now: Instant, effects: inout [SyncEffect]) {
    var questions: [NodeID: [Digest]] = [:]
    for id in tracked.keys.sorted() {
      guard var entry = tracked[id] else { continue }
      guard entry.until > now else {
        tracked[id] = nil
        continue
      }
      guard entry.retryAt <= now else { continue }
      for peer in entry.waiting where peer != local { questions[peer, default: []].append(id) }
      entry.attempts += 1
      let wait = options.retry * (1 << min(entry.attempts - 1, 4))
      entry.retryAt = now + wait + .random(upTo: wait / 4, using: &rng)
      tracked[id] = entry
    }
    for peer in questions.keys.sorted() {
      let ids = questions[peer] ?? []
      for start in stride(from: 0, to: ids.count, by: Self.batch) {
        let batch = Array(ids[start..<min(start + Self.batch, ids.count)])
        effects.append(.send(to: peer, .track(batch), reliable: false))
      }
    }
  }
}
