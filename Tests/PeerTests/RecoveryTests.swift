import Base
import Membership
import Peer
import Replication
import Simulator
import Testing

/// A peer that begins with its grant alone, and one that knows everything and hears it.
private struct Newcomer {
  private var set = SimulatedClusterSet()
  private var peers: [Peer] = []
  private var ids: [NodeID] = []
  private var now = Now(
    instant: Instant(nanoseconds: 1_000_000_000), wallMilliseconds: Simulation.epochMilliseconds)
  private var counter: UInt64 = 0
  var stored = 0

  init(isRestored: Bool = false) {
    var configurations = [set.addCluster(1), set.addCluster(2)]
    configurations[0].isRestored = isRestored
    configurations[0].membership.seeds = ["c2:7946"]
    for (index, configuration) in configurations.enumerated() {
      var state = ReplicatedState(
        genesis: set.genesis, crypto: SimulatedCrypto.crypto, cluster: configuration.cluster)
      var changes = StateChanges()
      state.load(
        Array(index == 0 ? set.history.prefix(1) : set.history[...]), now: now, changes: &changes)
      ids.append(SimulatedCrypto.crypto.nodeID(of: configuration.signer.publicKey))
      peers.append(Peer(configuration, state: state, crypto: SimulatedCrypto.crypto))
    }
    for index in 0..<2 { handle(.start, at: index) }
  }

  var peer: Peer { peers[0] }

  mutating func meet() { handle(.introduced(1, set.history), at: 0) }

  mutating func publish() {
    let record = LocalRegister(
      scope: .clusterset, path: "cluster/c1/info", value: ["version": "new", "peers": []])
    handle(.publish([record]), at: 0)
  }

  /// Somebody changes something that is told to the other peer.
  mutating func change() {
    counter += 1
    var context = VersionVector()
    context.include(set.root.publicKey, counter - 1)
    let write = Write(
      path: "slice/blue", value: ["n": .integer(Int64(counter))], counter: counter, context: context
    )
    handle(.submitted([set.byRoot(writes: [write])], ticket: counter), at: 1)
  }

  mutating func advance() {
    now = Now(
      instant: now.instant + .milliseconds(50), wallMilliseconds: now.wallMilliseconds + 50)
    for index in 0..<2 { handle(.tick, at: index) }
  }

  /// Carries everything over at once but what is pushed: sets of the two are never the same then.
  private mutating func handle(_ input: Peer.Input, at index: Int) {
    var effects: [Peer.Effect] = []
    peers[index].handle(input, now: now, effects: &effects)
    for effect in effects {
      switch effect {
      case .datagram(let to, let messages): carry(messages, to, from: index)
      case .frame(let to, let message): carry([message], to, from: index)
      case .store(let changesets) where index == 0: stored += changesets.count
      default: break
      }
    }
  }

  private mutating func carry(_ messages: [PeerMessage], _ to: NodeID, from index: Int) {
    guard ids[1 - index] == to else { return }
    let passing = messages.filter { message in
      switch message {
      case .sync(.push), .sync(.announce): false
      default: true
      }
    }
    handle(.received(from: ids[index], passing), at: 1 - index)
  }
}

@Suite struct RecoveryTests {
  /// Its key is new, so that it wrote nothing that it does not know.
  @Test func aNewPeerWritesAtOnceAndIsBareUntilItHasLearned() {
    var newcomer = Newcomer()
    #expect(newcomer.peer.isBare && !newcomer.peer.isSynced(.clusterset))
    newcomer.publish()
    #expect(newcomer.stored == 1 && newcomer.peer.isBare)
    newcomer.meet()
    #expect(newcomer.peer.isBare)
    for _ in 0..<100 where newcomer.peer.isBare { newcomer.advance() }
    #expect(!newcomer.peer.isBare && newcomer.peer.isSynced(.clusterset))
  }

  /// Sets that are never the same twice: what another had when it was asked is enough.
  @Test(arguments: [false, true])
  func whatChangesAllTheTimeIsLearnedToo(isRestored: Bool) {
    var newcomer = Newcomer(isRestored: isRestored)
    newcomer.meet()
    newcomer.change()
    for _ in 0..<400 where newcomer.peer.isBare {
      newcomer.advance()
      newcomer.change()
    }
    #expect(!newcomer.peer.isBare)
    #expect(newcomer.peer.state.value("slice/blue") != nil)
  }
}
