import Base
import Testing

@testable import Simulator
@testable import Tunnel

@Suite struct RelayTests {
  private static let apart: Set<[Int]> = [[0, 2]]

  private func exchange(_ network: inout SimulatedNetwork, _ a: Int, _ b: Int, _ number: UInt32) {
    network.gateways[a].inject(SimulatedNetwork.packet(from: a, to: b, number: number))
    network.gateways[b].inject(SimulatedNetwork.packet(from: b, to: a, number: number + 1))
    network.run(for: .milliseconds(50))
    #expect(network.gateways[b].delivered.map(SimulatedNetwork.number).contains(number))
    #expect(network.gateways[a].delivered.map(SimulatedNetwork.number).contains(number + 1))
  }

  /// Spokes of a hub know no address of each other.
  @Test func spokesMeetThroughTheHub() throws {
    var network = SimulatedNetwork.mesh(3, seed: 1, apart: Self.apart)
    network.run(for: .seconds(5))
    for (index, other) in [(0, 2), (2, 0)] {
      let status = try #require(network.gateways[index].link(to: other, network.now))
      #expect(status.state == .established)
      #expect(status.relay?.cluster == "c1")
      #expect(status.endpoint == nil)
    }
    network.recorded = []
    exchange(&network, 0, 2, 10)
    // The relay delivers nothing to its own slice device, and nothing passes it by.
    #expect(network.gateways[1].delivered.isEmpty)
    let ends = [network.gateways[0].endpoint, network.gateways[2].endpoint]
    #expect(!network.recorded.contains { ends.contains($0.from) && ends.contains($0.to) })
    let relayed = network.gateways[1].transmit.links.reduce(0) { $0 + $1.relayedPackets }
    #expect(relayed > 0)
    #expect(network.ledger.repeats == 0)
  }

  /// The relay's own tables never hold a key of the two ends.
  @Test func theRelayCannotReadWhatItHandsOn() {
    var network = SimulatedNetwork.mesh(3, seed: 2, apart: Self.apart)
    network.run(for: .seconds(5))
    let hub = Set(network.gateways[1].openers.values.map(\.key))
    let ends = network.gateways[0].control.sessions.compactMap { $0 }.filter {
      $0.target.relay != nil
    }
    #expect(!ends.isEmpty)
    for session in ends {
      for lane in 0..<CipherSlot.perSession {
        guard let key = network.gateways[0].sealers[session.id.slot * CipherSlot.perSession + lane]
        else { continue }
        #expect(!hub.contains(key.key))
      }
    }
  }

  @Test func aBlockedPathIsBypassedAndTakenAgainWhenItOpens() {
    var timing = TunnelTiming()
    timing.directEvery = .seconds(5)
    var network = SimulatedNetwork.mesh(3, seed: 3, timing: timing)
    let ends = [network.gateways[0].endpoint, network.gateways[2].endpoint]
    network.run(for: .seconds(2))
    #expect(network.gateways[0].link(to: 2, network.now)?.relay == nil)
    network.blocked = [ends]
    network.run(for: .seconds(6))
    #expect(network.gateways[0].link(to: 2, network.now)?.relay?.cluster == "c1")
    exchange(&network, 0, 2, 20)
    network.blocked = []
    network.run(for: .seconds(15))
    #expect(network.gateways[0].link(to: 2, network.now)?.relay == nil)
    #expect(network.gateways[0].link(to: 2, network.now)?.state == .established)
    exchange(&network, 2, 0, 30)
  }

  /// The state gives spokes each other's addresses (another topology): they need not wait for the
  /// minute in which a relayed link is tried directly, and lose nothing on the way.
  @Test(arguments: [[0, 2], [2, 0], [0], [2]])
  func newAddressesAreTriedAtOnce(told: [Int]) {
    var network = SimulatedNetwork.mesh(3, seed: 7, apart: Self.apart)
    network.run(for: .seconds(5))
    #expect(network.gateways[0].link(to: 2, network.now)?.relay?.cluster == "c1")
    for index in told { network.configure(index) }
    var sent: [UInt32] = []
    for step in 0..<200 as Range<UInt32> {
      network.gateways[0].inject(SimulatedNetwork.packet(from: 0, to: 2, number: step))
      sent.append(step)
      network.run(for: .milliseconds(10))
    }
    for (index, other) in [(0, 2), (2, 0)] {
      let status = network.gateways[index].link(to: other, network.now)
      #expect(status?.state == .established && status?.relay == nil)
    }
    #expect(network.gateways[2].delivered.map(SimulatedNetwork.number).sorted() == sent)
    #expect(network.ledger.repeats == 0)
  }

  /// The relay goes away: another one is found; a removed one is not used for a packet more.
  @Test func anotherRelayTakesOver() {
    var network = SimulatedNetwork.mesh(4, seed: 4, apart: Self.apart)
    network.run(for: .seconds(5))
    let first = network.gateways[0].link(to: 2, network.now)?.relay?.cluster
    #expect(first == "c1" || first == "c3")
    let gone = first == "c1" ? 1 : 3
    network.silent = [network.gateways[gone].endpoint]
    network.run(for: .seconds(6))
    let second = network.gateways[0].link(to: 2, network.now)?.relay?.cluster
    #expect(second == (first == "c1" ? "c3" : "c1"))
    exchange(&network, 0, 2, 40)
  }

