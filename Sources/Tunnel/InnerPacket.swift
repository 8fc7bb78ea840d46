public import Base

/// The fields of an inner IP packet that routing and the address checks look at.
public struct InnerPacket: Hashable, Sendable {
  public var source: IPAddress
  public var destination: IPAddress
  /// IPv4 protocol or the first IPv6 next header.
  public var transport: UInt8
  /// Differentiated services and ECN.
  public var trafficClass: UInt8
  /// Where the payload behind the fixed header (and IPv4 options) starts.
  public var payloadOffset: Int
  /// False for every fragment but a first one: no ports to read.
  public var hasPorts: Bool
  /// A part of an IPv4 packet. (IPv6 fragments show in `transport`.)
  public var isFragment: Bool

  public var isV4: Bool { source.family == .v4 }

  /// `nil` unless it is one whole IPv4 or IPv6 packet: version, header length and total length are
  /// checked against the bytes that are there. Never traps.
  public init?(_ packet: UnsafeRawBufferPointer) {
    guard packet.count >= 20 else { return nil }
    switch packet[0] >> 4 {
    case 4:
      let headerLength = Int(packet[0] & 0x0f) * 4
      let total = Int(packet.network16(2))
      guard headerLength >= 20, total >= headerLength, total == packet.count else { return nil }
      source = IPAddress(v4: packet.network32(12))
      destination = IPAddress(v4: packet.network32(16))
      transport = packet[9]
      trafficClass = packet[1]
      payloadOffset = headerLength
      // More fragments, or an offset.
      isFragment = packet.network16(6) & 0x3fff != 0
      hasPorts = packet.network16(6) & 0x1fff == 0
    case 6:
      guard packet.count >= 40, Int(packet.network16(4)) + 40 == packet.count else { return nil }
      source = IPAddress(v6: Self.u128(packet, 8))
      destination = IPAddress(v6: Self.u128(packet, 24))
      transport = packet[6]
      trafficClass = packet[0] << 4 | packet[1] >> 4
      payloadOffset = 40
      isFragment = false
      hasPorts = true
    default:
      return nil
    }
  }

  /// A hash of the five-tuple: packets of one flow take one path. FNV-1a over words, then mixed.
  public func flowHash(_ packet: UnsafeRawBufferPointer) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    func add(_ word: UInt64) { hash = (hash ^ word) &* 0x0000_0100_0000_01b3 }
    for value in [source.value, destination.value] {
      add(UInt64(truncatingIfNeeded: value))
      add(UInt64(truncatingIfNeeded: value >> 64))
    }
    add(UInt64(transport))
    // TCP, UDP, SCTP have both ports in their first four bytes.
    if hasPorts, transport == 6 || transport == 17 || transport == 132,
      packet.count >= payloadOffset + 4
    {
      add(UInt64(packet.network32(payloadOffset)))
    }
    return InnerPacket.mix(hash)
  }

  /// The finaliser of SplitMix64.
  static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  private static func u128(_ packet: UnsafeRawBufferPointer, _ offset: Int) -> UInt128 {
    let high = UInt64(bigEndian: packet.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    let low = UInt64(bigEndian: packet.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
    return UInt128(high) << 64 | UInt128(low)
  }
}
