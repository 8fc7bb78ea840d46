import Base

@testable import Tunnel

/// Builds inner packets with right lengths and checksums, the slow and plain way.
struct TestPacket {
  var isV4 = true
  var isTCP = true
  var trafficClass: UInt8 = 0
  var hops: UInt8 = 64
  var identification: UInt16 = 7
  var dontFragment = true
  var source: UInt8 = 1
  var port: UInt16 = 4_000
  var sequence: UInt32 = 1_000
  var acknowledgement: UInt32 = 50
  var flags: UInt8 = 0x10
  var window: UInt16 = 500
  /// TCP options; a multiple of four.
  var options: [UInt8] = []
  var payload: [UInt8] = []

  var networkHeader: Int { isV4 ? 20 : 40 }
  var headers: Int { networkHeader + (isTCP ? 20 + options.count : 8) }

  private var addresses: [UInt8] {
    isV4
      ? [10, 11, 0, source, 10, 11, 16, 9]
      : [0xfd] + [UInt8](repeating: 0, count: 14) + [source, 0xfd]
        + [UInt8](repeating: 0, count: 14) + [9]
  }

  private static func word(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }

  /// RFC 1071, word by word.
  static func sum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt32 = 0
    for index in stride(from: 0, to: bytes.count, by: 2) {
      sum += UInt32(bytes[index]) << 8
      if index + 1 < bytes.count { sum += UInt32(bytes[index + 1]) }
    }
    while sum > 0xffff { sum = (sum & 0xffff) + (sum >> 16) }
    return UInt16(sum)
  }

  /// The whole packet. `partial`: only the sum of the pseudo header stands in its checksum field.
  func bytes(partial: Bool = false) -> [UInt8] {
    let proto: UInt8 = isTCP ? 6 : 17
    var transport: [UInt8] = Self.word(port) + Self.word(80)
    let size = headers - networkHeader + payload.count
    if isTCP {
      for value in [sequence, acknowledgement] {
        transport += Self.word(UInt16(value >> 16)) + Self.word(UInt16(value & 0xffff))
      }
      transport += [UInt8((5 + options.count / 4) << 4), flags] + Self.word(window)
      transport += [0, 0, 0, 0] + options
    } else {
      transport += Self.word(UInt16(truncatingIfNeeded: size)) + [0, 0]
    }
    transport += payload
    let pseudo = addresses + [0, proto] + Self.word(UInt16(truncatingIfNeeded: size))
    let sum = Self.sum(partial ? pseudo : pseudo + transport)
    let field = isTCP ? 16 : 6
    transport.replaceSubrange(field..<field + 2, with: Self.word(partial ? sum : ~sum))
    var header: [UInt8]
    if isV4 {
      header =
        [0x45, trafficClass] + Self.word(UInt16(truncatingIfNeeded: size + 20))
        + Self.word(identification) + [dontFragment ? 0x40 : 0, 0, hops, proto, 0, 0] + addresses
      header.replaceSubrange(10..<12, with: Self.word(~Self.sum(header)))
    } else {
      header =
        [0x60 | trafficClass >> 4, trafficClass << 4, 0, 0]
        + Self.word(UInt16(truncatingIfNeeded: size)) + [proto, hops] + addresses
    }
    return header + transport
  }

  /// What the kernel would say of it as a super-packet.
  func header(segmentSize: Int) -> VirtioHeader {
    var header = VirtioHeader()
    header.needsChecksum = true
    header.segmentation = isTCP ? (isV4 ? .tcp4 : .tcp6) : .udp
    header.segmentSize = UInt16(segmentSize)
    header.headerLength = UInt16(headers)
    header.checksumStart = UInt16(networkHeader)
    header.checksumOffset = isTCP ? 16 : 6
    return header
  }

  /// Its segments as packets of their own.
  func segments(_ size: Int) -> [TestPacket] {
    let starts = Array(stride(from: 0, to: max(1, payload.count), by: size))
    return starts.enumerated().map { index, start in
      var segment = self
      segment.payload = Array(payload[start..<min(start + size, payload.count)])
      segment.identification &+= UInt16(index)
      segment.sequence &+= UInt32(start)
      if index < starts.count - 1 { segment.flags &= ~(TCPFlags.psh | TCPFlags.fin) }
      if index > 0 { segment.flags &= ~TCPFlags.cwr }
      return segment
    }
  }
}
