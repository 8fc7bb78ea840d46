import Base
import Testing

@testable import Simulator
@testable import Tunnel

/// Segments merged into super-packets: exactly those that the kernel could cut again.
@Suite struct CoalescerTests {
  struct Output: Equatable {
    var header: VirtioHeader
    var packet: [UInt8]
    var packets: Int
    var device: Int
  }

  struct Received {
    var bytes: [UInt8]
    var isPartial = true
    var device = 0
  }

  /// Merges packets that lie behind each other in one buffer, as datagrams do; `nil` for refused.
  private func merge(_ received: [Received], mergesUDP: Bool = true) -> [Output]? {
    let gap = 48
    var buffer: [UInt8] = []
    var starts: [Int] = []
    for packet in received {
      buffer += [UInt8](repeating: 0xee, count: gap)
      starts.append(buffer.count)
      buffer += packet.bytes
    }
    return buffer.withUnsafeMutableBytes { raw in
      var coalescer = Coalescer()
      for (packet, start) in zip(received, starts) {
        let slice = UnsafeMutableRawBufferPointer(
          rebasing: raw[start..<start + packet.bytes.count])
        guard let inner = InnerPacket(UnsafeRawBufferPointer(slice)),
          coalescer.add(
            slice, inner, isPartial: packet.isPartial, device: packet.device,
            mergesUDP: mergesUDP, link: 3)
        else { return nil }
      }
      return (0..<coalescer.count).map { index in
        let (run, pieces) = coalescer.finish(index)
        let bytes = (0..<run.packets).flatMap {
          Array(UnsafeRawBufferPointer(start: pieces[$0].base, count: pieces[$0].count))
        }
        let header = bytes.withUnsafeBytes { VirtioHeader($0) } ?? VirtioHeader()
        return Output(
          header: header, packet: Array(bytes.dropFirst(VirtioHeader.size)), packets: run.packets,
          device: run.device)
      }
    }
  }

  private func merge(_ packets: [TestPacket], partial: Bool = true) -> [Output]? {
    merge(packets.map { Received(bytes: $0.bytes(partial: partial), isPartial: partial) })
  }

  private func packet(_ isV4: Bool = true, _ isTCP: Bool = true, payload: Int = 5_000) -> TestPacket
  {
    var rng = SeededGenerator(seed: 9)
    var packet = TestPacket(isV4: isV4, isTCP: isTCP)
    packet.options = isTCP ? [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8] : []
    packet.payload = ToyCrypto.random(payload, &rng)
    return packet
  }

