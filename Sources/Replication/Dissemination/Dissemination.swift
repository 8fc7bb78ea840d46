public import Base

/// Carries new changesets to every member of their scope: at once, over an overlay.
///
/// Each link is eager (changesets are pushed) or lazy (their IDs are announced, 20 ms' worth at a
/// time, and who misses one after a while grafts it), as in Plumtree (Leitao, Pereira and Rodrigues,
/// SRDS 2007). `Overlay` says which is which: a changeset floods the few eager links along all shortest
/// paths, and the lazy ones mend what is lost. With `Options.trees` eager links that bring only
/// duplicates become lazy too, and a tree is left.
///
/// Nothing is remembered of a changeset before the state took it: an altered copy of it, which has
/// the same ID where only the signature was altered, must not keep the true one out.
public struct Dissemination: Sendable {
  public struct Options: Sendable {
    public var trees = false
    /// Duplicates in a row after which a link is pruned.
    public var pruneAfter = 2
    public var announceDelay: Duration = .milliseconds(20)
    /// How long an announced changeset may take to be pushed, at least (and 1.5 round trips).
    public var graftDelay: Duration = .milliseconds(40)
    /// Members beside the neighbours that a changeset is pushed to by the peer where it is made.
    public var sourceFanout = 48
    public var graftAttempts = 8
    public var recent = 16_384
    /// Announced changesets that are waited for.
    public var missing = 4_096
    /// Announcements that wait to be sent on one link; anti-entropy finds what is above.
    public var queued = 4_096
    /// Pushes and announcements, per peer; above it changesets are announced, then nothing is sent.
    public var budget = ByteBudget.Limit(bytesPerSecond: 65_536, burst: 1_048_576)

    public init() {}
  }

  public enum Input: Sendable {
    /// Who else holds a scope now, with round trips: the overlay follows.
    case holders(Scope, Holders)
    /// One more, or one less; the overlay follows at once only where it has to.
    case joined(Scope, SyncPeer)
    case left(Scope, NodeID)
    case scopeDropped(Scope)
    /// The state took this into a compared set, and it is new there; `from` nil where it is made here.
    case accepted(Changeset, from: NodeID?, Arrival)
    case message(SyncMessage, from: NodeID)
    case tick
  }

  struct Missing: Sendable {
    /// Who announced it, the nearest first.
    var holders: [NodeID]
    var due: Instant
    var attempts = 0
  }

  struct Link: Sendable {
    var lazy: Set<Scope> = []
    var duplicates: [Scope: Int] = [:]
    var queue: [Digest] = []
    var flushAt: Instant?
    var budget: ByteBudget
  }

  private let local: NodeID
  private let options: Options
  private var rng: SeededGenerator
  private var members: [Scope: Holders] = [:]
  private var overlays: [Scope: Overlay] = [:]
  private var links: [NodeID: Link] = [:]
  private var recent: RecentIDs
  private var missing: [Digest: Missing] = [:]
  /// No link has to be flushed, and nothing grafted, before these.
  private var flushAt = Instant.distantFuture
  private var graftAt = Instant.distantFuture

  public init(local: NodeID, options: Options = Options(), seed: UInt64) {
    self.local = local
    self.options = options
    rng = SeededGenerator(seed: seed)
    recent = RecentIDs(capacity: options.recent)
  }

  /// Whom this peer sends a scope's changesets to, ascending.
  public func neighbours(_ scope: Scope) -> [NodeID] { overlays[scope]?.neighbours ?? [] }

  /// Those of them that are announced to instead of pushed to.
  public func lazyNeighbours(_ scope: Scope) -> [NodeID] {
    neighbours(scope).filter { isLazy($0, scope) }
  }

  private func isLazy(_ peer: NodeID, _ scope: Scope) -> Bool {
    overlays[scope]?.lazy.contains(peer) == true || links[peer]?.lazy.contains(scope) == true
  }

