import Base
import Testing

@testable import Replication

@Suite("Grants, roots, tokens")
struct TrustTests {
  private func refusal(_ outcome: IngestOutcome) -> Unauthorised? {
    if case .refused(.unauthorised(let why)) = outcome { why } else { nil }
  }

  @Test func whoMayWriteWhat() {
    let own: [Capability] = [.own("eu")]
    let team: [Capability] = [.slice("team-*")]
    let cases: [(String, Scope, [Capability], Bool)] = [
      ("cluster/eu", .clusterset, [.admit], true), ("cluster/eu", .clusterset, own, false),
      ("cluster/eu/info", .clusterset, own, true), ("cluster/us/info", .clusterset, own, false),
      ("cluster/eu/info", .clusterset, [.admit], false),
      ("slice/team-a", .clusterset, team, true), ("slice/team-", .clusterset, team, true),
      ("slice/team", .clusterset, team, false), ("slice/blue/qos", .clusterset, team, false),
      ("slice/blue/member/eu", .clusterset, [.slice("blue")], true),
      ("slice/bluer/member/eu", .clusterset, [.slice("blue")], false),
      ("slice/blue/gateway/eu", .slice("blue"), own, true),
      ("slice/blue/gateway/eu2", .slice("blue"), own, false),
      ("slice/red/gateway/eu", .slice("blue"), own, false),
      ("slice/blue/export/eu/shop/web/0", .slice("blue"), own, true),
      ("slice/blue/export/us/shop/web", .slice("blue"), own, false),
      ("slice/blue/gateway/eu", .slice("blue"), [.slice("*")], false),
      ("slice/blue", .slice("blue"), own, false), ("root/x", .clusterset, [.admit], false),
      ("grant/x", .clusterset, [.grant, .admit, .slice("*")], false),
    ]
    for (path, scope, capabilities, isAllowed) in cases {
      #expect(
        (PathRule.missing(path, scope, capabilities) == nil) == isAllowed,
        "\(path) in \(scope) by \(capabilities)")
    }
  }

  @Test func nobodyGrantsMoreThanItHolds() {
    let authority = StandardAuthority(defaultQuota: StateLimits().quota)
    let author = Author("x")
    func allows(
      _ parent: [Capability], _ child: [Capability], depth: (Int, Int) = (1, 0),
      end: (UInt64?, UInt64?) = (nil, nil)
    ) -> Bool {
      let grant = Grant(
        subject: author.key, capabilities: parent, notAfterMilliseconds: end.0,
        delegationDepth: depth.0)
      let changeset = author.grant(
        Fake.key("y"), child, under: .zero, at: 5, notAfter: end.1, depth: depth.1)
      return authority.objection(to: changeset, under: grant, isRoot: false) == nil
    }
    #expect(allows([.grant, .slice("team-*")], [.slice("team-a")]))
    #expect(allows([.grant, .slice("team-*")], [.slice("team-a*")]))
    #expect(!allows([.grant, .slice("team-*")], [.slice("team*")]))
    #expect(!allows([.grant, .slice("team-a")], [.slice("team-a*")]))
    #expect(!allows([.slice("*")], [.slice("a")]))
    #expect(!allows([.grant, .slice("*")], [.admit]))
    #expect(!allows([.grant, .slice("*")], [.read]))
    #expect(!allows([.grant, .slice("*")], [.own("eu")]))
    #expect(allows([.admit], [.own("eu")], depth: (0, 0)))
    #expect(allows([.admit], [.enrol("eu")], depth: (0, 0)))
    #expect(!allows([.admit], [.admit], depth: (3, 0)))
    #expect(!allows([.grant, .admit], [.admit, .own("eu")]))
    #expect(!allows([.own("eu")], [.own("eu")], depth: (3, 0)))
    #expect(allows([.enrol("eu")], [.own("eu")], depth: (0, 0)))
    #expect(!allows([.enrol("eu")], [.own("us")], depth: (0, 0)))
    #expect(!allows([.enrol("eu")], [.enrol("eu")], depth: (3, 0)))
    #expect(!allows([.grant, .slice("*")], [.slice("*")], depth: (0, 0)))
    #expect(!allows([.grant, .slice("*")], [.slice("*")], depth: (2, 2)))
    #expect(allows([.grant, .slice("*")], [.slice("*")], depth: (2, 1)))
    #expect(!allows([.grant, .slice("*")], [.slice("*")], end: (9, nil)))
    #expect(!allows([.grant, .slice("*")], [.slice("*")], end: (9, 10)))
    #expect(allows([.grant, .slice("*")], [.slice("*")], end: (9, 9)))
    #expect(!allows([.grant, .slice("*")], [.slice("*")], end: (4, 4)))
    // A cluster outlives its token and its admin; a token does not outlive its admin.
    #expect(allows([.enrol("eu")], [.own("eu")], depth: (0, 0), end: (9, nil)))
    #expect(allows([.admit], [.own("eu")], depth: (0, 0), end: (9, nil)))
    #expect(!allows([.admit], [.enrol("eu")], depth: (0, 0), end: (9, nil)))
  }

  @Test func aChainIsAtMostFourLinksLong() {
    let genesis = Fake.genesis()
    var test = TestState(genesis)
    var author = Author("root", in: genesis)
    var under = genesis.id
    for depth in [3, 2, 1, 0] {
      let next = Author("a\(depth)", in: genesis)
      let grant = author.grant(
        next.key, [.grant, .slice("*")], under: under, at: 5, depth: depth)
      #expect(test.take(grant) == .accepted)
      (author, under) = (next, grant.id)
    }
    let last = author.grant(Fake.key("z"), [.slice("*")], under: under, at: 5)
    #expect(refusal(test.take(last)) == .tooDeep)
  }

  @Test func strangersAndExpiredGrantsAreRefused() {
    var world = SmallWorld()
    let mallory = Author("mallory", in: world.genesis)
    #expect(
      refusal(
        world.test.take(mallory.blindWrite("slice/a", 1, under: world.adminGrant.id, at: 5)))
        == .notTheSubject(grant: world.adminGrant.id))
    let guest = Author("guest", in: world.genesis)
    let grant = world.admin.grant(
      guest.key, [.slice("*")], under: world.adminGrant.id, at: 5, notAfter: 10)
    world.test.take(grant)
    #expect(world.test.take(guest.blindWrite("slice/a", 1, under: grant.id, at: 10)) == .accepted)
    #expect(
      refusal(world.test.take(guest.blindWrite("slice/b", 1, under: grant.id, at: 11)))
        == .expired(grant: grant.id))
  }

  @Test func revocationKeepsWhatItNamesAndNothingElse() throws {
    var world = SmallWorld()
    let kept = world.admin.blindWrite("slice/kept", 1, under: world.adminGrant.id, at: 5)
    let lost = world.admin.blindWrite("slice/lost", 1, under: world.adminGrant.id, at: 6)
    world.test.takeAll([kept, lost])
    let plan = try #require(world.test.state.revocationPlan(world.adminGrant.id))
    #expect(plan.items.map(\.changeset) == [world.euGrant.id, kept.id, lost.id])
    #expect(plan.items.map { $0.registers.map(\.path) } == [[], ["slice/kept"], ["slice/lost"]])
    let floor = try #require(plan.floor(keeping: [kept.id, world.euGrant.id]))
    let revoke = world.root.make(under: world.genesis.id, at: 7) { $0.floors = [floor] }
    #expect(world.test.take(revoke) == .accepted)
    #expect(world.test.state.paths() == ["slice/kept"])
    #expect(world.test.state.grant(world.euGrant.id)?.isLive == true)
    #expect(world.test.state.grant(world.adminGrant.id)?.revocation == revoke.id)
    #expect(world.test.state.logEntry(lost.id)?.outcome == .notCounting(.void(floor: revoke.id)))
    // The thief of the key backdates in vain.
    let theft = world.admin.blindWrite("slice/theft", 1, under: world.adminGrant.id, at: 1)
    #expect(world.test.take(theft) == .notCounting(.void(floor: revoke.id)))
    #expect(world.test.state.revocationPlan(world.genesis.id) == nil)
  }

  @Test func aRevokedPeerIsNotAdmitted() throws {
    var world = SmallWorld()
    let info = world.eu.blindWrite("cluster/eu/info", 1, under: world.euGrant.id, at: 5)
    world.test.takeAll([world.admit("eu"), info])
    let next = world.admin.grant(Fake.key("eu-2"), [.own("eu")], under: world.adminGrant.id, at: 6)
    world.test.take(next)
    #expect(world.test.state.admittedPeers.count == 2)
    world.test.changes = StateChanges()
    let plan = try #require(world.test.state.revocationPlan(world.euGrant.id))
    let floor = try #require(plan.floor(keeping: plan.items.map(\.changeset)))
    let revoke = world.admin.make(under: world.adminGrant.id, at: 7) { $0.floors = [floor] }
    #expect(world.test.take(revoke) == .accepted)
    #expect(world.test.changes.touchesTrust)
    #expect(world.test.state.admittedPeers == [Fake.key("eu-2"): "eu"])
    #expect(world.test.state.ownGrant(of: world.eu.key, for: "eu") == nil)
    // What it said stays, until the new key says otherwise.
    #expect(world.test.state.value("cluster/eu/info") == 1)
    let again = Author("eu-2", in: world.genesis)
    let write = again.write("cluster/eu/info", 2, in: world.test.state, under: next.id, at: 8)
    #expect(world.test.take(write) == .accepted)
    #expect(world.test.state.value("cluster/eu/info") == 2)
    #expect(world.test.state.conflictCount == 0)
  }

  @Test func aRootOfTwoOfThreeNeedsTwoSignatures() {
    let genesis = Fake.genesis(roots: ["r1", "r2", "r3"], threshold: 2)
    var test = TestState(genesis)
    let author = Author("r1", in: genesis)
    var grant = author.grant(Fake.key("admin"), [.admit], under: genesis.id, at: 1)
    #expect(
      test.take(grant) == .refused(.tooFewSignatures(valid: 1, needed: 2)))
    func endorse(_ name: String, by signer: String? = nil) {
      grant.endorsements.append(
        Endorsement(
          key: Fake.key(name),
          signature: Fake.sign(grant.signedBytes, Fake.key(signer ?? name))))
    }
    endorse("r1")
    endorse("mallory")
    endorse("r3", by: "mallory")
    #expect(test.take(grant) == .refused(.tooFewSignatures(valid: 1, needed: 2)))
    endorse("r2")
    #expect(test.take(grant) == .accepted)
    // What a relay added is not handed on.
    #expect(test.changes.toStore.first?.endorsements.count == 2)
  }

  @Test func aRootChangeNeedsBothSidesAndVoidsTheOldRoot() throws {
    let genesis = Fake.genesis()
    var test = TestState(genesis)
    let root = Author("root", in: genesis)
    let next = Author("next", in: genesis)
    let admin = root.grant(Fake.key("admin"), [.slice("*")], under: genesis.id, at: 1)
    let other = root.grant(Fake.key("other"), [.slice("*")], under: genesis.id, at: 1)
    test.takeAll([admin, other])
    func change(_ cosigners: [PublicKey], nonce: UInt64 = 0) -> Changeset {
      root.make(under: genesis.id, at: 5, nonce: nonce, cosigners: cosigners) {
        $0.rootChange = RootChange(root: RootKeys(keys: [next.key], threshold: 1), keep: [admin.id])
      }
    }
    #expect(test.take(change([])) == .refused(.tooFewSignatures(valid: 0, needed: 1)))
    let version = change([next.key])
    // Under a version that is not known yet the author's signature is all that can be looked at.
    let early = next.floor(admin.id, below: nil, under: version.id, at: 7)
    #expect(test.take(early) == .pending(missing: version.id))
    #expect(test.take(version) == .accepted)
    #expect(test.state.rootVersion == version.id)
    #expect(test.state.root.keys == [next.key])
    #expect(test.state.grant(other.id)?.void == .rootChanged(by: version.id))
    // The new root's floor on a grant of the old one, which had been waiting, is in force.
    #expect(test.changes.settled.map(\.outcome) == [.accepted])
    #expect(test.state.grant(admin.id)?.void == nil)
    #expect(test.state.grant(admin.id)?.revocation == early.id)
    let forged = root.grant(Fake.key("thief"), [.slice("*")], under: genesis.id, at: 1)
    #expect(test.take(forged) == .notCounting(.rootChanged(by: version.id)))
    // The old key cannot put floors on anything any more, nor on the new version.
    let floor = root.floor(version.id, below: nil, under: genesis.id, at: 1)
    #expect(test.take(floor) == .notCounting(.rootChanged(by: version.id)))
    #expect(test.state.grant(version.id)?.isLive == true)
  }

  @Test func ofTwoRootChangesTheSmallerWinsWithAnAlarm() {
    let genesis = Fake.genesis()
    let root = Author("root", in: genesis)
    let changes = ["x", "y"].map { name in
      root.make(under: genesis.id, at: 5, cosigners: [Fake.key(name)]) {
        $0.rootChange = RootChange(
          root: RootKeys(keys: [Fake.key(name)], threshold: 1), keep: [])
      }
    }.sorted { $0.id < $1.id }
    for order in [changes, changes.reversed()] {
      var test = TestState(genesis)
      test.takeAll(order)
      #expect(test.state.rootVersion == changes[0].id)
      #expect(test.state.grant(changes[1].id)?.void == .rootChanged(by: changes[0].id))
      let alarm = StateAlarm.rivalRoots(
        version: genesis.id, winner: changes[0].id, loser: changes[1].id)
      #expect(test.changes.alarms == [alarm] && test.state.alarms == [alarm])
    }
  }

  @Test func aTokenEnrolsOnceUnlessSealed() throws {
    var world = SmallWorld()
    let token = Author("token", in: world.genesis)
    let grant = world.admin.grant(
      token.key, [.enrol("us")], under: world.adminGrant.id, at: 5, notAfter: 3_600_000)
    let good = token.grant(Fake.key("us-1"), [.own("us")], under: grant.id, at: 6)
    let bad = token.grant(Fake.key("thief"), [.own("us")], under: grant.id, at: 6)
    world.test.takeAll([world.admit("us"), grant])
    #expect(world.test.take(good) == .accepted)
    #expect(world.test.state.admittedPeers[Fake.key("us-1")] == "us")
    #expect(world.test.take(bad) == .notCounting(.rivalEnrolment(token: grant.id)))
    #expect(world.test.state.admittedPeers[Fake.key("us-1")] == nil)
    // Both are evidence, compared like what counts.
    let compared = world.test.state.compared(.clusterset)
    #expect(compared.contains(good.id) && compared.contains(bad.id))
    let alarm = StateAlarm.rivalEnrolments(
      token: grant.id, enrolments: [good.id, bad.id].sorted())
    #expect(world.test.changes.alarms == [alarm] && world.test.state.alarms == [alarm])
    let seal = world.admin.make(under: world.adminGrant.id, at: 8) {
      $0.floors = [.seal(token: grant.id, enrolment: good.id)]
    }
    #expect(world.test.take(seal) == .accepted)
    #expect(world.test.state.admittedPeers[Fake.key("us-1")] == "us")
    #expect(world.test.state.alarms.isEmpty)
    let late = token.grant(Fake.key("late"), [.own("us")], under: grant.id, at: 1)
    #expect(world.test.take(late) == .notCounting(.void(floor: seal.id)))
    #expect(!world.test.state.compared(.clusterset).contains(bad.id))
  }

  @Test func aStolenTokenCannotFillAnybodysMemory() {
    var world = SmallWorld()
    let token = Author("token", in: world.genesis)
    let grant = world.admin.grant(token.key, [.enrol("us")], under: world.adminGrant.id, at: 5)
    world.test.take(grant)
    let before = world.test.state.comparedCount(.clusterset)
    for i in 0..<100 {
      world.test.take(
        token.grant(Fake.key("thief-\(i)"), [.own("us")], under: grant.id, at: UInt64(6 + i)))
    }
    #expect(
      world.test.state.comparedCount(.clusterset) == before + StateLimits.rivalEnrolments)
    #expect(world.test.state.count <= before + StateLimits.heldEnrolments)
  }
}
