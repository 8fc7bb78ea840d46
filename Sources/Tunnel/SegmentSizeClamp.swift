internal import Base

/// Lowers the maximum segment size that a TCP handshake offers to what goes through the tunnel
/// (RFC 9293 section 3.7.1; RFC 4459 section 3.2), in both directions, so that nobody has to learn it
/// from a lost packet.
public enum SegmentSizeClamp {
  private static let endOfOptions: UInt8 = 0
  private static let noOperation: UInt8 = 1
  private static let maximumSegmentSize: UInt8 = 2

  /// Changes a SYN in place so that its receiver's packets fit `mtu` bytes; leaves all else alone.
  /// `isPartial`: its checksum is still to be made. Never traps.
  public static func apply(
    _ packet: UnsafeMutableRawBufferPointer, _ inner: InnerPacket, mtu: Int, isPartial: Bool
  ) {
    guard inner.transport == TransportLayout.Transport.tcp.rawValue,
      packet.count >= inner.payloadOffset + TransportLayout.tcpHeader,
      packet[inner.payloadOffset + 13] & TCPFlags.syn != 0,
      let layout = TransportLayout(UnsafeRawBufferPointer(packet), inner)
    else { return }
    let limit = mtu - (layout.isV4 ? 20 : 40) - TransportLayout.tcpHeader
    var offset = layout.transportOffset + TransportLayout.tcpHeader
    while offset < layout.payloadOffset, packet[offset] != endOfOptions {
      if packet[offset] == noOperation {
        offset += 1
        continue
      }
      guard offset + 1 < layout.payloadOffset else { return }
      let length = Int(packet[offset + 1])
      guard length >= 2, offset + length <= layout.payloadOffset else { return }
      if packet[offset] == maximumSegmentSize, length == 4 {
        lower(packet, offset + 2, to: limit, layout, isPartial: isPartial)
        return
      }
      offset += length
    }
  }

  private static func lower(
    _ packet: UnsafeMutableRawBufferPointer, _ offset: Int, to limit: Int,
    _ layout: TransportLayout, isPartial: Bool
  ) {
    let offered = packet.network16(offset)
    guard limit > 0, Int(offered) > limit else { return }
    let lowered = UInt16(truncatingIfNeeded: limit)
    packet.setNetwork16(offset, lowered)
    guard !isPartial else { return }
    // RFC 1624, equation 3: HC' = ~(~HC + ~m + m'). An option may start at an odd offset, which swaps
    // the bytes of its value within the sum.
    let isOdd = (offset - layout.transportOffset) % 2 == 1
    let (old, new) = isOdd ? (offered.byteSwapped, lowered.byteSwapped) : (offered, lowered)
    let field = packet.loadUnaligned(fromByteOffset: layout.checksumField, as: UInt16.self)
    var sum = InternetChecksum(field: ~field)
    sum.add(~old)
    sum.add(new)
    packet.storeBytes(of: sum.value, toByteOffset: layout.checksumField, as: UInt16.self)
  }
}
