import Base
import Testing

@testable import Replication

@Suite("Apply tracking")
struct ApplyTrackingTests {
  let ids = DisseminationTests.ids(4, seed: 101)
  let change = Digest(words: (1, 2, 3, 4))

  func at(_ milliseconds: Int64) -> Now {
    Now(instant: .zero + .milliseconds(milliseconds), wallMilliseconds: 0)
  }

  @Test("members confirm when they have it, now or later; lost questions are asked again")
  func confirms() {
    var origin = ApplyTracking(local: ids[0], seed: 1)
    var other = ApplyTracking(local: ids[1], seed: 2)
    var effects: [SyncEffect] = []
    origin.handle(
      .track(change, members: Array(ids.prefix(3)), until: at(10_000).instant),
      isApplied: { _ in false }, now: at(0), effects: &effects)
    #expect(
      effects == [
        .send(to: ids[1], .track([change]), reliable: false),
        .send(to: ids[2], .track([change]), reliable: false),
      ])
    effects = []
    other.handle(
      .message(.track([change]), from: ids[0]), isApplied: { _ in false }, now: at(20),
      effects: &effects)
    #expect(effects.isEmpty)
    other.handle(.applied([change]), isApplied: { _ in true }, now: at(30), effects: &effects)
    #expect(effects == [.send(to: ids[0], .applied([change]), reliable: false)])
    effects = []
    origin.handle(
      .message(.applied([change]), from: ids[1]), isApplied: { _ in false }, now: at(40),
      effects: &effects)
    origin.handle(
      .message(.applied([change]), from: ids[1]), isApplied: { _ in false }, now: at(41),
      effects: &effects)
    origin.handle(.applied([change]), isApplied: { _ in true }, now: at(42), effects: &effects)
    #expect(effects == [.confirmed(change, by: ids[1]), .confirmed(change, by: ids[0])])
    #expect(origin.waiting(change) == [ids[2]])
    effects = []
    origin.handle(.tick, isApplied: { _ in true }, now: at(1_500), effects: &effects)
    #expect(effects == [.send(to: ids[2], .track([change]), reliable: false)])
    effects = []
    origin.handle(.tick, isApplied: { _ in true }, now: at(10_001), effects: &effects)
    #expect(effects.isEmpty)
    #expect(origin.waiting(change).isEmpty)
    #expect(origin.nextDeadline == nil)
  }

  @Test("what was applied long since is answered at once")
  func appliedBefore() {
    var other = ApplyTracking(local: ids[1], seed: 2)
    var effects: [SyncEffect] = []
    other.handle(
      .message(.track([change]), from: ids[0]), isApplied: { $0 == change }, now: at(0),
      effects: &effects)
    #expect(effects == [.send(to: ids[0], .applied([change]), reliable: false)])
  }

  @Test("watchers are bounded, and forgotten after a minute")
  func bounded() {
    var rng = SeededGenerator(seed: 3)
    var other = ApplyTracking(local: ids[1], seed: 2)
    var effects: [SyncEffect] = []
    for _ in 0..<20 {
      let unknown = (0..<100).map { _ in IDTrieTests.id(&rng) }
      other.handle(
        .message(.track(unknown), from: ids[0]), isApplied: { _ in false }, now: at(0),
        effects: &effects)
    }
    #expect(other.watcherCount == 1_024)
    other.handle(
      .message(.track([Digest](repeating: change, count: 257)), from: ids[0]),
      isApplied: { _ in true }, now: at(0), effects: &effects)
    #expect(effects == [.event(.refused("ids", from: ids[0]))])
    other.handle(.tick, isApplied: { _ in false }, now: at(60_001), effects: &effects)
    #expect(other.watcherCount == 0)
  }
}
