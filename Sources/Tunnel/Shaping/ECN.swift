/// Explicit congestion notification through the tunnel (RFC 6040). Outside stands what inside says;
/// what the path marks outside is taken over inside.
public enum ECN {
  static let notCapable: UInt8 = 0b00
  static let capableOne: UInt8 = 0b01
  static let capableZero: UInt8 = 0b10
  static let experienced: UInt8 = 0b11
  static let mask: UInt8 = 0b11

  /// The field of the outer header for a packet whose inner traffic class octet this is (RFC 6040
  /// section 4.1, normal mode).
  public static func outer(_ octet: UInt8) -> UInt8 { octet & mask }

  /// What becomes of the inner field at the tunnel's end (RFC 6040 section 4.2, figure 4); `nil`: the
  /// packet is dropped, since its sender would not understand the mark.
  static func inner(_ inner: UInt8, outer: UInt8) -> UInt8? {
    switch (inner, outer) {
    case (notCapable, experienced): nil
    case (notCapable, _), (experienced, _): inner
    case (_, experienced): experienced
    case (capableZero, capableOne): capableOne
    default: inner
    }
  }

  /// Takes over what the outer header of a received packet says; false where the packet goes no
  /// further. `packet` is the whole packet that `inner` was read from.
  public static func combine(
    _ packet: UnsafeMutableRawBufferPointer, _ packetFields: inout InnerPacket, outer: UInt8
  ) -> Bool {
    let old = packetFields.trafficClass & mask
    guard let new = inner(old, outer: outer & mask) else { return false }
    if new != old { write(new, packet, &packetFields) }
    return true
  }

  /// Marks a packet as having met a queue; false where its sender would not understand that.
  static func mark(
    _ packet: UnsafeMutableRawBufferPointer, _ fields: inout InnerPacket
  ) -> Bool {
    guard fields.trafficClass & mask != notCapable else { return false }
    write(experienced, packet, &fields)
    return true
  }

  private static func write(
    _ value: UInt8, _ packet: UnsafeMutableRawBufferPointer, _ fields: inout InnerPacket
  ) {
    fields.trafficClass = fields.trafficClass & ~mask | value
    if fields.isV4 {
      let old = packet.network16(0)
      packet[1] = fields.trafficClass
      // RFC 1624, equation 3.
      let field = packet.loadUnaligned(fromByteOffset: 10, as: UInt16.self)
      var sum = InternetChecksum(field: ~field)
      sum.add(~old)
      sum.add(packet.network16(0))
      packet.storeBytes(of: sum.value, toByteOffset: 10, as: UInt16.self)
    } else {
      packet[1] = packet[1] & 0x0f | fields.trafficClass << 4
    }
  }
}
