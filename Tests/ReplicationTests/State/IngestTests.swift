import Base
import Testing

@testable import Replication

/// One admin with everything, one peer of the cluster eu.
struct SmallWorld {
  let genesis = Fake.genesis()
  let root: Author
  let admin: Author
  let eu: Author
  let adminGrant: Changeset
  let euGrant: Changeset
  var test: TestState

  init(cluster: String? = nil, limits: StateLimits = .init(), quota: Quota? = nil) {
    root = Author("root", in: genesis)
    admin = Author("admin", in: genesis)
    eu = Author("eu-1", in: genesis)
    adminGrant = root.grant(
      admin.key, [.grant, .admit, .slice("*")], under: genesis.id, at: 1, depth: 2)
    euGrant = admin.grant(eu.key, [.own("eu")], under: adminGrant.id, at: 2, quota: quota)
    test = TestState(genesis, cluster: cluster, limits: limits)
    test.takeAll([adminGrant, euGrant])
  }

  func admit(_ cluster: String, at time: UInt64 = 3) -> Changeset {
    admin.write("cluster/\(cluster)", 1, in: test.state, under: adminGrant.id, at: time)
  }

  func join(_ cluster: String, at time: UInt64 = 4) -> Changeset {
    admin.write(
      "slice/blue/member/\(cluster)", 1, in: test.state, under: adminGrant.id, at: time)
  }
}