  public mutating func handle(
    _ input: Input, source: some SyncSource, now: Now, effects: inout [SyncEffect]
  ) {
    let now = now.instant
    switch input {
    case .holders(let scope, var holders):
      holders.remove(local)
      members[scope] = holders
      follow(scope, now: now)
      dropGone()
    case .joined(let scope, let peer):
      guard peer.id != local else { break }
      members[scope, default: Holders()].insert(peer)
      if members[scope]?.count ?? 0 <= Overlay.floodSize { follow(scope, now: now) }
    case .left(let scope, let peer):
      members[scope]?.remove(peer)
      if overlays[scope]?.neighbours.contains(peer) == true { follow(scope, now: now) }
      if !isKnown(peer) { links[peer] = nil }
    case .scopeDropped(let scope):
      members[scope] = nil
      overlays[scope] = nil
      dropGone()
    case .accepted(let changeset, let origin, let arrival):
      accept(changeset, from: origin, arrival, now: now, effects: &effects)
    case .message(let message, let peer):
      receive(message, from: peer, source: source, now: now, effects: &effects)
    case .tick:
      break
    }
    advance(source: source, now: now, effects: &effects)
  }

  public var nextDeadline: Instant? {
    let next = min(flushAt, graftAt)
    return next == .distantFuture ? nil : next
  }

  // MARK: Overlay

  /// Chooses the links of a scope anew.
  private mutating func follow(_ scope: Scope, now: Instant) {
    let old = overlays[scope]
    let holders = members[scope] ?? Holders()
    let overlay = Overlay(of: local, in: scope, among: holders, count: holders.count)
    guard overlay != old else { return }
    let known = Set(old?.neighbours ?? [])
    // A link that is new to the scope starts as the overlay has it.
    for peer in overlay.neighbours where !known.contains(peer) {
      open(peer, now: now)
      links[peer]?.lazy.remove(scope)
    }
    overlays[scope] = overlay
  }

  private mutating func open(_ peer: NodeID, now: Instant) {
    if links[peer] == nil { links[peer] = Link(budget: ByteBudget(options.budget, now: now)) }
  }

  private mutating func dropGone() {
    links = links.filter { isKnown($0.key) }
  }

  private func isKnown(_ peer: NodeID) -> Bool {
    members.values.contains { $0.contains(peer) }
  }

  private func roundTrip(_ peer: NodeID) -> Duration {
    let known = members.values.lazy.compactMap { $0.roundTrip(peer) }.min() ?? .unknownRoundTrip
    return min(max(known, .zero), .seconds(5))
  }

  // MARK: Sending on

  private mutating func accept(
    _ changeset: Changeset, from origin: NodeID?, _ arrival: Arrival, now: Instant,
    effects: inout [SyncEffect]
  ) {
    missing[changeset.id] = nil
    guard recent.insert(changeset.id) else { return }
    if let origin, arrival == .pushed { links[origin]?.duplicates[changeset.scope] = 0 }
    var copies = 0
    if origin == nil, arrival == .pushed {
      for peer in sample(changeset.scope)
      where push([changeset], to: peer, now: now, effects: &effects) { copies += 1 }
    }
    for peer in neighbours(changeset.scope) where peer != origin {
      let eager = arrival == .pushed && !isLazy(peer, changeset.scope)
      if eager, push([changeset], to: peer, now: now, effects: &effects) {
        copies += 1
      } else if arrival != .bulk {
        queue(changeset.id, to: peer, now: now)
      }
    }
    effects.append(.event(.forwarded(changeset.id, copies: copies)))
  }

  /// Members all over the world for a changeset that is made here: so it is one hop from most regions,
  /// and from there a few short ones to anyone.
  private mutating func sample(_ scope: Scope) -> [NodeID] {
    guard let members = members[scope], members.count > Overlay.floodSize else { return [] }
    var taken = Set(neighbours(scope))
    var out: [NodeID] = []
    for _ in 0..<min(options.sourceFanout, members.count / 4) {
      guard let peer = members.random(using: &rng) else { break }
      if taken.insert(peer).inserted { out.append(peer) }
    }
    return out
  }

