import Base
import Testing

@testable import Simulator
@testable import Tunnel

/// Checksums, and super-packets cut into segments.
@Suite struct SegmentationTests {
  @Test func checksumIsThatOfThePlainSum() {
    var rng = SeededGenerator(seed: 3)
    for count in Array(0..<70) + [1_419, 1_420, 65_535] {
      let bytes = ToyCrypto.random(count, &rng)
      var sum = InternetChecksum()
      bytes.withUnsafeBytes { sum.add($0) }
      #expect(sum.value.bigEndian == ~TestPacket.sum(bytes), "\(count) bytes")
    }
    // RFC 1071 section 3.
    var example = InternetChecksum()
    let words: [UInt8] = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]
    words.withUnsafeBytes { example.add($0) }
    #expect(example.folded.bigEndian == 0xddf2)
  }

  @Test func virtioHeaderRoundTrips() throws {
    let header = TestPacket().header(segmentSize: 1_368)
    var bytes = [UInt8](repeating: 0xff, count: VirtioHeader.size)
    bytes.withUnsafeMutableBytes { raw in
      if let base = raw.baseAddress { header.write(to: base) }
    }
    #expect(bytes.withUnsafeBytes { VirtioHeader($0) } == header)
    bytes[1] |= 0x80
    #expect(bytes.withUnsafeBytes { VirtioHeader($0) } == header, "CWR is read from TCP")
    bytes[1] = 3
    #expect(bytes.withUnsafeBytes { VirtioHeader($0) } == nil, "UDP fragments")
    #expect(bytes.dropLast().withUnsafeBytes { VirtioHeader($0) } == nil)
  }

  /// What leaves, with checksums completed as the far side's kernel would.
  private func cut(_ header: VirtioHeader, _ packet: [UInt8]) -> [[UInt8]]? {
    var packet = packet
    return packet.withUnsafeMutableBytes { raw in
      guard let out = OutboundPacket(header, raw, mtu: 1_420) else { return nil }
      return (0..<out.count).map { index in
        var segment = [UInt8](repeating: 0, count: out.size(of: index))
        segment.withUnsafeMutableBytes { out.write(index, to: $0) }
        return segment
      }
    }
  }

  /// Without its checksum, which is left to the far side.
  private func unsummed(_ packet: TestPacket) -> [UInt8] {
    var bytes = packet.bytes()
    let field = packet.networkHeader + (packet.isTCP ? 16 : 6)
    bytes[field] = 0
    bytes[field + 1] = 0
    return bytes
  }

  @Test(arguments: [true, false], [true, false])
  func superPacketsAreCutAsTheKernelCutsThem(isV4: Bool, isTCP: Bool) throws {
    var rng = SeededGenerator(seed: 4)
    for (count, size) in [(5_000, 1_368), (1_368, 1_368), (1_369, 1_368), (64_000, 100), (33, 32)] {
      var packet = TestPacket(isV4: isV4, isTCP: isTCP)
      packet.payload = ToyCrypto.random(count, &rng)
      packet.options = isTCP ? [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8] : []
      packet.flags = TCPFlags.psh | TCPFlags.fin | TCPFlags.cwr | 0x50
      packet.identification = 0xffff
      packet.sequence = 0xffff_ff00
      let segments = try #require(
        cut(packet.header(segmentSize: size), packet.bytes(partial: true)))
      let expected = packet.segments(size)
      try #require(segments.count == expected.count)
      for (segment, expected) in zip(segments, expected) {
        var segment = segment
        let field = packet.networkHeader + (isTCP ? 16 : 6)
        segment[field] = 0
        segment[field + 1] = 0
        #expect(segment == unsummed(expected))
      }
    }
  }

  @Test func checksumsThatMayNotBeLeftAreCompleted() throws {
    var packet = TestPacket(isTCP: false)
    packet.payload = [1, 2, 3]
    var header = packet.header(segmentSize: 0)
    header.segmentation = .none
    var bytes = packet.bytes(partial: true)
    // Well-formed: left to the far side.
    bytes.withUnsafeMutableBytes { raw in
      #expect(OutboundPacket(header, raw, mtu: 1_420)?.flags == PacketHeader.partialChecksum)
    }
    // A fragment with the same checksum: made here.
    bytes[6] |= 0x20
    bytes.withUnsafeMutableBytes { raw in
      #expect(OutboundPacket(header, raw, mtu: 1_420)?.flags == 0)
    }
    let summed = packet.bytes()
    #expect(Array(bytes[26..<28]) == Array(summed[26..<28]))
  }

  @Test func hostileSuperPacketsAreRefused() {
    var packet = TestPacket()
    packet.payload = [UInt8](repeating: 1, count: 4_000)
    let good = packet.header(segmentSize: 1_000)
    let bytes = packet.bytes(partial: true)
    #expect(cut(good, bytes)?.count == 4)
    func refused(_ change: (inout VirtioHeader, inout [UInt8]) -> Void) -> Bool {
      var (header, bytes) = (good, bytes)
      change(&header, &bytes)
      return cut(header, bytes) == nil
    }
    holds(refused { header, _ in header.segmentSize = 0 })
    holds(refused { header, _ in header.segmentSize = UInt16(TunnelLimits.leastSegment - 1) })
    holds(refused { header, _ in header.segmentation = .tcp6 })
    holds(refused { header, _ in header.segmentation = .udp })
    holds(refused { header, _ in header.needsChecksum = false })
    holds(refused { header, _ in header.checksumStart = 24 })
    holds(refused { header, _ in header.checksumOffset = 6 })
    holds(refused { _, bytes in bytes[32] = 0x40 }, "TCP header below 20 bytes")
    holds(refused { _, bytes in bytes[6] |= 0x20 }, "a fragment")
    holds(refused { _, bytes in bytes[9] = 1 }, "ICMP")
    holds(refused { _, bytes in bytes[2] = 0 }, "a length that is not the packet's")
    holds(
      refused { header, _ in
        header.segmentation = .none
        header.checksumStart = 4_039
        header.checksumOffset = 0
      }, "a checksum behind the end")
  }

  @Test func randomSuperPacketsNeverTrap() {
    var rng = SeededGenerator(seed: 5)
    var packet = TestPacket()
    packet.payload = ToyCrypto.random(3_000, &rng)
    for round in 0..<50_000 {
      var bytes = packet.bytes(partial: true)
      var header = ToyCrypto.random(VirtioHeader.size, &rng)
      if round % 2 == 0 {
        packet.header(segmentSize: Int.random(in: 1...3_000, using: &rng)).write(to: &header)
      }
      for _ in 0..<Int.random(in: 0...4, using: &rng) {
        bytes[Int.random(in: 0..<60, using: &rng)] = UInt8.random(in: 0...255, using: &rng)
      }
      bytes.removeLast(Int.random(in: 0...3, using: &rng) * 500)
      guard let virtio = header.withUnsafeBytes({ VirtioHeader($0) }) else { continue }
      for segment in cut(virtio, bytes) ?? [] {
        #expect(segment.withUnsafeBytes { InnerPacket($0) } != nil)
      }
    }
  }
}

extension VirtioHeader {
  func write(to bytes: inout [UInt8]) {
    bytes.withUnsafeMutableBytes { raw in
      if let base = raw.baseAddress, raw.count >= Self.size { write(to: base) }
    }
  }
}
