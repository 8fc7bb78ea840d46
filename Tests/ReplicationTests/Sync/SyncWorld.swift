import Base

@testable import Replication

/// A changeset with a random ID and a body of some size: enough for cores that never look inside.
func makeChangeset(
  _ rng: inout SeededGenerator, scope: Scope = .clusterset, bytes: Int = 300, word: UInt64? = nil,
  trust: Bool = false
) -> Changeset {
  let id = Digest(words: (word ?? rng.next(), rng.next(), rng.next(), rng.next()))
  let key = PublicKey(words: (1, 2, 3, 4))
  let endorsements = Signature([UInt8](repeating: 7, count: 64))
    .map { [Endorsement(key: key, signature: $0)] }
  return Changeset(
    id: id, body: [UInt8](repeating: 0, count: bytes), endorsements: endorsements ?? [],
    clusterSet: .zero, scope: scope, under: .zero, author: key,
    time: HybridTime(rawValue: rng.next() >> 1),
    grant: trust ? Grant(subject: key, capabilities: [.read]) : nil)
}

/// What a peer holds: stands in for the state, which takes whatever it is given.
struct Shelves: SyncSource {
  var changesets: [Digest: Changeset] = [:]

  func changeset(_ id: Digest) -> Changeset? { changesets[id] }

  func trust(in scope: Scope) -> [Digest] {
    changesets.values.filter { $0.scope == scope && $0.grant != nil }
      .sorted { $0.time == $1.time ? $0.id < $1.id : $0.time < $1.time }.map(\.id)
  }
}

/// One peer's cores, put together as `Peer` does.
struct SyncNode {
  var entropy: AntiEntropy
  var dissemination: Dissemination
  var shelves = Shelves()
  var arrivals: [Digest: Instant] = [:]
  /// Held, and never taken into the compared set.
  var refuses: Set<Digest> = []
}

/// A network of cores in virtual time, from one seed.
struct SyncWorld {
  struct Event: Comparable {
    var at: Instant
    var order: Int
    var to: Int
    var from: Int
    var message: SyncMessage

    static func < (a: Event, b: Event) -> Bool { (a.at, a.order) < (b.at, b.order) }
  }

  var nodes: [NodeID: SyncNode] = [:]
  let ids: [NodeID]
  var now = Instant.zero
  var loss = 0.0
  /// Messages between these groups are lost; `nil`: no partition.
  var partition: ((NodeID) -> Int)?
  var delay: Duration = .milliseconds(20)
  var queue = EventQueue<Event>()
  /// When each peer wants to be woken, by position.
  var deadlines: [Instant] = []
  var events: [(NodeID, SyncEvent)] = []
  /// Of sessions that peers ended, with the peer.
  var reports: [(node: NodeID, report: SessionReport)] = []
  var sent: [NodeID: Int] = [:]
  var datagramLimitBroken = false
  /// Sees and may change every message.
  var tamper: ((NodeID, NodeID, SyncMessage) -> SyncMessage?)?
  private var order = 0
  var rng: SeededGenerator

  init(
    _ count: Int, seed: UInt64, scopes: [Scope] = [.clusterset],
    options: AntiEntropy.Options = .init(), dissemination: Dissemination.Options = .init()
  ) {
    rng = SeededGenerator(seed: seed)
    var made: [NodeID] = []
    for _ in 0..<count {
      made.append(Digest(words: (rng.next(), rng.next(), rng.next(), rng.next())))
    }
    ids = made.sorted()
    deadlines = ids.map { _ in .distantFuture }
    for id in ids {
      nodes[id] = SyncNode(
        entropy: AntiEntropy(local: id, options: options, seed: rng.next()),
        dissemination: Dissemination(local: id, options: dissemination, seed: rng.next()))
    }
    for id in ids { for scope in scopes { join(id, scope, ids) } }
  }

  mutating func join(_ id: NodeID, _ scope: Scope, _ members: [NodeID]) {
    let peers = members.filter { $0 != id }.map { SyncPeer(id: $0, roundTrip: delay * 2) }
    entropy(id, .holders(scope, Holders(peers)))
    dissemination(id, .holders(scope, Holders(peers)))
  }

  // MARK: Inputs

  mutating func entropy(_ id: NodeID, _ input: AntiEntropy.Input) {
    guard var node = nodes.removeValue(forKey: id) else { return }
    var effects: [SyncEffect] = []
    let time = Now(instant: now, wallMilliseconds: 0)
    node.entropy.handle(input, source: node.shelves, now: time, effects: &effects)
    nodes[id] = node
    noteDeadline(id)
    carryOut(effects, at: id)
  }

  mutating func dissemination(_ id: NodeID, _ input: Dissemination.Input) {
    guard var node = nodes.removeValue(forKey: id) else { return }
    var effects: [SyncEffect] = []
    let time = Now(instant: now, wallMilliseconds: 0)
    node.dissemination.handle(input, source: node.shelves, now: time, effects: &effects)
    nodes[id] = node
    noteDeadline(id)
    carryOut(effects, at: id)
  }