  /// Whether the peer's budget allowed it.
  private mutating func push(
    _ changesets: [Changeset], to peer: NodeID, now: Instant, effects: inout [SyncEffect]
  ) -> Bool {
    let message = SyncMessage.push(changesets)
    let size = message.encodedSize
    open(peer, now: now)
    guard links[peer]?.budget.take(size, now: now) == true else {
      effects.append(.event(.overBudget(peer)))
      return false
    }
    effects.append(.send(to: peer, message, reliable: size > SyncLimits.datagramBytes))
    return true
  }

  private mutating func queue(_ id: Digest, to peer: NodeID, now: Instant) {
    open(peer, now: now)
    guard let count = links[peer]?.queue.count, count < options.queued else { return }
    links[peer]?.queue.append(id)
    if links[peer]?.flushAt == nil {
      links[peer]?.flushAt = now + options.announceDelay
      flushAt = min(flushAt, now + options.announceDelay)
    }
  }

  // MARK: Receiving

  private mutating func receive(
    _ message: SyncMessage, from peer: NodeID, source: some SyncSource, now: Instant,
    effects: inout [SyncEffect]
  ) {
    if let limit = message.limitBroken {
      effects.append(.event(.refused(limit, from: peer)))
      return
    }
    switch message {
    case .push(let changesets):
      receive(changesets, from: peer, source: source, now: now, effects: &effects)
    case .announce(let ids):
      for id in ids { hear(of: id, from: peer, source: source, now: now) }
    case .graft(let ids):
      serve(ids, to: peer, source: source, now: now, effects: &effects)
    case .prune(let scope):
      guard neighbours(scope).contains(peer) else { return }
      links[peer]?.lazy.insert(scope)
    case .digests, .symbolsRequest, .symbols, .rangesRequest, .ranges, .have, .want, .delivery,
      .redirect, .track, .applied:
      break  // anti-entropy's and apply tracking's
    }
  }

  private mutating func receive(
    _ changesets: [Changeset], from peer: NodeID, source: some SyncSource, now: Instant,
    effects: inout [SyncEffect]
  ) {
    var fresh: [Changeset] = []
    for changeset in changesets {
      guard members[changeset.scope] != nil else {
        effects.append(.event(.refused("\(changeset.scope) is not ours", from: peer)))
        continue
      }
      if recent.contains(changeset.id) || source.changeset(changeset.id) != nil {
        effects.append(.event(.duplicate(changeset.id, from: peer)))
        countDuplicate(changeset.scope, from: peer, now: now, effects: &effects)
      } else {
        fresh.append(changeset)
      }
    }
    if !fresh.isEmpty { effects.append(.deliver(fresh, from: peer, .pushed)) }
  }

  private mutating func countDuplicate(
    _ scope: Scope, from peer: NodeID, now: Instant, effects: inout [SyncEffect]
  ) {
    // Whoever pushes to us, our neighbour or not: nearness is not symmetric.
    guard options.trees, members[scope]?.contains(peer) == true else { return }
    open(peer, now: now)
    let duplicates = (links[peer]?.duplicates[scope] ?? 0) + 1
    links[peer]?.duplicates[scope] = duplicates
    if duplicates >= options.pruneAfter {
      links[peer]?.duplicates[scope] = 0
      links[peer]?.lazy.insert(scope)
      effects.append(.send(to: peer, .prune(scope), reliable: false))
    }
  }

  private mutating func hear(
    of id: Digest, from peer: NodeID, source: some SyncSource, now: Instant
  ) {
    guard !recent.contains(id), source.changeset(id) == nil else { return }
    // Nearest first: who is far takes long to ask, and may be the first to speak of it all the same.
    let wait = max(options.graftDelay, roundTrip(peer) * 3 / 2)
    if var known = missing[id] {
      guard known.holders.count < Self.holderLimit, !known.holders.contains(peer) else { return }
      let place = known.holders.firstIndex { roundTrip(peer) < roundTrip($0) }
      known.holders.insert(peer, at: place ?? known.holders.count)
      if known.attempts == 0 { known.due = min(known.due, now + wait) }
      missing[id] = known
    } else if missing.count < options.missing {
      missing[id] = Missing(holders: [peer], due: now + wait)
    }
    if let due = missing[id]?.due { graftAt = min(graftAt, due) }
  }

  /// Members remembered that announced one changeset.
  private static let holderLimit = 6

