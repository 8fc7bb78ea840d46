import Tunnel

/// What a device says of a packet, and the packet: cut, its segments merged again, and a handshake's
/// offer lowered.
func offloadTarget() -> FuzzTarget {
  FuzzTarget(name: "offload", corpus: superPackets + plainPackets) { input in
    var input = input
    let segments: [[UInt8]] = input.withUnsafeMutableBytes { raw in
      guard let header = VirtioHeader(UnsafeRawBufferPointer(raw)),
        let packet = OutboundPacket(
          header, UnsafeMutableRawBufferPointer(rebasing: raw[VirtioHeader.size...]), mtu: 1_420)
      else { return [] }
      return (0..<min(packet.count, Coalescer.capacity)).map { index in
        var segment = [UInt8](repeating: 0, count: packet.size(of: index))
        segment.withUnsafeMutableBytes { packet.write(index, to: $0) }
        return segment
      }
    }
    merge(segments + [Array(input.dropFirst(VirtioHeader.size))])
  }
}

/// Each as a received packet, its checksum left to us or not in turn.
private func merge(_ packets: [[UInt8]]) {
  var coalescer = Coalescer()
  var buffer = packets.flatMap { Coalescer.headroom.zeros + $0 }
  buffer.withUnsafeMutableBytes { raw in
    var start = 0
    for (number, packet) in packets.enumerated() where !coalescer.isFull {
      start += Coalescer.headroom
      let bytes = UnsafeMutableRawBufferPointer(rebasing: raw[start..<start + packet.count])
      start += packet.count
      guard let inner = InnerPacket(UnsafeRawBufferPointer(bytes)) else { continue }
      SegmentSizeClamp.apply(bytes, inner, mtu: 1_280, isPartial: false)
      _ = coalescer.add(
        bytes, inner, isPartial: number.isMultiple(of: 2), device: 0, mergesUDP: true, link: 0)
    }
    for index in 0..<coalescer.count {
      let (run, pieces) = coalescer.finish(index)
      let total = (0..<run.packets).reduce(0) { $0 + pieces[$1].count }
      precondition(total <= 65_535 + Coalescer.headroom, "longer than any packet")
    }
  }
}

extension Int {
  fileprivate var zeros: [UInt8] { [UInt8](repeating: 0, count: self) }
}

/// Packets that are not to be cut, as a device gives them.
let plainPackets = innerPackets.map { VirtioHeader.size.zeros + $0 }

/// TCP over IPv4 and UDP over IPv6, of 400 bytes of payload each, to be cut into 100.
let superPackets: [[UInt8]] = [
  [1, 1, 40, 0, 100, 0, 20, 0, 16, 0]
    + [0x45, 0, 1, 184, 0, 7, 0x40, 0, 64, 6, 0, 0, 10, 11, 0, 5, 10, 11, 16, 5]
    + [0, 9, 0, 53, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 1, 0, 0, 0, 0] + 400.zeros,
  [1, 5, 48, 0, 100, 0, 40, 0, 6, 0] + [0x60, 0, 0, 0, 1, 152, 17, 64]
    + [UInt8](repeating: 0xfd, count: 32) + [0, 9, 0, 53, 1, 152, 1, 1] + 400.zeros,
]