  @Test func aRemovedRelayEndsWhatWentThroughItAtOnce() {
    var network = SimulatedNetwork.mesh(3, seed: 5, apart: Self.apart)
    network.run(for: .seconds(5))
    var config = SimulatedNetwork.config(from: 0, to: 2)
    config.endpoints = []
    network.gateways[0].handle(.configure([config]), network.time)
    #expect(network.gateways[0].control.sessions.compactMap { $0 }.isEmpty)
    #expect(network.gateways[0].link(to: 2, network.now)?.relay == nil)
  }

  /// Keys and certificates change under way: nothing is lost, in any weather nothing is accepted twice.
  @Test(arguments: 0..<8 as Range<UInt64>) func rotationsOverARelayLoseNothing(seed: UInt64) {
    var network = SimulatedNetwork.mesh(3, seed: seed, apart: Self.apart)
    network.run(for: .seconds(5))
    var sent: [UInt32] = []
    for step in 0..<400 as Range<UInt32> {
      if step % 50 == 10 { network.gateways[Int(step / 50 % 3)].handle(.rekey, network.time) }
      if step % 100 == 60 {
        network.gateways[Int(step / 100 % 3)].handle(.renew(slice: "blue"), network.time)
      }
      network.gateways[0].inject(SimulatedNetwork.packet(from: 0, to: 2, number: step))
      sent.append(step)
      network.run(for: .milliseconds(10))
    }
    network.run(for: .seconds(1))
    #expect(network.gateways[2].delivered.map(SimulatedNetwork.number).sorted() == sent)
    #expect(network.ledger.repeats == 0)
  }

  /// One gateway that sends without end gets its rate and no more; another one keeps its own.
  @Test func relayingIsHeldToItsRate() throws {
    var network = SimulatedNetwork.mesh(4, seed: 8, apart: [[0, 2], [2, 3], [0, 3]])
    network.run(for: .seconds(5))
    let relays = [0, 3].map { network.gateways[$0].link(to: 2, network.now)?.relay?.cluster }
    #expect(relays == ["c1", "c1"])
    let kilobits = 400
    network.gateways[1].receive.setRelayLimit(kilobits: kilobits)
    let began = network.gateways[2].delivered.count
    let seconds = 4
    // Twice what fits, beside a fifth of it.
    let size = SimulatedNetwork.packet(from: 0, to: 2, number: 0).count + RelayAddress.overhead
    let perSecond = 2 * kilobits * 125 / size
    var quiet: [UInt32] = []
    for step in 0..<seconds * 100 {
      for number in 0..<perSecond / 100 {
        let number = UInt32(step * 1_000 + number)
        network.gateways[0].inject(SimulatedNetwork.packet(from: 0, to: 2, number: number))
      }
      if step % 2 == 0 {
        quiet.append(1_000_000 + UInt32(step))
        network.gateways[3].inject(SimulatedNetwork.packet(from: 3, to: 2, number: quiet.last ?? 0))
      }
      network.run(for: .milliseconds(10))
    }
    network.run(for: .milliseconds(100))
    let arrived = network.gateways[2].delivered.dropFirst(began).map(SimulatedNetwork.number)
    let loud = Double(arrived.count { $0 < 1_000_000 }) / Double(perSecond * seconds)
    // Probes of the relayed session come out of it too.
    #expect(loud > 0.4 && loud < 0.6, "\(loud) of it arrived")
    #expect(arrived.filter { $0 >= 1_000_000 }.sorted() == quiet)
    #expect(network.gateways[1].drops(.rateLimited) > 0)
    #expect(network.gateways[0].link(to: 2, network.now)?.state == .established)
    network.gateways[1].receive.setRelayLimit(kilobits: 0)
    let before = network.gateways[1].drops(.rateLimited)
    exchange(&network, 0, 2, 2_000_000)
    #expect(network.gateways[1].drops(.rateLimited) == before)
  }

  /// Everything at once, as the simulator's runs have it.
  @Test(arguments: 0..<5 as Range<UInt64>) func anyTroubleWithRelaysEndsWell(seed: UInt64) {
    var rehearsal = RelayRehearsal(seed: seed)
    #expect(rehearsal.run() == [])
  }

  /// What is said to somebody else, said again, cut or nested is handed on to nobody.
  @Test func aRelayHandsOnOnlyWhatIsAuthenticAndWhole() throws {
    var network = SimulatedNetwork.mesh(3, seed: 6, apart: Self.apart)
    network.run(for: .seconds(5))
    let before = network.gateways[1].transmit.links.map(\.relayedPackets)
    let said = network.recorded.filter { $0.to == network.gateways[1].endpoint }
    for entry in said.suffix(200) {
      network.gateways[1].arrive(entry.bytes, from: entry.from, network.time)
      network.gateways[1].arrive(Array(entry.bytes.dropLast(3)), from: entry.from, network.time)
    }
    #expect(network.gateways[1].transmit.links.map(\.relayedPackets) == before)
    let address = RelayAddress(
      slice: "blue", gateway: SimulatedNetwork.name(2), network.gateways[0].control.crypto)
    var nested = address.wrap([UInt8](repeating: 0x41, count: 80))
    #expect(nested.withUnsafeBytes { RelayAddress.read($0) } == nil)
    nested[RelayAddress.size] = 0x11
    #expect(nested.withUnsafeBytes { RelayAddress.read($0) } == address)
    #expect(nested[..<39].withUnsafeBytes { RelayAddress.read($0) } == nil)
  }
}