  private mutating func serve(
    _ ids: [Digest], to peer: NodeID, source: some SyncSource, now: Instant,
    effects: inout [SyncEffect]
  ) {
    effects.append(.event(.grafted(ids.count, from: peer)))
    var batch: [Changeset] = []
    var bytes = 0
    for id in ids {
      // Only to who may hold it.
      guard let changeset = source.changeset(id), members[changeset.scope]?.contains(peer) == true
      else { continue }
      links[peer]?.lazy.remove(changeset.scope)
      let size = changeset.encodedSize
      if batch.count == SyncLimits.changesets || bytes + size > SyncLimits.changesetBytes,
        !batch.isEmpty
      {
        guard push(batch, to: peer, now: now, effects: &effects) else { return }
        (batch, bytes) = ([], 0)
      }
      batch.append(changeset)
      bytes += size
    }
    if !batch.isEmpty { _ = push(batch, to: peer, now: now, effects: &effects) }
  }

  // MARK: Time

  private mutating func advance(
    source: some SyncSource, now: Instant, effects: inout [SyncEffect]
  ) {
    if flushAt <= now {
      let due = links.filter { $0.value.flushAt.map { $0 <= now } ?? false }.keys.sorted()
      for peer in due { flush(peer, now: now, effects: &effects) }
      flushAt = links.values.compactMap(\.flushAt).min() ?? .distantFuture
    }
    if graftAt <= now {
      graft(source: source, now: now, effects: &effects)
      // In batches, too: many that fall due one by one would each cost a message and a search.
      let next = missing.values.map(\.due).min() ?? .distantFuture
      graftAt = max(next, now + options.announceDelay)
      if missing.isEmpty { graftAt = .distantFuture }
    }
  }

  /// IDs in one announcement: as many as a datagram takes.
  private static let announced = 32

  private mutating func flush(_ peer: NodeID, now: Instant, effects: inout [SyncEffect]) {
    links[peer]?.flushAt = nil
    guard let queue = links[peer]?.queue else { return }
    links[peer]?.queue = []
    for start in stride(from: 0, to: queue.count, by: Self.announced) {
      let message = SyncMessage.announce(
        Array(queue[start..<min(start + Self.announced, queue.count)]))
      guard links[peer]?.budget.take(message.encodedSize, now: now) == true else {
        // Not sent is not lost: the digests tell.
        effects.append(.event(.overBudget(peer)))
        return
      }
      effects.append(.send(to: peer, message, reliable: false))
    }
  }

  /// Questions for one changeset that are not put off.
  private static let quickGrafts = 4

  /// Asks for what was announced and not pushed: one holder after the other, ever more patiently.
  private mutating func graft(
    source: some SyncSource, now: Instant, effects: inout [SyncEffect]
  ) {
    let due = missing.filter { $0.value.due <= now }.keys.sorted()
    var asked: [NodeID: [Digest]] = [:]
    for id in due {
      guard var entry = missing[id] else { continue }
      guard entry.attempts < options.graftAttempts, !entry.holders.isEmpty,
        source.changeset(id) == nil
      else {
        missing[id] = nil
        continue
      }
      let holder = entry.holders[entry.attempts % entry.holders.count]
      entry.attempts += 1
      // The first few soon, each with another holder: where one packet in five is lost, a third of
      // questions remain without the answer. Then ever later.
      let patience = 1 << max(0, entry.attempts - Self.quickGrafts)
      let wait = max(options.graftDelay, roundTrip(holder) * 3 / 2) * patience
      entry.due = now + wait + .random(upTo: wait / 2, using: &rng)
      missing[id] = entry
      asked[holder, default: []].append(id)
    }
    for peer in asked.keys.sorted() {
      let ids = asked[peer] ?? []
      for start in stride(from: 0, to: ids.count, by: Self.announced) {
        let batch = Array(ids[start..<min(start + Self.announced, ids.count)])
        effects.append(.send(to: peer, .graft(batch), reliable: false))
      }
    }
  }
}

extension Duration {
  /// Assumed until it is measured.
  fileprivate static let unknownRoundTrip = Duration.milliseconds(100)
}
