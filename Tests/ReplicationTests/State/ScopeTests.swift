import Base
import Testing

@testable import Replication

@Suite("Slices' scopes, compaction, adoption")
struct ScopeTests {
  private static let blue = Scope.slice("blue")

  private func gateway(_ world: SmallWorld, _ value: Value?, at time: UInt64) -> Changeset {
    world.eu.write(
      "slice/blue/gateway/eu", value, in: world.test.state, under: world.euGrant.id, at: time,
      scope: Self.blue)
  }

  @Test func aClusterCountsWhileItIsAMember() {
    var world = SmallWorld()
    let write = gateway(world, 1, at: 5)
    #expect(world.test.take(write) == .notCounting(.notMember(slice: "blue", cluster: "eu")))
    #expect(world.test.state.digest(Self.blue) == .zero)
    #expect(world.test.take(world.join("eu", at: 6)) == .accepted)
    #expect(world.test.state.value("slice/blue/gateway/eu", scope: Self.blue) == 1)
    #expect(world.test.state.members(of: "blue") == ["eu"])
    #expect(!world.test.state.mayRead(Self.blue, cluster: "eu"))
    world.test.take(world.admit("eu", at: 6))
    #expect(world.test.state.mayRead(Self.blue, cluster: "eu"))
    #expect(!world.test.state.mayRead(Self.blue, cluster: "us"))
    #expect(world.test.state.slices == ["blue"])
    let leave = world.admin.write(
      "slice/blue/member/eu", nil, in: world.test.state, under: world.adminGrant.id, at: 7)
    #expect(world.test.take(leave) == .accepted)
    #expect(world.test.state.value("slice/blue/gateway/eu", scope: Self.blue) == nil)
    #expect(world.test.state.compared(Self.blue).isEmpty && world.test.state.slices.isEmpty)
    #expect(world.test.state.contains(write.id))
  }

  @Test func othersSlicesAreNotHeld() {
    var world = SmallWorld(cluster: "us")
    world.test.take(world.join("eu"))
    let write = gateway(world, 1, at: 5)
    #expect(world.test.take(write) == .refused(.scopeNotHeld(Self.blue)))
    world.test.take(world.join("us", at: 6))
    #expect(world.test.take(write) == .accepted)
    #expect(world.test.state.isHeld(Self.blue))
    let leave = world.admin.write(
      "slice/blue/member/us", nil, in: world.test.state, under: world.adminGrant.id, at: 7)
    #expect(world.test.take(leave) == .accepted)
    #expect(!world.test.state.contains(write.id) && !world.test.state.isHeld(Self.blue))
    #expect(world.test.changes.toForget.contains(write.id))
    #expect(world.test.state.compared(Self.blue).isEmpty)
  }

  @Test func anOwnFloorBindsTheScopeThatCarriesIt() {
    var world = SmallWorld()
    world.test.takeAll([world.join("eu"), gateway(world, 1, at: 5)])
    let info = world.eu.write(
      "cluster/eu/info", 1, in: world.test.state, under: world.euGrant.id, at: 5)
    world.test.takeAll([info, gateway(world, 1, at: 5)])
    let floor = world.eu.floor(
      world.euGrant.id, below: 9, under: world.euGrant.id, at: 10, scope: Self.blue)
    #expect(world.test.take(floor) == .accepted)
    #expect(world.test.state.value("cluster/eu/info") == 1)
    #expect(world.test.state.value("slice/blue/gateway/eu", scope: Self.blue) == nil)
  }

  @Test func compactionForgetsDeletionsWithoutFlicker() throws {
    var world = SmallWorld()
    world.test.takeAll([world.admit("eu"), world.join("eu")])
    func path(_ i: Int) -> String { "slice/blue/export/eu/shop/s\(i)" }
    var time: UInt64 = 10
    for value in [Value.integer(1), nil] as [Value?] {
      for i in 0..<200 where value != nil || i % 10 != 0 {
        time += 1
        world.test.take(
          world.eu.write(
            path(i), value, in: world.test.state, under: world.euGrant.id, at: time,
            scope: Self.blue))
      }
    }
    let before = world.test.state.shown(Self.blue)
    #expect(before.count == 20 && world.test.state.comparedCount(Self.blue) == 200)
    var steps = 0
    while let step = world.test.state.compaction(under: world.euGrant.id, scope: Self.blue) {
      steps += 1
      time += 1
      let compact = world.eu.make(under: world.euGrant.id, at: time, scope: Self.blue) {
        $0.writes = step.writes
        $0.floors = [step.floor]
      }
      world.test.changes = StateChanges()
      #expect(world.test.take(compact) == .accepted)
      #expect(world.test.state.shown(Self.blue) == before)
      if steps > 10 { break }
    }
    #expect(steps > 0 && steps <= 5)
    #expect(world.test.state.comparedCount(Self.blue) < 60)
    #expect(HistoryTests.oracleDifference(world.test.state, genesis: world.genesis) == nil)
  }

