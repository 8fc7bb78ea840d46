import Base
import Testing

@testable import Simulator
@testable import Tunnel

@Suite struct HandshakeTests {
  typealias Weather = SimulatedNetwork.Weather

  @Test func connectsInAFewRoundTrips() {
    var network = SimulatedNetwork.pair(seed: 1)
    network.run(for: .milliseconds(60))
    #expect(network.established)
    #expect(network.gateways[0].link(network.now)?.handshakes == 1)
    #expect(network.gateways[1].link(network.now)?.handshakes == 1)
    network.gateways[0].inject(SimulatedNetwork.packet(from: 0, to: 1, number: 7))
    network.gateways[1].inject(SimulatedNetwork.packet(from: 1, to: 0, number: 8))
    network.run(for: .milliseconds(10))
    #expect(network.gateways[1].delivered.map(SimulatedNetwork.number) == [7])
    #expect(network.gateways[0].delivered.map(SimulatedNetwork.number) == [8])
    #expect(network.ledger.repeats == 0)
  }

  /// Loss of a third each way, repeats, and heavy reordering: it still comes through.
  @Test(arguments: 0..<60 as Range<UInt64>) func connectsThroughBadWeather(seed: UInt64) {
    var network = SimulatedNetwork.pair(
      seed: seed,
      weather: Weather(loss: 0.3, duplication: 0.2, spread: .milliseconds(80)))
    var tries = 0
    while !network.established, tries < 60 {
      network.run(for: .seconds(1))
      tries += 1
    }
    #expect(network.established, "seed \(seed)")
    #expect(network.ledger.repeats == 0)
  }

  /// Both begin in the same instant, with every combination of delays: both keep one session, the
  /// same one.
  @Test(arguments: 0..<40 as Range<UInt64>) func crossedHandshakesAgree(seed: UInt64) {
    var timing = TunnelTiming()
    timing.initiativeDelay = .zero
    var network = SimulatedNetwork.pair(
      seed: seed, timing: timing, weather: Weather(spread: .milliseconds(Int64(seed) * 3)))
    network.run(for: .seconds(20))
    #expect(network.established, "seed \(seed)")
    for gateway in network.gateways {
      #expect(gateway.control.sessions.compactMap { $0 }.count == 1, "seed \(seed)")
      #expect(gateway.control.slotsInUse.filter { $0 }.count == 1, "seed \(seed)")
    }
    #expect(network.ledger.repeats == 0)
  }

  @Test func wrongIdentityIsRefusedOnBothSidesWithTheReason() throws {
    var network = SimulatedNetwork.pair(seed: 3, identities: ["id-mallory", nil])
    network.run(for: .seconds(3))
    #expect(!network.established)
    for gateway in network.gateways {
      let status = try #require(gateway.link(network.now))
      #expect(status.failedHandshakes > 0)
      #expect(status.lastError?.contains("the certificate names id-mallory") == true)
      #expect(gateway.control.sessions.compactMap { $0 }.isEmpty)
    }
    #expect(network.gateways[0].link(network.now)?.lastError?.contains("far side refused") == true)
    // Not in a loop: attempts back off.
    #expect(network.gateways[0].link(network.now)?.failedHandshakes ?? 99 < 8)
  }

  @Test func restartOfEitherSideHeals() {
    for index in 0..<2 {
      var network = SimulatedNetwork.pair(seed: 4)
      network.run(for: .seconds(2))
      #expect(network.established)
      network.gateways[index] = network.makeGateway(index, boot: 1)
      let config = SimulatedNetwork.config(from: index, to: 1 - index)
      network.gateways[index].handle(.configure([config]), network.time)
      network.run(for: .milliseconds(500))
      #expect(network.established)
      network.gateways[1 - index].inject(
        SimulatedNetwork.packet(from: 1 - index, to: index, number: 1))
      network.run(for: .milliseconds(10))
      #expect(network.gateways[index].delivered.count == 1)
      #expect(network.ledger.repeats == 0)
    }
  }

  /// A full handshake beside the live session, again and again, under traffic both ways: nothing is
  /// lost, nothing is delivered twice.
  /// The attempt that the other side was in the middle of dies with its old process; it must not
  /// keep the new one waiting for the attempt's deadline.
  @Test(arguments: 0..<60 as Range<UInt64>) func restartAmidAHandshakeHeals(seed: UInt64) {
    var network = SimulatedNetwork.pair(seed: seed)
    let restarted = Int(seed % 2)
    network.run(for: .milliseconds(Int64(seed / 2) * 2))
    network.gateways[restarted] = network.makeGateway(restarted, boot: seed + 1)
    network.gateways[restarted].handle(
      .configure([SimulatedNetwork.config(from: restarted, to: 1 - restarted)]), network.time)
    network.collect()
    network.run(for: .milliseconds(1_500))
    let established = network.established
    #expect(established, "restarted \(restarted)")
  }

