import Base
import Testing

@testable import Simulator
@testable import Tunnel

@Suite struct EpochTests {
  typealias Weather = SimulatedNetwork.Weather

  /// Rekeys as fast as they may come, under traffic, with packets overtaking and repeating, and
  /// control packets lost: every packet that the network delivers arrives, once.
  @Test(arguments: 0..<8 as Range<UInt64>) func rekeyLosesNoPacket(seed: UInt64) {
    let oneWay = seed % 2 == 1
    var network = SimulatedNetwork.pair(
      seed: seed, weather: Weather(duplication: 0.1, spread: .milliseconds(20)))
    network.run(for: .seconds(1))
    var sent: UInt32 = 0
    for step in 0..<4_000 {
      if step % 7 == 0 { network.gateways[Int(seed / 2 % 2)].handle(.rekey, network.time) }
      holds(network.gateways[0].inject(SimulatedNetwork.packet(from: 0, to: 1, number: sent)))
      if !oneWay {
        holds(network.gateways[1].inject(SimulatedNetwork.packet(from: 1, to: 0, number: sent)))
      }
      sent += 1
      network.run(for: .milliseconds(1))
    }
    network.run(for: .seconds(1))
    let status = network.gateways[0].link(network.now)
    #expect(status?.rekeys ?? 0 >= 20, "seed \(seed)")
    #expect(network.gateways[1].delivered.map(SimulatedNetwork.number).sorted() == Array(0..<sent))
    if !oneWay {
      #expect(
        network.gateways[0].delivered.map(SimulatedNetwork.number).sorted() == Array(0..<sent))
    }
    #expect(network.gateways.allSatisfy { $0.drops(.unknownEpoch) == 0 })
    #expect(network.ledger.repeats == 0)
  }

  /// With loss, what arrives does so once, and rekeys go on.
  @Test(arguments: 0..<8 as Range<UInt64>) func rekeyThroughLoss(seed: UInt64) {
    var network = SimulatedNetwork.pair(
      seed: seed, weather: Weather(loss: 0.1, duplication: 0.1, spread: .milliseconds(10)))
    network.run(for: .seconds(5))
    #expect(network.established)
    for number in 0..<UInt32(4_000) {
      if number % 50 == 0 { network.gateways[0].handle(.rekey, network.time) }
      network.gateways[0].inject(SimulatedNetwork.packet(from: 0, to: 1, number: number))
      network.run(for: .milliseconds(2))
    }
    network.run(for: .seconds(1))
    #expect(network.established)
    let numbers = network.gateways[1].delivered.map(SimulatedNetwork.number)
    #expect(Set(numbers).count == numbers.count)
    #expect(numbers.count > 3_400)
    #expect(network.gateways[0].link(network.now)?.rekeys ?? 0 > 20)
    #expect(network.gateways.allSatisfy { $0.drops(.unknownEpoch) == 0 })
    #expect(network.ledger.repeats == 0)
  }

  @Test func comesByItselfAndKeepsAtMostThreeEpochs() {
    var network = SimulatedNetwork.pair(seed: 30)
    for _ in 0..<400 {
      network.run(for: .seconds(1))
      for gateway in network.gateways {
        // One data lane and the control lane an epoch.
        #expect(gateway.openers.count <= 3 * 2)
        #expect(gateway.sealers.count == 2)
      }
    }
    for gateway in network.gateways {
      #expect(gateway.link(network.now)?.rekeys == 3)
      #expect(gateway.link(network.now)?.handshakes == 1)
    }
  }

  @Test func fullHandshakeComesWithinTheHour() {
    var timing = TunnelTiming()
    timing.sessionLifetime = .seconds(100)
    var network = SimulatedNetwork.pair(seed: 31, timing: timing)
    network.run(for: .seconds(350))
    #expect(network.gateways[0].link(network.now)?.handshakes ?? 0 >= 3)
    #expect(network.established)
  }

  /// When the far side is gone, data stops at the hard stop, and starts again with the next keys.
  @Test func hardStopDropsRatherThanExceeds() {
    var network = SimulatedNetwork.pair(seed: 32)
    network.run(for: .seconds(1))
    network.silent = [network.gateways[1].endpoint]
    network.run(for: .seconds(170))
    holds(network.gateways[0].inject(SimulatedNetwork.packet(from: 0, to: 1, number: 1)))
    network.run(for: .seconds(15))
    holds(!network.gateways[0].inject(SimulatedNetwork.packet(from: 0, to: 1, number: 2)))
    #expect(network.gateways[0].drops(.keyExpired) == 1)
    network.silent = []
    network.run(for: .seconds(3))
    #expect(network.established)
    holds(network.gateways[0].inject(SimulatedNetwork.packet(from: 0, to: 1, number: 3)))
  }

  @Test func wornKeysAskOnceAndThenStop() throws {
    var table = TransmitTable()
    table.openLink(0)
    let id = SessionID(slot: 3, random: 5)
    table.open(
      SessionOpening(
        id: id, remoteIndex: 9, link: 0, slice: "blue", receiveLanes: 1, sendLanes: 2,
        target: .address(SimulatedNetwork.endpoint(1)), localBlocks: [], remoteBlocks: []))
    holds(table.install(id, epoch: 0) != nil)
    holds(table.install(id, epoch: 0) == nil, "counters never start again under one key")
    var asked = 0
    // 2^30 blocks at once: packets this large do not exist, the bound does.
    let huge = 1 << 34
    var sealed: UInt64 = 0
    while case .seal(let ticket) = table.admitControl(id, count: huge) {
      asked += ticket.wantsRekey ? 1 : 0
      sealed += UInt64(huge / 16 + 1)
    }
    #expect(asked == 1)
    #expect(sealed <= TunnelLimits.hardBlocks && sealed > TunnelLimits.softBlocks)
    holds(table.install(id, epoch: 1) != nil)
    guard case .seal(let ticket) = table.admitControl(id, count: 1) else {
      Issue.record("a new epoch starts fresh")
      return
    }
    #expect(ticket.header.sequence == 0 && ticket.header.epoch == 1)
  }
}
