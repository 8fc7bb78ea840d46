import Base
import Membership
import Peer
import Replication
import Simulator
import Testing

/// A few clusters in virtual time.
private struct World {
  var set = SimulatedClusterSet()
  var simulation: Simulation

  init(clusters: UInt64, seed: UInt64 = 1, options: Simulation.Options = .init()) {
    simulation = Simulation(seed: seed, options: options)
    let configurations = (1...clusters).map { set.addCluster($0) }
    for configuration in configurations { simulation.add(configuration, disk: set.history) }
  }

  func alive(at index: Int) -> Int {
    simulation.peer(index)?.membership.count(.alive) ?? 0
  }

  func ttl(at index: Int, _ path: String = "slice/blue") -> Value? {
    simulation.peer(index)?.state.value(path)
  }

  mutating func change(_ value: Value?, counter: UInt64) -> Changeset {
    var context = VersionVector()
    context.include(set.root.publicKey, counter - 1)
    return set.byRoot(
      writes: [Write(path: "slice/blue", value: value, counter: counter, context: context)])
  }
}

@Suite struct PeerTests {
  @Test func peersFindOneAnother() {
    let world = World(clusters: 5)
    let found = world.simulation.run(within: .seconds(5)) { simulation in
      (0..<5).allSatisfy { simulation.peer($0)?.membership.count(.alive) == 4 }
    }
    #expect(found)
  }

  @Test func aChangePushedToOneIsOnAllAndConfirmed() {
    var world = World(clusters: 7)
    _ = world.simulation.run(within: .seconds(5)) { simulation in
      (0..<7).allSatisfy { simulation.peer($0)?.membership.count(.alive) == 6 }
    }
    let change = world.change(["cidr": "10.1.0.0/16"], counter: 1)
    let began = world.simulation.now
    world.simulation.handle(.submitted([change], ticket: 1), at: 3)
    world.simulation.handle(.track(change.id, until: began + .seconds(10)), at: 3)
    #expect(world.simulation.verdicts[1]?.first?.outcome == .accepted)
    let done = world.simulation.run(within: .seconds(2)) {
      $0.confirmations[change.id]?.count == 7
    }
    #expect(done)
    // One hop there, one back, and the disk: nothing waits for a tick.
    #expect(world.simulation.now - began < .milliseconds(60))
  }

  @Test func whatAPeerMissedWhileAwayIsEvenedOut() {
    var world = World(clusters: 4)
    world.simulation.run(until: world.simulation.now + .seconds(5))
    world.simulation.crash(2)
    var last: Value?
    for counter in 1...20 as ClosedRange<UInt64> {
      last = ["cidr": .string("10.\(counter).0.0/16")]
      world.simulation.handle(
        .submitted([world.change(last, counter: counter)], ticket: counter), at: 0)
    }
    world.simulation.run(until: world.simulation.now + .seconds(20))
    #expect(world.simulation.peer(0)?.membership.count(.dead) == 1)
    world.simulation.restart(2)
    let caughtUp = world.simulation.run(within: .seconds(10)) {
      $0.peer(2)?.state.value("slice/blue") == last
    }
    #expect(caughtUp)
    let back = world.simulation.run(within: .seconds(10)) {
      $0.peer(0)?.membership.count(.alive) == 3
    }
    #expect(back)
  }

  @Test func halvesOfAPartitionMergeAndShowTheConflict() {
    var world = World(clusters: 4)
    world.simulation.run(until: world.simulation.now + .seconds(5))
    world.simulation.partition { $0 < 2 ? 0 : 1 }
    // Two changes that did not see one another, by two keys.
    let one = world.change(["cidr": "10.1.0.0/16"], counter: 1)
    let admin = SimulatedCrypto.signer(900)
    let grant = world.set.byRoot(
      grant: Grant(subject: admin.publicKey, capabilities: [.slice("*")]))
    let other = world.set.signed(
      by: admin, under: grant.id,
      writes: [
        Write(
          path: "slice/blue", value: ["cidr": "10.2.0.0/16"], counter: 1,
          context: VersionVector())
      ])
    world.simulation.handle(.submitted([one], ticket: 1), at: 0)
    world.simulation.handle(.submitted([grant, other], ticket: 2), at: 3)
    world.simulation.run(until: world.simulation.now + .seconds(60))
    #expect(world.ttl(at: 0) != world.ttl(at: 3))
    world.simulation.heal()
    let merged = world.simulation.run(within: .seconds(20)) { simulation in
      (0..<4).allSatisfy { simulation.peer($0)?.state.conflicts().count == 1 }
    }
    #expect(merged)
    #expect(world.ttl(at: 0) == world.ttl(at: 3))
  }

  @Test func aRevokedClusterIsDroppedByTheOthers() {
    var world = World(clusters: 3)
    world.simulation.run(until: world.simulation.now + .seconds(5))
    let own = world.set.history.first { changeset in
      changeset.grant?.capabilities == [.own("c2")]
    }
    guard let own else { return }
    let floor = world.set.byRoot(floors: [Floor(grant: own.id, time: .max, keep: [])])
    world.simulation.handle(.submitted([floor], ticket: 1), at: 0)
    let gone = world.simulation.run(within: .seconds(5)) { simulation in
      [0, 2].allSatisfy { simulation.peer($0)?.admitted.count == 2 }
    }
    #expect(gone)
  }

  @Test func lossDelaysButDoesNotPrevent() {
    var options = Simulation.Options()
    options.loss = 0.2
    var world = World(clusters: 10, seed: 4, options: options)
    world.simulation.run(until: world.simulation.now + .seconds(8))
    let change = world.change(["cidr": "10.1.0.0/16"], counter: 1)
    world.simulation.handle(.submitted([change], ticket: 1), at: 0)
    let all = world.simulation.run(within: .seconds(15)) { simulation in
      (0..<10).allSatisfy { simulation.peer($0)?.state.counts(change.id) == true }
    }
    #expect(all)
  }

  @Test func oneSeedGivesOneRun() {
    func datagrams(_ seed: UInt64) -> Int {
      let world = World(clusters: 6, seed: seed)
      world.simulation.run(until: world.simulation.now + .seconds(20))
      return world.simulation.datagrams
    }
    #expect(datagrams(9) == datagrams(9))
  }

  @Test func ownRegistersAreWrittenOnceAndFollowWhatIsWanted() {
    let world = World(clusters: 2)
    world.simulation.run(until: world.simulation.now + .seconds(3))
    let info = LocalRegister(
      scope: .clusterset, path: "cluster/c1/info", value: ["version": "2", "peers": []])
    world.simulation.handle(.publish([info]), at: 0)
    world.simulation.handle(.publish([info]), at: 0)
    let seen = world.simulation.run(within: .seconds(3)) {
      $0.peer(1)?.state.value("cluster/c1/info")?["version"] == "2"
    }
    #expect(seen)
    #expect(world.simulation.peer(0)?.state.register("cluster/c1/info")?.effective.counter == 2)
  }
}
