import Base
import Testing

@testable import Replication

@Suite("Dissemination")
struct DisseminationTests {
  static func peers(_ ids: [NodeID], roundTrip: Duration? = nil) -> [SyncPeer] {
    ids.map { SyncPeer(id: $0, roundTrip: roundTrip) }
  }

  static func ids(_ count: Int, seed: UInt64) -> [NodeID] {
    var rng = SeededGenerator(seed: seed)
    return (0..<count).map { _ in IDTrieTests.id(&rng) }.sorted()
  }

  @Test("the rings are symmetric, connected, and of degree 10 at most", arguments: [11, 30, 200])
  func overlay(count: Int) {
    let ids = Self.ids(count, seed: 61)
    let peers = Self.peers(ids)
    var links: [NodeID: [NodeID]] = [:]
    for id in ids { links[id] = Overlay(of: id, in: .clusterset, among: peers).neighbours }
    for id in ids {
      let mine = links[id] ?? []
      #expect((2...10).contains(mine.count))
      for other in mine { #expect(links[other]?.contains(id) == true) }
    }
    var reached: Set<NodeID> = [ids[0]]
    var frontier = [ids[0]]
    var hops = 0
    while !frontier.isEmpty {
      frontier = frontier.flatMap { links[$0] ?? [] }.filter { reached.insert($0).inserted }
      hops += 1
    }
    #expect(reached.count == count)
    #expect(hops <= 7)
  }

  @Test("near ones are neighbours, few members are all, and one more moves few links")
  func nearest() {
    let ids = Self.ids(100, seed: 62)
    let local = ids[50]
    var peers = Self.peers(ids.filter { $0 != local }, roundTrip: .milliseconds(100))
    for i in [3, 33, 66] { peers[i].roundTrip = .milliseconds(5) }
    let before = Overlay(of: local, in: .clusterset, among: peers).neighbours
    #expect([3, 33, 66].count { before.contains(peers[$0].id) } >= 2)
    #expect(before.count <= 10)
    #expect(before != Overlay(of: local, in: .slice("blue"), among: peers).neighbours)
    let few = Array(peers.prefix(9))
    #expect(Overlay(of: local, in: .clusterset, among: few).neighbours == few.map(\.id).sorted())
    let after = Overlay(
      of: local, in: .clusterset, among: Array(peers.dropLast())
    ).neighbours
    #expect(Set(before).symmetricDifference(after).count <= 12)
  }

  @Test("in a large scope a member is pushed to by three others, and announced to by more")
  func copies() {
    let ids = Self.ids(240, seed: 69)
    var pushed: [NodeID: Int] = [:]
    for id in ids {
      // Three regions, near within and far between.
      let peers = ids.map { other in
        SyncPeer(
          id: other,
          roundTrip: .milliseconds(other.words.3 % 3 == id.words.3 % 3 ? 2 : 100))
      }
      let overlay = Overlay(of: id, in: .clusterset, among: peers)
      #expect((2...3).contains(overlay.eager.count))
      #expect(overlay.lazy.count >= 4)
      #expect(Set(overlay.eager).isDisjoint(with: overlay.lazy))
      for other in overlay.eager { pushed[other, default: 0] += 1 }
    }
    #expect(ids.allSatisfy { (1...3).contains(pushed[$0] ?? 0) })
    #expect(pushed.values.reduce(0, +) <= 3 * ids.count)
  }

  @Test(
    "a change reaches 30 peers in a few hops, at 0, 5 and 20 % loss", arguments: [0, 0.05, 0.2])
  func reachesAll(loss: Double) {
    var world = SyncWorld(30, seed: 63)
    world.loss = loss
    var rng = SeededGenerator(seed: 64)
    var times: [Duration] = []
    for i in 0..<40 {
      let change = makeChangeset(&rng)
      let start = world.now
      world.accept(change, at: world.ids[i % 30], from: nil, .pushed)
      world.run(for: .seconds(2))
      for id in world.ids {
        let arrived = world.nodes[id]?.arrivals[change.id]
        if let arrived { times.append(arrived - start) } else { Issue.record("not at \(id)") }
      }
    }
    times.sort()
    let p99 = times[times.count * 99 / 100]
    print("30 peers, 20 ms links, loss \(loss): p99 \(p99.milliseconds) ms")
    #expect(p99 < .milliseconds(120))
    #expect(!world.datagramLimitBroken)
  }

  @Test("large changesets go by stream, small ones by datagram")
  func channel() {
    var rng = SeededGenerator(seed: 65)
    let ids = Self.ids(3, seed: 66)
    for (bytes, stream) in [(100, false), (900, false), (1_100, true), (60_000, true)] {
      var node = Dissemination(local: ids[0], seed: 1)
      var effects: [SyncEffect] = []
      let now = Now(instant: .zero, wallMilliseconds: 0)
      node.handle(
        .holders(.clusterset, Holders(Self.peers(ids))), source: Shelves(), now: now,
        effects: &effects)
      node.handle(
        .accepted(makeChangeset(&rng, bytes: bytes), from: ids[1], .pushed), source: Shelves(),
        now: now, effects: &effects)
      let sends = effects.compactMap { effect -> (NodeID, Bool)? in
        if case .send(let to, .push, let reliable) = effect { (to, reliable) } else { nil }
      }
      // Not back to where it came from.
      #expect(sends.map(\.0) == [ids[2]])
      #expect(sends.map(\.1) == [stream])
    }
  }

  @Test("a forged copy that comes first does not keep the true one out")
  func forgedFirst() {
    var rng = SeededGenerator(seed: 67)
    let ids = Self.ids(3, seed: 68)
    let change = makeChangeset(&rng)
    var node = Dissemination(local: ids[0], seed: 1)
    var effects: [SyncEffect] = []
    let now = Now(instant: .zero, wallMilliseconds: 0)
    node.handle(
      .holders(.clusterset, Holders(Self.peers(ids))), source: Shelves(), now: now,
      effects: &effects)
    for peer in ids.dropFirst() {
      effects = []
      node.handle(
        .message(.push([change]), from: peer), source: Shelves(), now: now, effects: &effects)
      #expect(effects == [.deliver([change], from: peer, .pushed)])
    }
    effects = []
    node.handle(
      .accepted(change, from: ids[2], .pushed), source: Shelves(), now: now, effects: &effects)
    effects = []
    node.handle(
      .message(.push([change]), from: ids[1]), source: Shelves(), now: now, effects: &effects)
    #expect(effects == [.event(.duplicate(change.id, from: ids[1]))])
  }

  @Test("with trees, duplicates die out and everyone is still reached")
  func trees() {
    var options = Dissemination.Options()
    options.trees = true
    var world = SyncWorld(30, seed: 69, dissemination: options)
    var rng = SeededGenerator(seed: 70)
    var duplicates: [Int] = []
    for _ in 0..<60 {
      world.events = []
      let change = makeChangeset(&rng)
      world.accept(change, at: world.ids[0], from: nil, .pushed)
      world.run(for: .seconds(2))
      #expect(world.ids.allSatisfy { world.nodes[$0]?.arrivals[change.id] != nil })
      duplicates.append(world.events.count { if case .duplicate = $0.1 { true } else { false } })
    }
    #expect(duplicates[0] > 60)
    #expect(duplicates.suffix(10).reduce(0, +) <= 100, "\(duplicates)")
  }

  @Test("over budget, changesets are announced and grafted; the budget holds")
  func budget() {
    var options = Dissemination.Options()
    options.budget = .init(bytesPerSecond: 10_000, burst: 20_000)
    var world = SyncWorld(2, seed: 71, dissemination: options)
    var rng = SeededGenerator(seed: 72)
    let (a, b) = (world.ids[0], world.ids[1])
    for _ in 0..<200 { world.accept(makeChangeset(&rng), at: a, from: nil, .pushed) }
    #expect(world.sent[a, default: 0] <= 20_000)
    world.run(for: .seconds(60)) { $0.isConverged() }
    #expect(world.holds(b).count == 200)
  }

  @Test("what is announced and never pushed is grafted a few times, then given up")
  func graftsEnd() {
    var rng = SeededGenerator(seed: 73)
    let ids = Self.ids(3, seed: 74)
    var node = Dissemination(local: ids[0], seed: 1)
    var effects: [SyncEffect] = []
    func at(_ instant: Instant) -> Now { Now(instant: instant, wallMilliseconds: 0) }
    node.handle(
      .holders(.clusterset, Holders(Self.peers(ids))), source: Shelves(), now: at(.zero),
      effects: &effects)
    let announced = (0..<5_000).map { _ in IDTrieTests.id(&rng) }
    for start in stride(from: 0, to: announced.count, by: 250) {
      node.handle(
        .message(.announce(Array(announced[start..<start + 250])), from: ids[1]),
        source: Shelves(), now: at(.zero), effects: &effects)
    }
    effects = []
    while let next = node.nextDeadline {
      node.handle(.tick, source: Shelves(), now: at(next), effects: &effects)
      if next > .zero + .seconds(60) { break }
    }
    #expect(node.nextDeadline == nil)
    let asked = effects.reduce(0) {
      if case .send(_, .graft(let ids), _) = $1 { $0 + ids.count } else { $0 }
    }
    #expect(asked == 8 * 4_096)
  }
}

@Suite("Thirty peers")
struct SyncNetworkTests {
  @Test("changes made everywhere during a partition and loss are everywhere soon after it")
  func partition() throws {
    for seed in UInt64(80)..<83 {
      var world = SyncWorld(30, seed: seed)
      var rng = SeededGenerator(seed: seed &+ 1)
      world.loss = 0.05
      let first = Set(world.ids.prefix(11))
      world.partition = { first.contains($0) ? 0 : 1 }
      for _ in 0..<150 {
        let at = try #require(world.ids.randomElement(using: &rng))
        world.accept(makeChangeset(&rng), at: at, from: nil, .pushed)
        world.run(for: .milliseconds(100))
      }
      #expect(!world.isConverged())
      world.partition = nil
      let healed = world.run(seconds: 30, untilConverged: .clusterset)
      let time = try #require(healed, "seed \(seed)")
      #expect(world.ids.allSatisfy { world.holds($0).count == 150 })
      print("30 peers healed after \(time.milliseconds) ms, seed \(seed)")
      #expect(time <= .seconds(10))
    }
  }

  @Test("one seed, one history")
  func deterministic() {
    func history(_ seed: UInt64) -> [String] {
      var world = SyncWorld(12, seed: seed)
      var rng = SeededGenerator(seed: seed)
      world.loss = 0.3
      for i in 0..<40 {
        world.accept(makeChangeset(&rng), at: world.ids[i % 12], from: nil, .pushed)
        world.probeRound()
        world.run(for: .milliseconds(150))
      }
      world.run(for: .seconds(5))
      return world.events.map { "\($0.0) \($0.1)" } + ["\(world.sent.values.sorted())"]
    }
    #expect(history(90) == history(90))
    #expect(history(90) != history(91))
  }

  @Test("at rest, peers exchange a digest every 10 s and nothing else")
  func idle() {
    var world = SyncWorld(30, seed: 92)
    var rng = SeededGenerator(seed: 93)
    let all = (0..<50).map { _ in makeChangeset(&rng) }
    for id in world.ids { world.preload(all, at: id) }
    world.run(for: .seconds(300))
    let perSecond = Double(world.sent.values.reduce(0, +)) / 30 / 300
    print("30 peers idle: \(perSecond) B/s each")
    #expect(perSecond < 6)
    #expect(world.reports.isEmpty)
  }
}
