import Base
import Testing

@testable import Tunnel

/// The maximum segment size of TCP handshakes, lowered in place.
@Suite struct SegmentSizeClampTests {
  private func clamp(_ packet: TestPacket, partial: Bool = false, mtu: Int = 1_420) -> [UInt8] {
    clamp(packet.bytes(partial: partial), partial: partial, mtu: mtu)
  }

  private func clamp(_ bytes: [UInt8], partial: Bool = false, mtu: Int = 1_420) -> [UInt8] {
    var bytes = bytes
    bytes.withUnsafeMutableBytes { raw in
      guard let inner = InnerPacket(UnsafeRawBufferPointer(raw)) else { return }
      SegmentSizeClamp.apply(raw, inner, mtu: mtu, isPartial: partial)
    }
    return bytes
  }

  /// 1,460 offered, with what comes before and behind it.
  private func handshake(_ before: [UInt8], isV4: Bool = true, size: [UInt8] = [5, 180])
    -> TestPacket
  {
    var packet = TestPacket(isV4: isV4)
    packet.flags = TCPFlags.syn
    packet.options = before + [2, 4] + size
    while packet.options.count % 4 != 0 { packet.options.append(1) }
    return packet
  }

  @Test(arguments: [true, false], [[], [1], [1, 1], [4, 2], [3, 3, 7]] as [[UInt8]])
  func offersAreLowered(isV4: Bool, before: [UInt8]) {
    let limit: [UInt8] = isV4 ? [5, 100] : [5, 80]
    for partial in [true, false] {
      let wanted = handshake(before, isV4: isV4, size: limit).bytes(partial: partial)
      #expect(clamp(handshake(before, isV4: isV4), partial: partial) == wanted)
      #expect(clamp(wanted, partial: partial) == wanted, "what fits stays")
    }
  }

  @Test func nothingElseIsTouched() {
    var packet = handshake([])
    packet.flags = 0x10
    #expect(clamp(packet) == packet.bytes(), "no handshake")
    packet.flags = TCPFlags.syn
    for options: [UInt8] in [
      [0, 0, 2, 4, 5, 180, 0, 0], [3, 0, 2, 4, 5, 180, 1, 1], [3, 60, 2, 4, 5, 180, 1, 1],
      [1, 1, 1, 2], [2, 3, 5, 180], [],
    ] {
      packet.options = options
      #expect(clamp(packet) == packet.bytes(), "\(options)")
    }
    let fragment = clamp(handshake([]).bytes().enumerated().map { $0 == 6 ? 0x20 : $1 })
    #expect(Array(fragment[42..<44]) == [5, 180])
  }

  @Test func randomPacketsNeverTrap() {
    var rng = SeededGenerator(seed: 8)
    for _ in 0..<50_000 {
      var bytes = handshake([1, 3, 3, 7]).bytes()
      for _ in 0..<4 {
        bytes[Int.random(in: 20..<bytes.count, using: &rng)] = UInt8.random(
          in: 0...255, using: &rng)
      }
      #expect(clamp(bytes, mtu: Int.random(in: 0...1_500, using: &rng)).count == bytes.count)
    }
  }
}
