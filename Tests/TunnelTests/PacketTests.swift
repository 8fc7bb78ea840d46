import Base
import Testing

@testable import Simulator
@testable import Tunnel

@Suite struct PacketTests {
  @Test func headerLayout() throws {
    let header = PacketHeader(
      kind: .data, flags: 0x11, epoch: 0x0203, receiver: 0x0405_0607,
      counter: 0x0809_0a0b_0c0d_0e0f)
    var bytes = [UInt8](repeating: 0, count: 32)
    bytes.withUnsafeMutableBytes { header.write(to: $0) }
    #expect(
      Array(bytes.prefix(16)) == [0x11, 0x11, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
    #expect(bytes.withUnsafeBytes { PacketHeader($0) } == header)
    #expect(header.lane == 8 && header.sequence == 0x09_0a0b_0c0d_0e0f)
    for (index, bad) in [(0, UInt8(0x12)), (0, 0x21), (0, 0x51), (1, 0x02), (1, 0x80)] {
      var changed = bytes
      changed[index] = bad
      #expect(changed.withUnsafeBytes { PacketHeader($0) } == nil)
    }
    #expect(bytes.prefix(31).withUnsafeBytes { PacketHeader($0) } == nil)
  }

  @Test func nonceIsTheIVWithTheCounterInItsLowBytes() throws {
    let iv = try #require(PacketIV([1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0xff]))
    #expect(iv.nonce(0x0100_0000_0000_000f).bytes == [1, 2, 3, 4, 1, 0, 0, 0, 0, 0, 0, 0xf0])
  }

  /// Whatever the bytes, parsers answer and never trap; what they accept is consistent.
  @Test func randomBytesNeverTrap() {
    var rng = SeededGenerator(seed: 1)
    let good = SimulatedNetwork.packet(from: 0, to: 1, number: 1)
    for round in 0..<200_000 {
      var bytes: [UInt8]
      if round % 2 == 0 {
        bytes = ToyCrypto.random(Int.random(in: 0..<80, using: &rng), &rng)
        if let first = bytes.first, round % 4 == 0 { bytes[0] = first % 2 == 0 ? 0x45 : 0x60 }
      } else {
        bytes = good + ToyCrypto.random(Int.random(in: 0..<4, using: &rng), &rng)
        bytes[Int.random(in: 0..<bytes.count, using: &rng)] = UInt8.random(in: 0...255, using: &rng)
      }
      bytes.withUnsafeBytes { raw in
        if let inner = InnerPacket(raw) {
          #expect(inner.payloadOffset <= raw.count)
          _ = inner.flowHash(raw)
        }
        _ = PacketHeader(raw)
        _ = HandshakeDatagram.tag(of: raw)
      }
      _ = try? HandshakeMessage(decoding: bytes)
      _ = try? SessionMessage(decoding: bytes)
      _ = try? HandshakeDatagram(bytes)
    }
  }

  @Test func innerPacketsAreCheckedBeforeUse() throws {
    let good = SimulatedNetwork.packet(from: 0, to: 1, number: 1)
    func parse(_ change: (inout [UInt8]) -> Void) -> InnerPacket? {
      var bytes = good
      change(&bytes)
      return bytes.withUnsafeBytes { InnerPacket($0) }
    }
    let inner = try #require(parse { _ in })
    #expect(inner.source == SimulatedNetwork.block(0).address(at: 5))
    #expect(inner.destination == SimulatedNetwork.block(1).address(at: 9))
    #expect(parse { $0[0] = 0x44 } == nil, "header length below 20")
    #expect(parse { $0[0] = 0x48 } == nil, "header length above the packet")
    #expect(parse { $0[3] = 29 } == nil, "total length above the bytes")
    #expect(parse { $0[3] = 27 } == nil, "bytes behind the packet")
    #expect(parse { $0[0] = 0x55 } == nil, "version 5")
    #expect(parse { $0[0] = 0x65 } == nil, "IPv6 needs 40 bytes")
  }

  @Test func messagesRoundTrip() throws {
    let share = [UInt8](repeating: 5, count: 32)
    let messages: [SessionMessage] = [
      .nothing, .probe(number: 1), .answer(number: .max), .propose(epoch: 3, share: share),
      .accept(epoch: 4, share: share), .ask(epoch: 5), .close("bye"),
    ]
    for message in messages {
      #expect(try SessionMessage(decoding: message.encoded) == message)
      for cut in 0..<message.encoded.count {
        #expect(throws: WireError.self) {
          try SessionMessage(decoding: Array(message.encoded.prefix(cut)))
        }
      }
    }
    let echo = [UInt8](repeating: 9, count: 16)
    let flight = HandshakeMessage.Flight(
      session: 1, lanes: 2, acknowledged: 3, offset: 4, bytes: [5, 6])
    let handshakes: [HandshakeMessage.Body] = [
      .hello, .challenge(cookie: echo), .forgotten(cookie: echo), .flight(flight), .refusal("no"),
    ]
    for body in handshakes {
      let message = HandshakeMessage(echo: echo, body: body)
      #expect(try HandshakeMessage(decoding: message.encoded) == message)
      #expect(throws: WireError.self) {
        try HandshakeMessage(decoding: message.encoded.dropLast())
      }
    }
  }

  @Test func spoofedInnerAddressesAreDropped() {
    var network = SimulatedNetwork.pair(seed: 1)
    network.run(for: .seconds(1))
    // A member that sends with another member's address, and one that aims at a third cluster: our
    // own sender would not route them, so they go in behind its back.
    let spoofed = SimulatedNetwork.packet(from: 2, to: 1, number: 1)
    holds(network.gateways[0].inject(spoofed))
    network.run(for: .milliseconds(10))
    #expect(network.gateways[1].delivered.isEmpty)
    #expect(network.gateways[1].drops(.badSource) == 1)
    holds(!network.gateways[0].inject(SimulatedNetwork.packet(from: 0, to: 3, number: 1)))
    #expect(network.gateways[0].drops(.noRoute) == 1)
    var config = SimulatedNetwork.config(from: 1, to: 0)
    config.localBlocks = [SimulatedNetwork.block(5)]
    network.gateways[1].handle(.configure([config]), network.time)
    network.gateways[0].inject(SimulatedNetwork.packet(from: 0, to: 1, number: 1))
    network.run(for: .milliseconds(10))
    #expect(network.gateways[1].drops(.badDestination) == 1)
  }

  @Test func limiterHoldsAPrefixBack() {
    var limiter = SourceLimiter(key: 7)
    let now = Instant(nanoseconds: 5)
    let admitted = (0..<1_000).count { offset in
      limiter.admit(IPAddress(v4: 0x0a00_0000 | UInt32(offset & 0xff)), now: now)
    }
    #expect(admitted == Int(SourceLimiter.burst))
    holds(limiter.admit(IPAddress(v4: 0x0b00_0000), now: now))
    holds(limiter.admit(IPAddress(v4: 0x0a00_0000), now: now + .milliseconds(5)))
  }
}