  /// Cut and merged again, a super-packet is what it was, with its header.
  @Test(arguments: [true, false], [true, false])
  func mergingUndoesCutting(isV4: Bool, isTCP: Bool) throws {
    for partial in [true, false] {
      for flags in [0x10, 0x18, 0x11] as [UInt8] {
        var whole = packet(isV4, isTCP)
        whole.flags = flags
        let outputs = try #require(merge(whole.segments(1_368), partial: partial))
        #expect(
          outputs == [
            Output(
              header: whole.header(segmentSize: 1_368), packet: whole.bytes(partial: true),
              packets: 4, device: 0)
          ])
      }
    }
  }

  @Test func aSinglePacketGoesAsItCame() throws {
    let one = packet(payload: 100)
    let complete = try #require(merge([one], partial: false))
    #expect(
      complete == [Output(header: VirtioHeader(), packet: one.bytes(), packets: 1, device: 0)])
    let partial = try #require(merge([one]))
    var header = one.header(segmentSize: 0)
    header.segmentation = .none
    header.headerLength = 0
    #expect(
      partial == [
        Output(header: header, packet: one.bytes(partial: true), packets: 1, device: 0)
      ])
    // Whatever the far side left in the field, the sum of the pseudo header is ours.
    var forged = one.bytes(partial: true)
    forged[36] ^= 0x55
    #expect(merge([Received(bytes: forged)]) == partial)
  }

  /// One difference each: two runs, in order.
  @Test func whatDiffersIsNotMerged() throws {
    let changes: [(String, (inout TestPacket) -> Void)] = [
      ("TOS", { $0.trafficClass = 0x20 }), ("ECN", { $0.trafficClass = 3 }),
      ("TTL", { $0.hops = 63 }), ("IP-ID", { $0.identification += 5 }),
      ("DF", { $0.dontFragment = false }), ("address", { $0.source = 2 }),
      ("port", { $0.port = 1 }), ("sequence", { $0.sequence += 1 }),
      ("acknowledgement", { $0.acknowledgement = 51 }), ("window", { $0.window = 501 }),
      ("options", { $0.options[11] = 9 }), ("other options", { $0.options = [] }),
      ("RST", { $0.flags = 0x14 }), ("SYN", { $0.flags = 0x12 }), ("URG", { $0.flags = 0x30 }),
      ("ECE", { $0.flags = 0x50 }), ("CWR", { $0.flags = 0x90 }), ("family", { $0.isV4 = false }),
      ("longer", { $0.payload += [1] }), ("empty", { $0.payload = [] }),
    ]
    for isV4 in [true, false] {
      for (name, change) in changes {
        var segments = packet(isV4, payload: 2_736).segments(1_368)
        if !isV4, ["IP-ID", "DF", "family"].contains(name) { continue }
        change(&segments[1])
        let outputs = try #require(merge(segments), "\(name)")
        #expect(outputs.count == 2, "\(name)")
        #expect(outputs.map(\.packets) == [1, 1], "\(name)")
      }
    }
    let segments = packet(payload: 2_736).segments(1_368).map(
      { Received(bytes: $0.bytes(partial: true)) })
    #expect(merge([segments[0], Received(bytes: segments[1].bytes, device: 1)])?.count == 2)
  }

  @Test func identificationStandsStillOrCounts() throws {
    var segments = packet(payload: 4_104).segments(1_368)
    for index in segments.indices { segments[index].identification = 7 }
    #expect(merge(segments)?.count == 1, "DF: numbers may stand still")
    segments[2].identification = 9
    #expect(merge(segments)?.map(\.packets) == [2, 1], "then they may not count")
    for index in segments.indices { segments[index].dontFragment = false }
    #expect(merge(segments)?.map(\.packets) == [1, 1, 1], "without DF they count")
    for index in segments.indices { segments[index].identification = 0xffff &+ UInt16(index) }
    #expect(merge(segments)?.count == 1)
  }

  @Test func aShorterOneOrAPushEndsARun() throws {
    var segments = packet(payload: 4_104).segments(1_368)
    segments[1].flags |= TCPFlags.psh
    #expect(merge(segments)?.map(\.packets) == [2, 1])
    segments = packet(payload: 4_104).segments(1_368)
    segments[1].payload.removeLast()
    segments[2].sequence -= 1
    #expect(merge(segments)?.map(\.packets) == [2, 1])
    let many = packet(payload: 32 * 100).segments(32)
    #expect(merge(many)?.map(\.packets) == [64, 36])
    let large = packet(payload: 8_000 * 9).segments(8_000)
    #expect(merge(large)?.map(\.packets) == [8, 1], "65,535 bytes")
  }

  /// A wrong checksum stays wrong: it is not hidden in a merged packet.
  @Test func wrongChecksumsAreNeverMergedAway() throws {
    for broken in 0..<2 {
      var received = packet(payload: 2_736).segments(1_368).map {
        Received(bytes: $0.bytes(), isPartial: false)
      }
      received[broken].bytes[200] ^= 1
      let outputs = try #require(merge(received))
      #expect(outputs.map(\.packet) == received.map(\.bytes))
      received[broken].bytes[200] ^= 1
      received[broken].bytes[10] ^= 1
      #expect(merge(received)?.map(\.packet) == received.map(\.bytes), "of the IPv4 header")
    }
  }

  @Test func flowsKeepTheirOrder() throws {
    var a = packet(payload: 1_368 * 6).segments(1_368)
    var b = a
    for index in b.indices { b[index].port = 77 }
    // A pure acknowledgement in between: nothing of its flow overtakes it.
    a[3].payload = []
    let mixed = zip(a, b).flatMap { [$0, $1] }
    let outputs = try #require(merge(mixed))
    #expect(outputs.map(\.packets).reduce(0, +) == 12)
    let ofA = outputs.filter { $0.packet[20...21] == a[0].bytes()[20...21] }
    #expect(ofA.map(\.packets) == [3, 1, 2])
    #expect(outputs.count == 4)
  }

  @Test func udpWithoutKernelSupportGoesAlone() throws {
    let datagrams = packet(true, false).segments(1_000).map {
      Received(bytes: $0.bytes(partial: true))
    }
    #expect(merge(datagrams, mergesUDP: false)?.count == 5)
    var unsummed = packet(true, false).segments(1_000).map {
      Received(bytes: $0.bytes(), isPartial: false)
    }
    for index in unsummed.indices { unsummed[index].bytes.replaceSubrange(26..<28, with: [0, 0]) }
    #expect(merge(unsummed)?.count == 5)
  }

  @Test func aChecksumLeftToUsNeedsAWellFormedPacket() {
    let good = packet().segments(1_000)[0].bytes(partial: true)
    #expect(merge([Received(bytes: good)]) != nil)
    for (name, offset, value) in [
      ("a fragment", 6, UInt8(0x20)), ("ICMP", 9, 1), ("TCP header of 16 bytes", 32, 0x40),
      ("TCP header behind the end", 32, 0xf0),
    ] {
      var bytes = Array(good.prefix(60))
      bytes[2] = 0
      bytes[3] = 60
      bytes[offset] = value
      #expect(merge([Received(bytes: bytes)]) == nil, "\(name)")
      #expect(merge([Received(bytes: bytes, isPartial: false)]) != nil, "\(name)")
    }
    var udp = packet(true, false, payload: 100).bytes(partial: true)
    udp[24] = 1
    #expect(merge([Received(bytes: udp)]) == nil, "UDP length")
    var extended = packet(false).bytes(partial: true)
    extended[6] = 0
    #expect(merge([Received(bytes: extended)]) == nil, "IPv6 extension header")
  }

  @Test func randomPacketsNeverTrapAndNothingIsLost() throws {
    var rng = SeededGenerator(seed: 6)
    for _ in 0..<400 {
      var received: [Received] = []
      for _ in 0..<20 {
        let isTCP = Bool.random(using: &rng)
        var whole = packet(Bool.random(using: &rng), isTCP, payload: 600)
        whole.port = UInt16.random(in: 0..<3, using: &rng)
        let partial = Bool.random(using: &rng)
        for segment in whole.segments(200) {
          var bytes = segment.bytes(partial: partial)
          if Int.random(in: 0..<4, using: &rng) == 0 {
            bytes[Int.random(in: 4..<60, using: &rng)] = UInt8.random(in: 0...255, using: &rng)
          }
          received.append(Received(bytes: bytes, isPartial: partial))
        }
      }
      received = received.filter { packet in
        packet.bytes.withUnsafeBytes { raw in
          InnerPacket(raw).map { !packet.isPartial || TransportLayout(raw, $0) != nil } ?? false
        }
      }
      received = Array(received.prefix(Coalescer.capacity))
      let outputs = try #require(merge(received))
      #expect(outputs.map(\.packets).reduce(0, +) == received.count)
      for output in outputs {
        #expect(output.packet.withUnsafeBytes { InnerPacket($0) } != nil)
      }
    }
  }
}