  @Test(arguments: [false, true]) func renewalLosesNoPacket(oneWay: Bool) {
    var network = SimulatedNetwork.pair(
      seed: 5, weather: Weather(duplication: 0.1, spread: .milliseconds(3)))
    network.run(for: .seconds(1))
    var sent: UInt32 = 0
    for step in 0..<6_000 {
      if step % 500 == 100 {
        network.gateways[step / 500 % 2].handle(.renew(slice: "blue"), network.time)
      }
      holds(network.gateways[0].inject(SimulatedNetwork.packet(from: 0, to: 1, number: sent)))
      if !oneWay {
        holds(network.gateways[1].inject(SimulatedNetwork.packet(from: 1, to: 0, number: sent)))
      }
      sent += 1
      network.run(for: .milliseconds(2))
    }
    network.run(for: .seconds(1))
    let status = network.gateways[0].link(network.now)
    #expect(status?.handshakes ?? 0 >= 12)
    for gateway in network.gateways {
      let changes = gateway.events.count { if case .reachability = $0 { true } else { false } }
      #expect(changes == 1, "a renewal is no outage")
    }
    #expect(network.gateways[1].delivered.map(SimulatedNetwork.number).sorted() == Array(0..<sent))
    if !oneWay {
      #expect(
        network.gateways[0].delivered.map(SimulatedNetwork.number).sorted() == Array(0..<sent))
    }
    network.run(for: .seconds(12))
    #expect(network.gateways[0].control.sessions.compactMap { $0 }.count == 1)
    #expect(network.ledger.repeats == 0)
  }

  /// Recorded datagrams, altered ones and noise, thrown in all the time: live sessions and new
  /// handshakes go on as if nothing were there.
  @Test(arguments: 0..<6 as Range<UInt64>) func forgedAndReplayedChangeNothing(seed: UInt64) {
    var network = SimulatedNetwork.pair(seed: seed)
    var sent: UInt32 = 0
    for step in 0..<1_500 {
      for _ in 0..<3 where !network.recorded.isEmpty {
        let at = Int.random(in: 0..<network.recorded.count, using: &network.rng)
        var (bytes, from, to) = network.recorded[at]
        switch Int.random(in: 0..<4, using: &network.rng) {
        case 0: break
        case 1:
          let index = Int.random(in: 0..<bytes.count, using: &network.rng)
          bytes[index] ^= UInt8.random(in: 1...255, using: &network.rng)
        case 2: bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &network.rng)))
        default: swap(&from, &to)
        }
        let target = network.gateways.firstIndex { $0.endpoint == to } ?? 0
        network.gateways[target].arrive(bytes, from: from, network.time)
      }
      if step % 300 == 299 { network.gateways[0].handle(.renew(slice: "blue"), network.time) }
      if step % 100 == 50 { network.gateways[1].handle(.rekey, network.time) }
      if network.established {
        network.gateways[0].inject(SimulatedNetwork.packet(from: 0, to: 1, number: sent))
        sent += 1
      }
      network.run(for: .milliseconds(4))
    }
    network.run(for: .seconds(1))
    #expect(network.established)
    #expect(sent > 1_400)
    let numbers = network.gateways[1].delivered.map(SimulatedNetwork.number)
    #expect(numbers.sorted() == Array(0..<sent), "each packet once, seed \(seed)")
    #expect(network.gateways[1].drops(.forged) > 0)
    #expect(network.gateways[1].drops(.replayed) > 0)
    for gateway in network.gateways {
      #expect(gateway.control.links.compactMap { $0?.failedHandshakes } == [0])
    }
    #expect(network.ledger.repeats == 0)
  }

  /// A hello leaves nothing behind, and neither does a flight with a cookie of another address.
  @Test func noStateBeforeTheCookie() throws {
    var network = SimulatedNetwork.pair(seed: 8)
    let hello = try #require(network.recorded.first { $0.to == network.gateways[1].endpoint })
    let stranger = IPEndpoint(IPAddress(v4: 0x0808_0808), port: 1)
    for _ in 0..<100 { network.gateways[1].arrive(hello.bytes, from: stranger, network.time) }
    #expect(network.gateways[1].control.links.allSatisfy { $0?.responding == nil })
    #expect(network.gateways[1].control.slotsInUse.isEmpty)
    #expect(network.gateways[1].outbox.allSatisfy { $0.to == stranger })
    #expect(network.gateways[1].outbox.allSatisfy { $0.bytes.count <= hello.bytes.count })
    network.gateways[1].outbox = []
    network.run(for: .milliseconds(100))
    #expect(network.established)
    let flight = try #require(
      network.recorded.first { $0.to == network.gateways[1].endpoint && $0.bytes.count > 300 })
    var other = SimulatedNetwork(seed: 9)
    other.now = network.now
    other.gateways = [network.gateways[1]]
    other.gateways[0].arrive(flight.bytes, from: stranger, network.time)
    #expect(other.gateways[0].control.links.allSatisfy { $0?.responding == nil })
  }

  /// A member that holds the keys says whatever it likes, within the format and outside of it: the
  /// other side neither traps nor grows, and its link to anyone else would not notice.
  @Test(arguments: 0..<4 as Range<UInt64>) func aMaliciousMemberCannotHarm(seed: UInt64) throws {
    var network = SimulatedNetwork.pair(seed: seed)
    network.run(for: .seconds(1))
    var rng = SeededGenerator(seed: seed)
    let crypto = ToyCrypto.make(seed: seed + 1_000, ledger: NonceLedger())
    let keys = try #require(
      LinkKeys(
        privateKey: SimulatedNetwork.staticKey(0),
        publicKey: ToyCrypto.publicKey(SimulatedNetwork.staticKey(1)), slice: "blue",
        local: SimulatedNetwork.name(0), remote: SimulatedNetwork.name(1), crypto: crypto))
    for _ in 0..<2_000 {
      let salt = ToyCrypto.random(16, &rng)
      var text = HandshakeMessage(echo: ToyCrypto.random(16, &rng), body: Self.body(&rng)).encoded
      if Bool.random(using: &rng) {
        text = ToyCrypto.random(Int.random(in: 0...200, using: &rng), &rng)
      }
      let datagram = HandshakeDatagram.seal(
        text, tag: keys.sendTag, salt: salt, counter: rng.next(),
        key: keys.sendKey(salt: salt, crypto), crypto)
      network.gateways[1].arrive(
        datagram, from: network.gateways[0].endpoint, network.time)
      var message = ToyCrypto.random(Int.random(in: 0...60, using: &rng), &rng)
      if !message.isEmpty { message[0] %= 6 }
      for case let session? in network.gateways[1].control.sessions {
        network.gateways[1].handle(.message(session.id, message), network.time)
      }
      network.run(for: .milliseconds(1))
    }
    let gateway = network.gateways[1]
    #expect(gateway.control.slotsInUse.filter { $0 }.count <= TunnelLimits.sessionsPerLink)
    #expect(gateway.openers.count <= 6 * TunnelLimits.sessionsPerLink)
    network.run(for: .seconds(10))
    #expect(network.established)
    #expect(network.ledger.repeats == 0)
  }

  private static func body(_ rng: inout SeededGenerator) -> HandshakeMessage.Body {
    switch Int.random(in: 0..<4, using: &rng) {
    case 0: .hello
    case 1: .challenge(cookie: ToyCrypto.random(16, &rng))
    case 2: .refusal("because")
    default:
      .flight(
        HandshakeMessage.Flight(
          session: UInt32(truncatingIfNeeded: rng.next()),
          lanes: UInt8(truncatingIfNeeded: rng.next()),
          acknowledged: UInt32(truncatingIfNeeded: rng.next() % 40_000),
          offset: UInt32(truncatingIfNeeded: rng.next() % 40_000),
          bytes: ToyCrypto.random(Int.random(in: 0...1_000, using: &rng), &rng)))
    }
  }

  @Test func removedLinkEndsAtOnceOnBothSides() {
    var network = SimulatedNetwork.pair(seed: 10)
    network.run(for: .seconds(1))
    network.gateways[0].handle(.configure([]), network.time)
    #expect(network.gateways[0].openers.isEmpty && network.gateways[0].sealers.isEmpty)
    network.run(for: .milliseconds(6))
    #expect(network.gateways[1].link(network.now)?.state != .established)
    #expect(
      network.gateways[1].events.contains(
        .reachability(slice: "blue", cluster: "c0", reachable: false)))
    network.run(for: .seconds(5))
    #expect(network.gateways[0].control.slotsInUse.allSatisfy { !$0 })
    holds(network.gateways[0].inject(SimulatedNetwork.packet(from: 0, to: 1, number: 1)) == false)
  }

  @Test func changedTrustEndsTheSessionAtOnce() {
    var network = SimulatedNetwork.pair(seed: 11)
    network.run(for: .seconds(1))
    var config = SimulatedNetwork.config(from: 0, to: 1)
    config.trust = [1]
    network.gateways[0].handle(.configure([config]), network.time)
    #expect(network.gateways[0].openers.isEmpty)
    network.run(for: .seconds(2))
    #expect(network.established)
  }
}
