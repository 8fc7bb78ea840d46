internal import Base

/// What a TUN device gave: one packet, or a super-packet that is cut into segments here, so that
/// the kernel's stack handles 64 KiB at a time.
///
/// A checksum that is still to be made travels as a flag of the authenticated header where the
/// packet is well-formed TCP or UDP (`tunnel.md`, data path); anywhere else it is completed here.
///
/// Unchecked: it points into a buffer of the one thread that reads the device. It is `Sendable` only so
/// that it may be used while that thread holds a lock.
public struct OutboundPacket: @unchecked Sendable {
  public let inner: InnerPacket
  /// Datagrams that it becomes.
  public let count: Int
  /// Of the header of each of them.
  public let flags: UInt8
  /// All of it.
  public let bytes: UnsafeRawBufferPointer
  /// `nil` where it goes as it is.
  private let layout: TransportLayout?
  private let segmentSize: Int

  /// `packet` stays valid and unchanged as long as this value; its checksum may be completed now, and
  /// a TCP handshake fitted to `mtu`. `nil` where header and packet do not fit each other. Never traps.
  public init?(_ header: VirtioHeader, _ packet: UnsafeMutableRawBufferPointer, mtu: Int) {
    bytes = UnsafeRawBufferPointer(packet)
    guard let inner = InnerPacket(bytes) else { return nil }
    self.inner = inner
    SegmentSizeClamp.apply(packet, inner, mtu: mtu, isPartial: header.needsChecksum)
    guard header.needsChecksum || header.segmentation != .none else {
      (count, flags, layout, segmentSize) = (1, 0, nil, 0)
      return
    }
    let layout = TransportLayout(bytes, inner)
    if header.segmentation == .none {
      (count, self.layout, segmentSize) = (1, nil, 0)
      if let layout, Self.agrees(header, layout) {
        flags = PacketHeader.partialChecksum
      } else {
        guard Self.complete(header, packet) else { return nil }
        flags = 0
      }
      return
    }
    guard header.needsChecksum, let layout, Self.agrees(header, layout),
      header.segmentation == layout.segmentation,
      Int(header.segmentSize) >= TunnelLimits.leastSegment
    else { return nil }
    let payload = packet.count - layout.payloadOffset
    segmentSize = Int(header.segmentSize)
    count = max(1, (payload + segmentSize - 1) / segmentSize)
    flags = PacketHeader.partialChecksum
    self.layout = count == 1 ? nil : layout
  }

  /// Whether the kernel means the checksum that the layout has.
  private static func agrees(_ header: VirtioHeader, _ layout: TransportLayout) -> Bool {
    Int(header.checksumStart) == layout.transportOffset
      && Int(header.checksumOffset) == layout.transport.checksumOffset
  }

  /// Any other checksum of 16 bits, made in place; false where it would lie outside of the packet.
  private static func complete(
    _ header: VirtioHeader, _ packet: UnsafeMutableRawBufferPointer
  ) -> Bool {
    let start = Int(header.checksumStart)
    let field = start + Int(header.checksumOffset)
    guard start >= 20, field + 2 <= packet.count else { return false }
    // The field itself holds the sum of the pseudo header, so that it is part of what is summed.
    var sum = InternetChecksum()
    sum.add(UnsafeRawBufferPointer(rebasing: packet[start...]))
    let value = sum.value == 0 ? 0xffff : sum.value
    packet.storeBytes(of: value, toByteOffset: field, as: UInt16.self)
    return true
  }

  /// Bytes of the inner packet of one segment.
  public func size(of index: Int) -> Int {
    guard let layout else { return bytes.count }
    let left = bytes.count - layout.payloadOffset - index * segmentSize
    return layout.payloadOffset + min(left, segmentSize)
  }

  /// Writes the inner packet of one segment; there is room for `size(of: index)` bytes.
  public func write(_ index: Int, to out: UnsafeMutableRawBufferPointer) {
    let size = size(of: index)
    precondition(index < count && out.count >= size, "the sender lays out room for each segment")
    let segment = UnsafeMutableRawBufferPointer(rebasing: out[..<size])
    guard let layout else { return segment.copyMemory(from: bytes) }
    let headers = layout.payloadOffset
    let from = headers + index * segmentSize
    segment.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<headers]))
    UnsafeMutableRawBufferPointer(rebasing: segment[headers...]).copyMemory(
      from: UnsafeRawBufferPointer(rebasing: bytes[from..<from + size - headers]))
    if layout.isV4 {
      // One behind the other, as the kernel numbers them where it cuts.
      segment.setNetwork16(4, bytes.network16(4) &+ UInt16(truncatingIfNeeded: index))
    }
    layout.setLengths(segment, count: size)
    if layout.transport == .tcp { setTCP(segment, layout, index) }
  }

  private func setTCP(
    _ segment: UnsafeMutableRawBufferPointer, _ layout: TransportLayout, _ index: Int
  ) {
    let sequence = layout.transportOffset + 4
    segment.setNetwork32(
      sequence,
      bytes.network32(sequence) &+ UInt32(truncatingIfNeeded: index * segmentSize))
    // What ends the data is said with its last segment, a reduced window (RFC 3168) with its first.
    if index < count - 1 { segment[layout.transportOffset + 13] &= ~(TCPFlags.fin | TCPFlags.psh) }
    if index > 0 { segment[layout.transportOffset + 13] &= ~TCPFlags.cwr }
  }
}

extension TransportLayout {
  /// How the kernel names the cutting of such a packet.
  var segmentation: VirtioHeader.Segmentation {
    switch (transport, isV4) {
    case (.udp, _): .udp
    case (.tcp, true): .tcp4
    case (.tcp, false): .tcp6
    }
  }
}