  /// A change made at a peer, or delivered to it. Several: without dissemination.
  mutating func accept(_ changeset: Changeset, at id: NodeID, from: NodeID?, _ arrival: Arrival) {
    guard nodes[id]?.shelves.changesets[changeset.id] == nil,
      nodes[id]?.refuses.contains(changeset.id) == false
    else { return }
    nodes[id]?.shelves.changesets[changeset.id] = changeset
    nodes[id]?.arrivals[changeset.id] = now
    entropy(id, .setChanged(changeset.scope, inserted: [changeset.id], removed: []))
    dissemination(id, .accepted(changeset, from: from, arrival))
  }

  mutating func preload(_ changesets: [Changeset], at id: NodeID) {
    var inserted: [Scope: [Digest]] = [:]
    for changeset in changesets {
      nodes[id]?.shelves.changesets[changeset.id] = changeset
      inserted[changeset.scope, default: []].append(changeset.id)
    }
    for scope in inserted.keys.sorted() {
      entropy(id, .setChanged(scope, inserted: inserted[scope] ?? [], removed: []))
    }
  }

  // MARK: Network

  mutating func carryOut(_ effects: [SyncEffect], at id: NodeID) {
    for effect in effects {
      switch effect {
      case .send(let to, let message, let reliable):
        transmit(message, from: id, to: to, reliable: reliable)
      case .deliver(let changesets, let from, let arrival):
        for changeset in changesets { accept(changeset, at: id, from: from, arrival) }
      case .event(let event):
        events.append((id, event))
        if case .sessionEnded(let report) = event { reports.append((id, report)) }
      case .confirmed:
        break
      }
    }
  }

  mutating func transmit(_ original: SyncMessage, from: NodeID, to: NodeID, reliable: Bool) {
    var message = original
    if let tamper {
      guard let changed = tamper(from, to, original) else { return }
      message = changed
    }
    if !reliable, message.encodedSize > SyncLimits.datagramBytes { datagramLimitBroken = true }
    sent[from, default: 0] += message.encodedSize
    if let partition, partition(from) != partition(to) { return }
    if !reliable, Double.random(in: 0..<1, using: &rng) < loss { return }
    guard let target = ids.firstIndex(of: to), let source = ids.firstIndex(of: from) else { return }
    order += 1
    let jitter = Duration.random(upTo: delay / 5, using: &rng)
    // A stream takes a round trip more where a datagram's loss would need a retry.
    let time = now + delay + jitter + (reliable ? delay : .zero)
    queue.push(Event(at: time, order: order, to: target, from: source, message: message))
  }

  mutating func run(for duration: Duration, until done: ((SyncWorld) -> Bool)? = nil) {
    let end = now + duration
    var steps = 0
    while true {
      // Looking is dear, so not at every step.
      if let done, steps.isMultiple(of: 8), done(self) { return }
      steps += 1
      let wake = deadlines.indices.min { deadlines[$0] < deadlines[$1] }
      let deadline = wake.map { deadlines[$0] } ?? .distantFuture
      if let next = queue.first, next.at <= deadline {
        guard next.at <= end, let event = queue.pop() else { break }
        now = max(now, event.at)
        entropy(ids[event.to], .message(event.message, from: ids[event.from]))
        dissemination(ids[event.to], .message(event.message, from: ids[event.from]))
      } else if let wake {
        guard deadline <= end else { break }
        now = max(now, deadline)
        entropy(ids[wake], .tick)
        dissemination(ids[wake], .tick)
      } else {
        break
      }
    }
    now = end
  }

  private mutating func noteDeadline(_ id: NodeID) {
    guard let at = ids.firstIndex(of: id), let node = nodes[id] else { return }
    deadlines[at] =
      [node.entropy.nextDeadline, node.dissemination.nextDeadline].compactMap { $0 }.min()
      ?? .distantFuture
  }

  /// Every peer shows its digests to a random other, as probes do each second.
  mutating func probeRound() {
    for id in ids {
      guard let other = ids.filter({ $0 != id }).randomElement(using: &rng) else { continue }
      if let partition, partition(id) != partition(other) { continue }
      let digests = nodes[id]?.entropy.advertisement(to: other) ?? []
      entropy(other, .digests(digests, from: id))
      let back = nodes[other]?.entropy.advertisement(to: id) ?? []
      entropy(id, .digests(back, from: other))
    }
  }

  mutating func run(seconds: Int, untilConverged scope: Scope = .clusterset) -> Duration? {
    let start = now
    for _ in 0..<seconds {
      probeRound()
      run(for: .seconds(1))
      if isConverged(scope) { return now - start }
    }
    return nil
  }

  func isConverged(_ scope: Scope = .clusterset) -> Bool {
    Set(ids.compactMap { nodes[$0]?.entropy.digest(scope) }).count == 1
  }

  func reports(of node: NodeID) -> [SessionReport] {
    reports.filter { $0.node == node }.map(\.report)
  }

  func holds(_ node: NodeID) -> Set<Digest> {
    Set(nodes[node]?.shelves.changesets.keys.map { $0 } ?? [])
  }
}
