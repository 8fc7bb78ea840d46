import Base
import Foundation
import Testing

@testable import Replication

/// Figures at the size that matters; `deploy/bench state` measures the same with real signatures.
@Suite(
  .serialized, .enabled(if: ProcessInfo.processInfo.environment["STARLING_SCALE"] != nil))
struct ScaleTests {
  static let count = 100_000
  static let genesis = Fake.genesis()

  /// One cluster's peer with so many registers, as changesets in the order of their time.
  static func history(_ count: Int, rewritten: Int = 0) -> [Changeset] {
    let root = Author("root", in: genesis)
    let peer = Author("eu-1", in: genesis)
    let grant = root.grant(peer.key, [.own("eu")], under: genesis.id, at: 1)
    var out = [grant, root.blindWrite("cluster/eu", 1, under: genesis.id, at: 1)]
    out.append(root.blindWrite("slice/blue/member/eu", 1, under: genesis.id, at: 1))
    out.reserveCapacity(count + rewritten + 3)
    for i in 0..<(count + rewritten) {
      let number = i < count ? i : (i - count) * 7 % count
      var context = VersionVector()
      if i >= count { context.include(peer.key, 1) }
      let value = Value.map(fields: [
        "endpoints": .list([
          .map(fields: [
            "address": .string("10.11.0.\(i % 250)"), "node": "node-1", "ready": true,
          ])
        ])
      ])
      out.append(
        peer.make(under: grant.id, at: UInt64(2 + i / 100), scope: .slice("blue"), nonce: UInt64(i))
        { changeset in
          Write(
            path: "slice/blue/export/eu/shop/svc-\(number)/0", value: value, author: peer.key,
            after: context
          ).map { changeset.writes = [$0] }
        })
    }
    return out
  }

  static func residentBytes() -> Int {
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else {
      return 0
    }
    return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4_096
  }

  /// Milliseconds of processor time: other work on the machine does not count.
  static func measure(_ what: String, _ count: Int, _ body: () -> Void) -> Double {
    let before = residentBytes()
    let start = clock()
    body()
    let elapsed = Double(clock() - start) / Double(CLOCKS_PER_SEC) * 1_000
    let grown = Double(residentBytes() - before) / 1_048_576
    let each = elapsed * 1_000 / Double(count)
    print("\(what): \(elapsed) ms, \(each) us each, \(grown) MiB more")
    return elapsed
  }

  @Test func oneAuthorWithManyRegisters() {
    let made = Self.history(Self.count, rewritten: 20_000)
    let first = Array(made.prefix(Self.count + 3))
    let again = Array(made.dropFirst(Self.count + 3))
    var state = ReplicatedState(genesis: Self.genesis, crypto: Fake.crypto)
    var changes = StateChanges()
    let load = Self.measure("rebuild", first.count) {
      state.load(first, now: Fake.now, changes: &changes)
    }
    #expect(state.comparedCount(.slice("blue")) == Self.count)
    #expect(load < 2_000)
    var trusting = state
    _ = Self.measure("rewrite, verified", again.count) {
      for changeset in again {
        changes = StateChanges()
        _ = trusting.ingest(changeset, now: Fake.now, verified: true, changes: &changes)
      }
    }
    _ = Self.measure("rewrite with checks (fake signatures)", again.count) {
      for changeset in again {
        changes = StateChanges()
        _ = state.ingest(changeset, now: Fake.now, changes: &changes)
      }
    }
    #expect(state.comparedCount(.slice("blue")) == Self.count)
    var shuffled = first
    var rng = SeededGenerator(seed: 1)
    shuffled.shuffle(using: &rng)
    var other = ReplicatedState(genesis: Self.genesis, crypto: Fake.crypto)
    _ = Self.measure("rebuild in random order", first.count) {
      changes = StateChanges()
      other.load(shuffled, now: Fake.now, changes: &changes)
    }
    _ = Self.measure("one own floor under half of it", 1) {
      let peer = Author("eu-1", in: Self.genesis)
      changes = StateChanges()
      _ = other.ingest(
        peer.floor(
          first[0].id, below: 502, under: first[0].id, at: 5_000, scope: .slice("blue")),
        now: Fake.now, changes: &changes)
    }
    #expect(other.comparedCount(.slice("blue")) == Self.count / 2 + 1)
    _ = Self.measure("paths of one service", 1) {
      _ = other.paths(prefix: "slice/blue/export/eu/shop/svc-99999", scope: .slice("blue"))
    }
    _ = Self.measure("revoke, keep none", 1) {
      let root = Author("root", in: Self.genesis)
      changes = StateChanges()
      _ = other.ingest(
        root.floor(first[0].id, below: nil, under: Self.genesis.id, at: 5_001), now: Fake.now,
        changes: &changes)
    }
    #expect(other.comparedCount(.slice("blue")) == 0)
  }
}
