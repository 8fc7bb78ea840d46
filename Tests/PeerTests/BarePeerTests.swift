import Base
import Membership
import Peer
import Replication
import Simulator
import Slices
import Testing

/// One peer of three, with nobody at the other end: what it asks for is in `effects`.
private struct BarePeer {
  var peer: Peer
  var set: SimulatedClusterSet
  let others: [PeerConfiguration]
  var now = Now(
    instant: Instant(nanoseconds: 1_000_000_000), wallMilliseconds: Simulation.epochMilliseconds)
  var effects: [Peer.Effect] = []

  /// - Parameter known: how many changesets of the cluster set's history it begins with; `nil`: all.
  init(isRestored: Bool = false, known: Int? = nil, seeds: [String] = []) {
    var set = SimulatedClusterSet()
    var configuration = set.addCluster(1)
    others = [set.addCluster(2), set.addCluster(3)]
    configuration.isRestored = isRestored
    configuration.membership.seeds = seeds
    self.set = set
    var state = ReplicatedState(
      genesis: set.genesis, crypto: SimulatedCrypto.crypto, cluster: configuration.cluster)
    var changes = StateChanges()
    state.load(Array(set.history.prefix(known ?? .max)), now: now, changes: &changes)
    peer = Peer(configuration, state: state, crypto: SimulatedCrypto.crypto)
    handle(.start)
  }

  mutating func handle(_ input: Peer.Input) {
    effects = []
    peer.handle(input, now: now, effects: &effects)
  }

  mutating func advance(by duration: Duration) {
    now = Now(
      instant: now.instant + duration,
      wallMilliseconds: now.wallMilliseconds + UInt64(duration.milliseconds))
    handle(.tick)
  }

  var other: NodeID { node(0) }

  func node(_ index: Int) -> NodeID {
    SimulatedCrypto.crypto.nodeID(of: others[index].signer.publicKey)
  }

  /// Another peer holds the very set that this one does.
  mutating func saysTheSame(_ scope: Scope, other index: Int = 0) {
    let same = ScopeDigest(scope: scope, digest: SetDigest(peer.state.compared(scope)))
    handle(.received(from: node(index), [.sync(.digests([same], answer: true))]))
  }

  /// Another peer says that it takes part.
  mutating func isThere(_ other: PeerConfiguration) {
    let state = ReplicatedState(
      genesis: set.genesis, crypto: SimulatedCrypto.crypto, cluster: other.cluster)
    let far = Peer(other, state: state, crypto: SimulatedCrypto.crypto)
    handle(.received(from: far.id, [.membership(.evidence([.record(far.membership.record)]))]))
  }

  var stored: Int {
    effects.reduce(0) { count, effect in
      if case .store(let changesets) = effect { count + changesets.count } else { count }
    }
  }
}

@Suite struct BarePeerTests {
  private let record = LocalRegister(
    scope: .clusterset, path: "cluster/c1/info", value: ["version": "new", "peers": []])

