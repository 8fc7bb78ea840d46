internal import Base

/// Whether a segment continues another one in every field that merging would otherwise lose
/// (`tunnel.md`: TOS, TTL, DF, options, ECN). Both have the same layout, checked before.
enum HeaderComparison {
  static func sameFlow(
    _ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer, _ layout: TransportLayout
  ) -> Bool {
    let transport = layout.transportOffset
    // Ports.
    guard word32(a, transport) == word32(b, transport) else { return false }
    if layout.isV4 {
      // Version, length, TOS with ECN; flags and offset, TTL, protocol; addresses. No options.
      return word16(a, 0) == word16(b, 0) && word16(a, 6) == word16(b, 6)
        && word16(a, 8) == word16(b, 8) && word64(a, 12) == word64(b, 12)
    }
    // Version, traffic class, flow label; next header, hop limit; addresses.
    return word32(a, 0) == word32(b, 0) && word16(a, 6) == word16(b, 6)
      && word64(a, 8) == word64(b, 8) && word64(a, 16) == word64(b, 16)
      && word64(a, 24) == word64(b, 24) && word64(a, 32) == word64(b, 32)
  }

  /// TCP: the next bytes of the stream, with the same acknowledgement, window, flags and options.
  static func follows(
    _ first: UnsafeRawBufferPointer, _ next: UnsafeRawBufferPointer, _ layout: TransportLayout,
    payloadBefore: Int
  ) -> Bool {
    guard layout.transport == .tcp else { return true }
    let tcp = layout.transportOffset
    let expected = first.network32(tcp + 4) &+ UInt32(truncatingIfNeeded: payloadBefore)
    let ends = UInt16(TCPFlags.psh | TCPFlags.fin)
    guard next.network32(tcp + 4) == expected, word32(first, tcp + 8) == word32(next, tcp + 8),
      (first.network16(tcp + 12) ^ next.network16(tcp + 12)) & ~ends == 0,
      word16(first, tcp + 14) == word16(next, tcp + 14)
    else { return false }
    var offset = tcp + TransportLayout.tcpHeader
    while offset < layout.payloadOffset {
      if word32(first, offset) != word32(next, offset) { return false }
      offset += 4
    }
    return true
  }

  private static func word16(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt16 {
    bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)
  }

  private static func word32(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt32 {
    bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
  }

  private static func word64(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
    bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
  }
}
