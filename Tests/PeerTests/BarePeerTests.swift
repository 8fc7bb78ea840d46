import Base
import Peer
import Replication
import Simulator
import Testing

/// One peer of three, with nobody at the other end: what it asks for is in `effects`.
private struct BarePeer {
  var peer: Peer
  let set: SimulatedClusterSet
  let others: [PeerConfiguration]
  let now = Now(
    instant: Instant(nanoseconds: 1_000_000_000), wallMilliseconds: Simulation.epochMilliseconds)
  var effects: [Peer.Effect] = []

  init(isRestored: Bool = false) {
    var set = SimulatedClusterSet()
    var configuration = set.addCluster(1)
    others = [set.addCluster(2), set.addCluster(3)]
    configuration.isRestored = isRestored
    self.set = set
    var state = ReplicatedState(
      genesis: set.genesis, crypto: SimulatedCrypto.crypto, cluster: configuration.cluster)
    var changes = StateChanges()
    state.load(set.history, now: now, changes: &changes)
    peer = Peer(configuration, state: state, crypto: SimulatedCrypto.crypto)
    handle(.start)
  }

  mutating func handle(_ input: Peer.Input) {
    effects = []
    peer.handle(input, now: now, effects: &effects)
  }

  var other: NodeID { SimulatedCrypto.crypto.nodeID(of: others[0].signer.publicKey) }

  var stored: Int {
    effects.reduce(0) { count, effect in
      if case .store(let changesets) = effect { count + changesets.count } else { count }
    }
  }
}

@Suite struct BarePeerTests {
  private let record = LocalRegister(
    scope: .clusterset, path: "cluster/c1/info", value: ["version": "new", "peers": []])

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
}