  @Test func adoptionTakesOverWhatIsTooMuchToName() throws {
    var world = SmallWorld()
    let extra = 300
    for i in 0..<(StateLimits.keepIDs + extra) {
      let write = world.admin.blindWrite(
        "slice/s\(i)", .integer(Int64(i)), under: world.adminGrant.id, at: UInt64(10 + i))
      #expect(world.test.take(write) == .accepted)
    }
    let before = world.test.state.shown(.clusterset)
    let plan = try #require(world.test.state.revocationPlan(world.adminGrant.id))
    let kept = plan.items.map(\.changeset)
    #expect(plan.floor(keeping: kept) == nil)
    let steps = try #require(
      world.test.state.adoption(of: world.adminGrant.id, keeping: kept, by: world.root.key))
    #expect(steps.count > 1)
    for (i, step) in steps.enumerated() {
      let adopt = world.root.make(under: world.genesis.id, at: UInt64(100_000 + i)) {
        $0.writes = step.writes
        $0.floors = [step.floor]
      }
      #expect(step.floor.keep.count <= StateLimits.keepIDs)
      #expect(world.test.take(adopt) == .accepted)
      #expect(world.test.state.shown(.clusterset) == before)
    }
    #expect(world.test.state.grant(world.euGrant.id)?.isLive == true)
    let theft = world.admin.blindWrite("slice/theft", 1, under: world.adminGrant.id, at: 9)
    guard case .notCounting(.void) = world.test.take(theft) else {
      Issue.record("the adopted key is revoked")
      return
    }
  }
}

@Suite("Parts of the state")
struct StatePartTests {
  @Test func bucketsAreASortedSet() {
    var rng = SeededGenerator(seed: 5)
    for bound in [10, 300, 100_000] {
      var buckets = SortedBuckets<Int>()
      var set: Set<Int> = []
      for _ in 0..<6_000 {
        let element = Int.random(in: 0..<bound, using: &rng)
        if Int.random(in: 0..<3, using: &rng) > 0 {
          #expect(buckets.insert(element) == set.insert(element).inserted)
        } else {
          #expect(buckets.remove(element) == (set.remove(element) != nil))
        }
      }
      #expect(buckets.count == set.count)
      #expect(buckets.elements(below: .max) == set.sorted())
      #expect(buckets.elements(below: bound / 2) == set.filter { $0 < bound / 2 }.sorted())
      var tail: [Int] = []
      buckets.forEach(from: bound / 3) {
        tail.append($0)
        return tail.count < 5
      }
      #expect(tail == Array(set.filter { $0 >= bound / 3 }.sorted().prefix(5)))
    }
  }

  @Test func theClockOnlyGoesForward() {
    var clock = HybridClock()
    var now = Fake.now
    var last = HybridTime.zero
    for step in 0..<200_000 {
      if step % 70_000 == 0 { now.wallMilliseconds -= 5 }
      let next = clock.next(now: now)
      #expect(next > last)
      last = next
    }
    clock.observe(HybridTime(milliseconds: now.wallMilliseconds + 9_000), now: now)
    #expect(clock.next(now: now).milliseconds == now.wallMilliseconds + 9_000)
    #expect(clock.ahead(now: now) == .seconds(9))
    clock.observe(HybridTime(milliseconds: now.wallMilliseconds + 60_000), now: now)
    #expect(clock.next(now: now).milliseconds == now.wallMilliseconds + 9_000)
    clock = HybridClock(latest: .max)
    #expect(clock.next(now: now) < .max)
  }
}
