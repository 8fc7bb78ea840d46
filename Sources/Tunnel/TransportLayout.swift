internal import Base

/// Where the headers of a well-formed TCP or UDP packet lie: no fragment, no IPv6 extension headers,
/// every length checked against the bytes that are there. Only for such packets a checksum may be
/// left to the far side, and only such packets are cut or merged.
struct TransportLayout: Hashable, Sendable {
  enum Transport: UInt8, Sendable {
    case tcp = 6
    case udp = 17

    /// Of the checksum field in its header.
    var checksumOffset: Int { self == .tcp ? 16 : 6 }
  }

  let transport: Transport
  let isV4: Bool
  /// Length of the IP header.
  let transportOffset: Int
  /// Length of all headers.
  let payloadOffset: Int

  static let tcpHeader = 20
  static let udpHeader = 8

  /// `packet` is the whole packet that `inner` was read from.
  init?(_ packet: UnsafeRawBufferPointer, _ inner: InnerPacket) {
    guard let transport = Transport(rawValue: inner.transport), !inner.isFragment else {
      return nil
    }
    let room = packet.count - inner.payloadOffset
    let length: Int
    switch transport {
    case .tcp:
      guard room >= Self.tcpHeader else { return nil }
      length = Int(packet[inner.payloadOffset + 12] >> 4) * 4
      guard length >= Self.tcpHeader, length <= room else { return nil }
    case .udp:
      guard room >= Self.udpHeader,
        Int(packet.network16(inner.payloadOffset + 4)) == room
      else { return nil }
      length = Self.udpHeader
    }
    self.transport = transport
    isV4 = inner.isV4
    transportOffset = inner.payloadOffset
    payloadOffset = inner.payloadOffset + length
  }

  var checksumField: Int { transportOffset + transport.checksumOffset }

  /// The sum of the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1) for `length` bytes of
  /// transport header and payload.
  func pseudoHeader(_ packet: UnsafeRawBufferPointer, length: Int) -> InternetChecksum {
    var sum = InternetChecksum()
    let addresses = isV4 ? 12..<20 : 8..<40
    sum.add(UnsafeRawBufferPointer(rebasing: packet[addresses]))
    sum.add(UInt16(transport.rawValue))
    sum.add(UInt16(truncatingIfNeeded: length))
    return sum
  }

  /// Whether a packet's transport checksum is right. UDP without one (zero) has nothing to check.
  func hasValidChecksum(_ packet: UnsafeRawBufferPointer) -> Bool {
    let segment = UnsafeRawBufferPointer(rebasing: packet[transportOffset...])
    var sum = pseudoHeader(packet, length: segment.count)
    sum.add(segment)
    return sum.isValid
  }

  /// Writes the length fields of IP and UDP for `count` bytes in all, and the IPv4 checksum.
  func setLengths(_ packet: UnsafeMutableRawBufferPointer, count: Int) {
    if isV4 {
      packet.setNetwork16(2, UInt16(truncatingIfNeeded: count))
      packet.setNetwork16(10, 0)
      var sum = InternetChecksum()
      sum.add(UnsafeRawBufferPointer(rebasing: packet[..<transportOffset]))
      packet.storeBytes(of: sum.value, toByteOffset: 10, as: UInt16.self)
    } else {
      packet.setNetwork16(4, UInt16(truncatingIfNeeded: count - 40))
    }
    if transport == .udp {
      packet.setNetwork16(
        transportOffset + 4, UInt16(truncatingIfNeeded: count - transportOffset))
    }
  }
}

/// TCP flags as they stand in the thirteenth byte of its header (RFC 9293 section 3.1, RFC 3168).
enum TCPFlags {
  static let fin: UInt8 = 0x01
  static let syn: UInt8 = 0x02
  static let rst: UInt8 = 0x04
  static let psh: UInt8 = 0x08
  static let urg: UInt8 = 0x20
  static let cwr: UInt8 = 0x80
}

/// Numbers in network order. The caller has checked the bounds; they are checked again in debug
/// builds and by the buffer itself.
extension UnsafeRawBufferPointer {
  func network16(_ offset: Int) -> UInt16 {
    UInt16(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  func network32(_ offset: Int) -> UInt32 {
    UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }
}

extension UnsafeMutableRawBufferPointer {
  func network16(_ offset: Int) -> UInt16 { UnsafeRawBufferPointer(self).network16(offset) }
  func network32(_ offset: Int) -> UInt32 { UnsafeRawBufferPointer(self).network32(offset) }

  func setNetwork16(_ offset: Int, _ value: UInt16) {
    storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
  }

  func setNetwork32(_ offset: Int, _ value: UInt32) {
    storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
  }
}
