import Base
import Testing

@testable import Membership

/// Members that leave, restart, lie and are far away, on the test network.
@Suite struct LifeTests {
  @Test func leaving() {
    let network = ScenarioTests.settled(20, seed: 1)
    network.input(4, .leave)
    network.run(for: .milliseconds(300))
    network.crash(4)
    network.run(for: .seconds(2))
    #expect(network.allKnow(4, [.left]))
    network.run(for: .seconds(60))
    #expect(network.allKnow(4, [.left]))
    #expect(network.accusations == 0, "nobody suspects who said goodbye")
    network.restart(4, bootEpoch: 2)
    network.run(for: .seconds(5))
    #expect(network.isAccurate)
  }

  @Test func aQuickRestartIsNoDeath() {
    let network = ScenarioTests.settled(20, seed: 2)
    network.crash(4)
    network.run(for: .milliseconds(500))
    network.restart(4, bootEpoch: 2)
    network.run(for: .seconds(20))
    #expect(network.isAccurate)
    #expect(network.falseEvictions().isEmpty)
    #expect(network.nodes[7].member(network.id(4))?.record?.incarnation.bootEpoch == 2)
  }

  /// A disk restored from a backup remembers an older boot epoch than everyone else.
  @Test func aRestoredBackup() {
    let network = ScenarioTests.settled(20, seed: 3)
    network.crash(4)
    network.run(for: .seconds(10))
    network.restart(4, bootEpoch: 9)
    network.run(for: .seconds(5))
    network.crash(4)
    network.run(for: .seconds(10))
    #expect(network.allKnow(4, [.dead]))
    network.restart(4, bootEpoch: 3)
    network.run(for: .seconds(5))
    #expect(network.isAccurate)
    #expect(network.nodes[4].record.incarnation > Incarnation(bootEpoch: 9, counter: 0))
    #expect(network.bootEpochs[4] == 9, "the next start must be above it")
  }

  @Test func addressesChange() {
    let network = ScenarioTests.settled(10, seed: 4)
    network.input(4, .localAddressesChanged(["192.0.2.1:7946"]))
    network.run(for: .seconds(2))
    for i in network.nodes.indices where i != 4 {
      #expect(network.nodes[i].member(network.id(4))?.addresses == ["192.0.2.1:7946"])
    }
  }

  /// One member accuses all the others, all the time, with good signatures.
  @Test func aLiar() {
    let network = ScenarioTests.settled(30, seed: 5)
    for round in 0..<300 {
      let victim = 1 + round % 29
      guard let record = network.nodes[2 + round % 28].member(network.id(victim))?.record
      else { continue }
      let lie = Accusation(
        subject: record.subject, incarnation: record.incarnation, accuser: network.id(0),
        clusterSet: Network.clusterSet, signer: network.signers[0])
      for i in 1..<30 where i != victim {
        network.input(i, .messages(from: network.id(0), [.evidence([.accusation(lie)])]))
      }
      network.run(for: .milliseconds(100))
    }
    #expect(network.falseEvictions().isEmpty)
    network.run(for: .seconds(5))
    #expect(network.isAccurate)
  }

  /// What was said once and is said again, word for word, by somebody else, later.
  @Test func replay() {
    let network = ScenarioTests.settled(20, seed: 6)
    let old = network.nodes[7].record
    guard let word = network.nodes[3].member(network.id(5))?.record else {
      Issue.record("no record")
      return
    }
    let accusation = Accusation(
      subject: word.subject, incarnation: word.incarnation, accuser: network.id(7),
      clusterSet: Network.clusterSet, signer: network.signers[7])
    network.input(3, .messages(from: network.id(7), [.evidence([.accusation(accusation)])]))
    network.input(7, .localAddressesChanged(["192.0.2.1:7946"]))
    network.run(for: .seconds(10))
    network.resetCounters()
    let views = network.nodes.map(\.viewHash)
    for i in network.nodes.indices where i != 2 {
      for evidence in [Membership.Evidence.record(old), .accusation(accusation)] {
        network.input(i, .messages(from: network.id(2), [.evidence([evidence])]))
      }
    }
    network.run(for: .seconds(20))
    #expect(network.nodes.map(\.viewHash) == views)
    #expect(network.transitions.isEmpty)
    #expect(network.rejections[.stale, default: 0] >= 36)
  }

  @Test func coordinatesPredict() throws {
    let network = ScenarioTests.settled(60, seed: 7)
    network.run(for: .seconds(120))
    var errors: [Double] = []
    for i in network.nodes.indices {
      for j in network.nodes.indices where i != j {
        let real = network.roundTrip(i, j)
        let predicted = network.nodes[i].coordinate.distance(to: network.nodes[j].coordinate)
        errors.append(abs(predicted.milliseconds - real.milliseconds) / real.milliseconds)
      }
    }
    errors.sort()
    #expect(errors[errors.count / 2] < 0.15)
    // The nearest by estimate are near indeed.
    let nearest = network.nodes[0].nearest(3)
    let order = network.nodes.indices.dropFirst().sorted {
      network.roundTrip(0, $0) < network.roundTrip(0, $1)
    }
    let best = Set(order.prefix(12).map { network.id($0) })
    #expect(nearest.count == 3)
    #expect(nearest.allSatisfy { best.contains($0) })
    #expect(try #require(network.nodes[0].estimatedRTT(to: nearest[0])) < .milliseconds(60))
  }

  @Test func seedsAreTriedUntilSomebodyHasThem() {
    var configuration = Membership.Configuration()
    configuration.seeds = ["10.0.0.3:7946", "198.51.100.1:7946"]
    let network = Network(nodes: 5, seed: 8, configuration: configuration)
    network.startAll()
    network.run(for: .seconds(10))
    let known = network.seedContacts[0].filter { $0 == "10.0.0.3:7946" }.count
    let unknown = network.seedContacts[0].filter { $0 == "198.51.100.1:7946" }.count
    #expect(known <= 1, "a member has it")
    #expect(unknown >= 1)
  }

  @Test(arguments: [1, 2, 3, 10, 59, 1000])
  func everyMemberIsProbedOnceARound(count: Int) {
    // `count` others, so a ring of one more; each member at the same round.
    var order = ProbeOrder()
    var seen: Set<Int> = []
    for round in 0..<UInt64(count) {
      let distance = order.distance(round: UInt64(count) * 7 + round, count: count)
      #expect((1...count).contains(distance))
      seen.insert(distance)
    }
    #expect(seen.count == count, "all within one cycle")
  }

  @Test func membersAreCheap() {
    #expect(MemoryLayout<MemberTable.Row>.stride <= 48)
  }

  @Test func broadcastsAreBounded() {
    let network = Network(nodes: 2, seed: 9)
    var broadcasts = Broadcasts()
    for _ in 0..<(Broadcasts.limit + 10) {
      broadcasts.add(.record(network.nodes[0].record), transmissions: 3)
    }
    #expect(broadcasts.count == Broadcasts.limit)
    var sent = 0
    while !broadcasts.isEmpty {
      let taken = broadcasts.take(bytes: 900, copies: 1) { _ in true }
      #expect(!taken.isEmpty && taken.count <= Membership.evidenceLimit)
      sent += taken.count
    }
    #expect(sent == 3 * Broadcasts.limit)
  }
}