@Suite("Taking changesets")
struct IngestTests {
  @Test func aWriteCountsAndShows() throws {
    var world = SmallWorld()
    let write = world.admit("eu")
    #expect(world.test.take(write) == .accepted)
    #expect(world.test.take(write) == .duplicate)
    let register = try #require(world.test.state.register("cluster/eu"))
    #expect(register.value == 1 && register.effective.changeset == write.id)
    #expect(register.context[world.admin.key] == 1)
    #expect(world.test.state.admittedPeers == [world.eu.key: "eu"])
    #expect(world.test.state.ownGrant(of: world.eu.key, for: "eu") == world.euGrant.id)
    #expect(
      world.test.state.chain(of: write.id) == [world.genesis.id, world.adminGrant.id])
    #expect(
      world.test.changes.toStore.map(\.id) == [world.adminGrant.id, world.euGrant.id, write.id])
    #expect(world.test.changes.touchesTrust)
    #expect(world.test.state.log(limit: 2).map(\.changeset.id) == [write.id, world.euGrant.id])
  }

  @Test func whatWasAlteredIsRefused() {
    var world = SmallWorld()
    let write = world.admit("eu")
    var altered = write
    altered.body[0] ^= 1
    altered.id = Fake.crypto.sha256(altered.signedBytes)
    #expect(world.test.take(altered) == .refused(.badSignature))
    var foreign = write
    foreign.clusterSet = Fake.digest([1])
    #expect(world.test.take(foreign) == .refused(.otherClusterSet(foreign.clusterSet)))
    var newer = write
    newer.formatVersion = 2
    #expect(world.test.take(newer) == .refused(.unsupportedFormat(2)))
    var unsigned = write
    unsigned.endorsements = []
    #expect(world.test.take(unsigned) == .refused(.malformed(.signatures)))
    let other = Fake.key("mallory")
    var twice = write
    twice.endorsements.append(
      Endorsement(key: other, signature: Fake.sign(write.signedBytes, other)))
    #expect(world.test.take(twice) == .refused(.badSignature))
    #expect(world.test.take(write) == .accepted)
  }

  @Test func malformedIsRefused() {
    var world = SmallWorld()
    func outcome(_ fill: (inout Changeset) -> Void) -> IngestOutcome {
      world.test.take(world.admin.make(under: world.adminGrant.id, at: 5, fill))
    }
    func write(_ path: String, counter: UInt64 = 1) -> Write {
      Write(path: path, value: 1, counter: counter, context: VersionVector())
    }
    #expect(outcome { _ in } == .refused(.malformed(.empty)))
    for path in ["", "a", "/a/b", "a//b", "a/b/", "a/ b", "a/\u{e9}"] {
      #expect(outcome { $0.writes = [write(path)] } == .refused(.malformed(.path(path))))
    }
    let long = "slice/" + String(repeating: "x", count: 506)
    #expect(outcome { $0.writes = [write(long)] } == .accepted)
    #expect(outcome { $0.writes = [write(long + "x")] } == .refused(.malformed(.path(long + "x"))))
    #expect(
      outcome { $0.writes = [write("slice/a", counter: 2)] }
        == .refused(.malformed(.counter(path: "slice/a"))))
    #expect(
      outcome { $0.writes = [write("slice/a"), write("slice/a")] }
        == .refused(.malformed(.repeatedPath("slice/a"))))
    let many = (0..<256).map { write("slice/n\($0)") }
    #expect(outcome { $0.writes = many } == .accepted)
    #expect(
      outcome { $0.writes = many + [write("slice/z")] } == .refused(.malformed(.tooManyWrites)))
    #expect(
      outcome { $0.writes = Array(many.dropLast()) + [many[0]] }
        == .refused(.malformed(.repeatedPath("slice/n0"))))
    #expect(
      outcome { $0.grant = Grant(subject: world.eu.key, capabilities: []) }
        == .refused(.malformed(.capabilities)))
    #expect(
      outcome { $0.grant = Grant(subject: world.eu.key, capabilities: [.read], delegationDepth: 4) }
        == .refused(.malformed(.delegationDepth)))
    let keep = [Fake.digest([1]), Fake.digest([2])].sorted()
    #expect(
      outcome { $0.floors = [Floor(grant: world.euGrant.id, time: .max, keep: keep.reversed())] }
        == .refused(.malformed(.keepOrder)))
    #expect(
      outcome {
        $0.scope = .slice("blue")
        $0.grant = Grant(subject: world.eu.key, capabilities: [.read])
      } == .refused(.malformed(.trustOutsideClusterSet)))
  }

  @Test func aLyingContextTrapsNobody() {
    var world = SmallWorld()
    var context = VersionVector()
    context.include(world.root.key, StateLimits.counter)
    context.include(Fake.key("x"), .max)
    let lie = world.admin.make(under: world.adminGrant.id, at: 5) {
      $0.writes = [Write(path: "slice/blue", value: 1, counter: 1, context: context)]
    }
    #expect(world.test.take(lie) == .accepted)
    #expect(world.test.state.write("slice/blue", 2, author: world.root.key) == nil)
    #expect(world.test.state.write("slice/blue", 2, author: world.eu.key)?.counter == 1)
    // Revoking the liar brings the counter back.
    let floor = world.root.floor(world.adminGrant.id, below: nil, under: world.genesis.id, at: 6)
    #expect(world.test.take(floor) == .accepted)
    #expect(world.test.state.write("slice/blue", 2, author: world.root.key)?.counter == 1)
  }

  @Test func waitsForItsGrantWithinBounds() {
    var limits = StateLimits()
    limits.waiting = 8
    limits.waitingPerAuthor = 3
    var world = SmallWorld(limits: limits)
    let deputy = Author("deputy", in: world.genesis)
    let grant = world.admin.grant(
      deputy.key, [.slice("*")], under: world.adminGrant.id, at: 5)
    let writes = (0..<5).map {
      deputy.blindWrite("slice/s\($0)", 1, under: grant.id, at: UInt64(6 + $0))
    }
    for write in writes { #expect(world.test.take(write) == .pending(missing: grant.id)) }
    #expect(world.test.state.waitingCount == 3)
    var forged = writes[0]
    forged.body.append(0)
    forged.id = Fake.crypto.sha256(forged.signedBytes)
    #expect(world.test.take(forged) == .refused(.badSignature))
    #expect(world.test.take(grant) == .accepted)
    #expect(world.test.changes.settled.map(\.outcome) == [.accepted, .accepted, .accepted])
    #expect(world.test.state.waitingCount == 0)
    #expect(world.test.state.paths(prefix: "slice/") == ["slice/s0", "slice/s1", "slice/s2"])
    for i in 0..<20 {
      let stranger = Author("stranger-\(i)", in: world.genesis)
      world.test.take(stranger.blindWrite("slice/x", 1, under: Fake.digest([9]), at: 9))
    }
    #expect(world.test.state.waitingCount == 8)
    #expect(world.test.take(writes[4]) == .accepted)
  }

  @Test func holdsTheFuture() throws {
    var world = SmallWorld()
    let wall = world.test.now.wallMilliseconds
    let near = world.admin.blindWrite("slice/a", 1, under: world.adminGrant.id, at: wall + 10_000)
    let far = world.admin.blindWrite("slice/b", 1, under: world.adminGrant.id, at: wall + 10_001)
    #expect(world.test.take(near) == .accepted)
    #expect(world.test.take(far) == .held(untilMilliseconds: wall + 1, .future))
    #expect(world.test.take(far) == .held(untilMilliseconds: wall + 1, .future))
    #expect(world.test.state.value("slice/b") == nil)
    #expect(world.test.state.nextDeadline == world.test.now.instant + .milliseconds(1))
    world.test.state.release(now: world.test.now, changes: &world.test.changes)
    #expect(world.test.state.value("slice/b") == nil)
    world.test.now.wallMilliseconds += 1
    world.test.state.release(now: world.test.now, changes: &world.test.changes)
    #expect(world.test.state.value("slice/b") == 1)
    #expect(world.test.changes.settled.map(\.id) == [far.id])
    let end = world.admin.make(under: world.adminGrant.id, time: .max) {
      $0.writes = [Write(path: "slice/c", value: 1, counter: 1, context: VersionVector())]
    }
    guard case .held = world.test.take(end) else {
      Issue.record("the end of time is held")
      return
    }
  }

  @Test func boundsWhatOneAuthorMayHold() {
    var world = SmallWorld(
      quota: Quota(registers: 2, bytes: 2_000, changesetsPerMinute: 60))
    world.test.takeAll([world.admit("eu"), world.join("eu")])
    var outcomes: [IngestOutcome] = []
    for i in 0..<4 {
      world.test.now.instant = world.test.now.instant + .seconds(2)
      outcomes.append(
        world.test.take(
          world.eu.blindWrite(
            "slice/blue/export/eu/a/\(i)", 1, under: world.euGrant.id, at: UInt64(10 + i),
            scope: .slice("blue"))))
    }
    let refused = IngestOutcome.refused(.overQuota(.registers(2)))
    #expect(outcomes == [.accepted, .accepted, refused, refused])
    #expect(world.test.changes.alarms.count == 1)
    // What it has it may write again, as often as its pace allows.
    var held = 0
    for i in 0..<100 {
      let outcome = world.test.take(
        world.eu.write(
          "slice/blue/export/eu/a/0", .integer(Int64(i)), in: world.test.state,
          under: world.euGrant.id, at: UInt64(20 + i), scope: .slice("blue")))
      if case .held(_, .rate) = outcome { held += 1 }
    }
    #expect(held > 30 && held < 45)
    world.test.now.instant = world.test.now.instant + .seconds(60)
    world.test.now.wallMilliseconds += 60_000
    world.test.state.release(now: world.test.now, changes: &world.test.changes)
    #expect(world.test.state.waitingCount == 0)
  }

  @Test func conflictsStayVisibleUntilSomebodyWrites() throws {
    var world = SmallWorld()
    let deputy = Author("deputy", in: world.genesis)
    let grant = world.admin.grant(deputy.key, [.slice("*")], under: world.adminGrant.id, at: 5)
    world.test.take(grant)
    world.test.take(world.admin.blindWrite("slice/blue", 1, under: world.adminGrant.id, at: 6))
    world.test.take(deputy.blindWrite("slice/blue", 2, under: grant.id, at: 7))
    let register = try #require(world.test.state.register("slice/blue"))
    #expect(register.value == 2 && register.siblings.map(\.value) == [1])
    #expect(world.test.state.conflicts().map(\.path) == ["slice/blue"])
    let fix = world.admin.write(
      "slice/blue", nil, in: world.test.state, under: world.adminGrant.id, at: 8)
    #expect(world.test.take(fix) == .accepted)
    #expect(world.test.state.conflictCount == 0)
    #expect(world.test.state.value("slice/blue") == nil)
    #expect(world.test.state.paths().isEmpty)
    // The admin's first write is gone, the deputy's stays: the admin may be revoked yet.
    #expect(world.test.state.comparedCount(.clusterset) == 5)
    #expect(world.test.changes.toForget.count == 1)
  }

  @Test func anOldBackupMakesADotTwiceAndShowsIt() throws {
    var world = SmallWorld()
    let old = world.test.state
    let first = world.admin.write("slice/blue", 1, in: old, under: world.adminGrant.id, at: 5)
    let second = world.admin.write("slice/blue", 2, in: old, under: world.adminGrant.id, at: 6)
    world.test.takeAll([first, second])
    let register = try #require(world.test.state.register("slice/blue"))
    #expect(register.value == 2 && register.siblings.map(\.value) == [1])
    let next = try #require(register.write(3, author: world.admin.key))
    #expect(next.counter == 2)
  }

  @Test func forgetsWhatHasNotCountedForAWeek() {
    var world = SmallWorld()
    let write = world.admin.blindWrite("slice/blue", 1, under: world.adminGrant.id, at: 5)
    world.test.takeAll([
      write, world.root.floor(world.adminGrant.id, below: nil, under: world.genesis.id, at: 6),
    ])
    #expect(world.test.state.value("slice/blue") == nil)
    #expect(world.test.state.contains(write.id) && !world.test.state.counts(write.id))
    let before = world.test.state.digest(.clusterset)
    let week = StateLimits().graceMilliseconds
    world.test.now.wallMilliseconds += week - 1
    world.test.state.release(now: world.test.now, changes: &world.test.changes)
    #expect(world.test.state.contains(write.id))
    world.test.now.wallMilliseconds += 1
    world.test.state.release(now: world.test.now, changes: &world.test.changes)
    #expect(!world.test.state.contains(write.id))
    #expect(world.test.changes.toForget.contains(write.id))
    #expect(world.test.state.contains(world.adminGrant.id))
    #expect(world.test.state.digest(.clusterset) == before)
    #expect(world.test.state.nextDeadline == nil)
  }

  @Test func quarantineShowsAndStillCounts() throws {
    var world = SmallWorld()
    let write = world.admit("eu")
    world.test.take(write)
    let before = world.test.state.viewHash(.clusterset)
    world.test.state.quarantine(write.id, because: "the reconciler failed")
    #expect(try #require(world.test.state.register("cluster/eu")).effective.isQuarantined)
    #expect(world.test.state.logEntry(write.id)?.quarantine == "the reconciler failed")
    #expect(world.test.state.viewHash(.clusterset) == before)
  }
}