  @Test func aPeerKeepsItselfInItsClustersRecord() throws {
    var bare = BarePeer()
    let key = bare.peer.configuration.signer.publicKey
    func kept() throws -> ClusterInfo {
      try ClusterInfo(try #require(bare.peer.state.value("cluster/c1/info")))
    }
    let own = ClusterInfo(
      certificateAuthority: [1], peers: [.init(key: key, addresses: ["192.0.2.1:7946"])])
    bare.handle(.record(own))
    #expect(bare.stored == 1)
    #expect(try kept().certificateAuthority(of: key) == [1])
    bare.handle(.record(own))
    #expect(bare.stored == 0)
    // Whoever writes the record without this peer, it puts itself in again.
    let other = ClusterInfo(certificateAuthority: [9], peers: [])
    bare.handle(
      .publish([
        LocalRegister(scope: .clusterset, path: "cluster/c1/info", value: other.value)
      ]))
    #expect(bare.stored == 2)
    #expect(try kept().peers.map(\.key) == [key])
    bare.advance(by: .seconds(1))
    #expect(bare.stored == 0)
  }

  @Test func aRestoredPeerWritesOnceItKnowsWhatOthersKnow() {
    var bare = BarePeer(isRestored: true)
    bare.handle(.publish([record]))
    #expect(bare.stored == 0)
    let apart = ScopeDigest(scope: .clusterset, digest: SetDigest([bare.other]))
    bare.handle(.received(from: bare.other, [.sync(.digests([apart], answer: true))]))
    #expect(bare.stored == 0)
    let same = ScopeDigest(
      scope: .clusterset, digest: SetDigest(bare.peer.state.compared(.clusterset)))
    bare.handle(.received(from: bare.other, [.sync(.digests([same], answer: true))]))
    #expect(bare.stored == 1)
    #expect(bare.effects.contains { if case .event(.caughtUp) = $0 { true } else { false } })
  }

  /// With its grant and nothing else it cannot tell what it wrote, even where it knows of nobody.
  @Test func aPeerThatKnowsNothingButWhoItIsWaits() {
    var bare = BarePeer(isRestored: true, known: 1, seeds: ["c2:7946"])
    #expect(bare.peer.isBare)
    bare.handle(.publish([record]))
    #expect(bare.stored == 0)
    bare.advance(by: .seconds(600))
    #expect(bare.stored == 0 && bare.peer.isBare)
    bare.handle(.introduced(1, Array(bare.set.history.dropFirst())))
    #expect(bare.peer.isBare)
    let same = ScopeDigest(
      scope: .clusterset, digest: SetDigest(bare.peer.state.compared(.clusterset)))
    bare.handle(.received(from: bare.other, [.sync(.digests([same], answer: true))]))
    #expect(bare.stored == 1 && !bare.peer.isBare)
  }

  /// The own cluster's other peers may have lost all as well: they are heard once the record is known,
  /// which nobody wrote who knows nothing.
  @Test func peersThatLostTheirStateTogetherWait() {
    var bare = BarePeer(isRestored: true, known: 1, seeds: ["c2:7946"])
    let sibling = SimulatedCrypto.signer(77)
    let grant = bare.set.byRoot(
      grant: Grant(subject: sibling.publicKey, capabilities: [.own("c1")]))
    bare.handle(.introduced(1, [grant]))
    func same(from node: NodeID) {
      let digest = SetDigest(bare.peer.state.compared(.clusterset))
      bare.handle(
        .received(
          from: node, [.sync(.digests([.init(scope: .clusterset, digest: digest)], answer: true))]))
    }
    let node = SimulatedCrypto.crypto.nodeID(of: sibling.publicKey)
    same(from: node)
    #expect(bare.peer.isBare)
    bare.handle(.introduced(1, Array(bare.set.history.prefix(2))))
    #expect(bare.peer.isBare)
    same(from: node)
    #expect(!bare.peer.isBare)
  }

  /// Other clusters may have lost all as well, and agree with whoever knows nothing: they are heard once
  /// the record of theirs is known.
  @Test func clustersThatLostTheirStateTogetherWait() {
    var bare = BarePeer(isRestored: true, known: 1, seeds: ["c2:7946"])
    // What admits c1 and c2, without their records.
    bare.handle(.introduced(1, [bare.set.history[0], bare.set.history[2]]))
    bare.saysTheSame(.clusterset)
    #expect(bare.peer.isBare)
    bare.handle(.introduced(1, [bare.set.history[3]]))
    bare.saysTheSame(.clusterset)
    #expect(!bare.peer.isBare)
  }

  /// Of two that know nothing each finds that it knows what the other does.
  @Test func thatAScopeIsEmptyAllWhoAreThereSay() {
    var bare = BarePeer(isRestored: true, known: 1, seeds: ["c2:7946"])
    bare.handle(.introduced(1, Array(bare.set.history.dropFirst())))
    for number in 1...3 {
      let member = bare.set.byRoot(writes: [
        Write(
          path: "slice/blue/member/c\(number)", value: ["x": 1], counter: 1,
          context: VersionVector())
      ])
      bare.handle(.introduced(1, [member]))
    }
    for other in bare.others { bare.isThere(other) }
    bare.saysTheSame(.clusterset)
    bare.saysTheSame(.slice("blue"))
    bare.saysTheSame(.slice("blue"))
    #expect(bare.peer.isBare)
    bare.saysTheSame(.slice("blue"), other: 1)
    #expect(!bare.peer.isBare)
  }

  @Test func aRecordIsWrittenOnceItIsKnownWhatIsInIt() throws {
    var set = SimulatedClusterSet()
    _ = set.addCluster(1)
    let known = set.history
    let later = SimulatedCrypto.signer(77)
    let grant = set.byRoot(grant: Grant(subject: later.publicKey, capabilities: [.own("c1")]))
    var configuration = set.addCluster(2)
    configuration.cluster = "c1"
    configuration.signer = later
    let now = Now(
      instant: Instant(nanoseconds: 1_000_000_000), wallMilliseconds: Simulation.epochMilliseconds)
    var peer = Peer(
      configuration,
      state: ReplicatedState(
        genesis: set.genesis, crypto: SimulatedCrypto.crypto, cluster: "c1"),
      crypto: SimulatedCrypto.crypto)
    var effects: [Peer.Effect] = []
    let own = ClusterInfo(
      certificateAuthority: [1], peers: [.init(key: later.publicKey, addresses: ["192.0.2.1:1"])])
    for input in [.start, .introduced(1, [grant]), .record(own)] as [Peer.Input] {
      peer.handle(input, now: now, effects: &effects)
    }
    #expect(peer.state.register("cluster/c1/info", scope: .clusterset) == nil)
    effects = []
    peer.handle(.introduced(1, known), now: now, effects: &effects)
    let told = effects.flatMap { effect -> [Changeset] in
      if case .answer(1, .introduce(let answer)) = effect { answer } else { [] }
    }
    #expect(told.contains { $0.author == later.publicKey && $0.grant == nil })
    let info = try ClusterInfo(try #require(peer.state.value("cluster/c1/info")))
    #expect(info.peers.map(\.key).contains(later.publicKey) && info.peers.count == 2)
    #expect(peer.state.conflictCount == 0)
  }

  /// Its cluster's admission is no news, so the token of a later peer leaves it out.
  @Test func whoJoinsAKnownClusterIsToldWhatAdmitsIt() {
    var bare = BarePeer()
    let later = SimulatedCrypto.signer(77)
    func records(answering changesets: [Changeset]) -> Set<String> {
      bare.handle(.introduced(1, changesets))
      for case .answer(1, .introduce(let answer)) in bare.effects {
        return Set(answer.flatMap { $0.writes.map(\.path) })
      }
      return []
    }
    let own: Set = ["cluster/c1", "cluster/c1/info"]
    let grant = bare.set.byRoot(grant: Grant(subject: later.publicKey, capabilities: [.own("c3")]))
    #expect(records(answering: [grant]) == own.union(["cluster/c3", "cluster/c3/info"]))
    let admin = bare.set.byRoot(
      grant: Grant(subject: SimulatedCrypto.signer(78).publicKey, capabilities: [.slice("*")]))
    #expect(records(answering: [admin]) == own)
    // As anybody may make it up.
    let forged = bare.set.signed(
      by: later, under: grant.id,
      grant: Grant(subject: SimulatedCrypto.signer(79).publicKey, capabilities: [.own("c2")]))
    #expect(records(answering: [forged]).isDisjoint(with: ["cluster/c2"]))
  }

  /// A cluster set of one peer has nobody to learn from.
  @Test func aloneItWritesAtOnce() {
    var bare = BarePeer(isRestored: true, known: 1)
    #expect(!bare.peer.isBare)
    bare.handle(.publish([record]))
    #expect(bare.stored == 1)
  }

  @Test func othersWriteAtOnce() {
    var bare = BarePeer()
    bare.handle(.publish([record]))
    #expect(bare.stored == 1)
  }

  @Test func aChangeFromTheFutureTellsThatClocksDiffer() {
    func behind(_ milliseconds: UInt64) -> UInt64? {
      var bare = BarePeer()
      let change = bare.set.signedApart(
        by: bare.set.root, under: bare.set.genesis.id,
        writes: [
          Write(path: "slice/blue", value: ["x": 1], counter: 1, context: VersionVector())
        ], at: Simulation.epochMilliseconds + milliseconds)
      bare.handle(.received(from: bare.other, [.sync(.push([change]))]))
      for case .event(.clockBehind(_, let found)) in bare.effects { return found }
      return nil
    }
    #expect(behind(5_000) == 5_000)
    #expect(behind(500) == nil)
  }

  @Test func whoPushesWhatActsUnderAnUnknownGrantIsAskedForTheGrant() {
    var bare = BarePeer()
    let admin = SimulatedCrypto.signer(77)
    let grant = bare.set.grant(to: admin)
    let change = bare.set.signedApart(
      by: admin, under: grant.id,
      writes: [Write(path: "slice/blue", value: ["x": 1], counter: 1, context: VersionVector())],
      at: Simulation.epochMilliseconds)
    bare.handle(.received(from: bare.other, [.sync(.push([change]))]))
    #expect(!bare.peer.state.counts(change.id))
    bare.advance(by: .milliseconds(200))
    let asked = bare.effects.flatMap { effect -> [SyncMessage] in
      guard case .datagram(bare.other, let messages) = effect else { return [] }
      return messages.compactMap { if case .sync(let message) = $0 { message } else { nil } }
    }
    #expect(asked.contains(.graft([grant.id])))
    bare.handle(.received(from: bare.other, [.sync(.push([grant]))]))
    #expect(bare.peer.state.counts(change.id))
  }

  private static let blue = Scope.slice("blue")

  /// As a member of slice blue, with exports that it made and deleted again.
  private func churned(_ count: Int) -> BarePeer {
    var bare = BarePeer()
    let join = bare.set.byRoot(
      writes: ["slice/blue", "slice/blue/member/c1"].map {
        Write(path: $0, value: ["x": 1], counter: 1, context: VersionVector())
      })
    bare.handle(.submitted([join], ticket: 1))
    for value in [["ports": 1], nil] as [Value?] {
      for number in 0..<count {
        bare.handle(
          .publish([
            LocalRegister(
              scope: Self.blue, path: "slice/blue/export/c1/shop/s\(number)", value: value)
          ]))
      }
    }
    return bare
  }

  @Test func ownDeletionsAreForgottenWhenThereAreMany() {
    for (count, isWorthIt) in [(20, true), (4, false)] {
      var bare = churned(count)
      let before = bare.peer.state.comparedCount(Self.blue)
      #expect(before == count)
      bare.advance(by: .seconds(61))
      #expect((bare.peer.state.comparedCount(Self.blue) < before) == isWorthIt)
      #expect(bare.stored == (isWorthIt ? 1 : 0))
      // Once is enough.
      bare.advance(by: .seconds(61))
      #expect(bare.stored == 0)
    }
  }

  @Test func aSliceThatCannotBeServedNamesItsNewestChange() {
    var bare = churned(0)
    let newest = bare.set.byRoot(writes: [
      Write(path: "slice/blue/qos", value: ["x": 1], counter: 1, context: VersionVector())
    ])
    bare.handle(.submitted([newest], ticket: 2))
    bare.handle(.reconciled(slice: "blue", complaint: "no room"))
    #expect(bare.peer.state.logEntry(newest.id)?.quarantine == "no room")
    #expect(bare.peer.state.quarantined.count == 1)
    bare.handle(.reconciled(slice: "blue", complaint: nil))
    #expect(bare.peer.state.quarantined.isEmpty)
  }
}
