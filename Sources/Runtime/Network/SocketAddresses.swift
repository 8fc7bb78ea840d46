internal import Base
internal import NIOCore

extension IPEndpoint {
  /// `nil` for other families; IPv4 inside IPv6 (RFC 4291 section 2.5.5.2) comes out as IPv4.
  ///
  /// The C structures are read as bytes: which Clang module owns their fields changes with what else
  /// the build imports.
  init?(_ socket: SocketAddress) {
    switch socket {
    case .v4(let v4):
      // sockaddr_in: family (2) | port (2) | address (4)
      self = withUnsafeBytes(of: v4.address) { raw in
        IPEndpoint(IPAddress(v4: UInt32(Self.number(raw[4..<8]))), port: Self.port(raw))
      }
    case .v6(let v6):
      // sockaddr_in6: family (2) | port (2) | flow (4) | address (16)
      self = withUnsafeBytes(of: v6.address) { raw in
        let value = Self.number(raw[8..<24])
        let address =
          value >> 32 == 0xffff
          ? IPAddress(v4: UInt32(truncatingIfNeeded: value)) : IPAddress(v6: value)
        return IPEndpoint(address, port: Self.port(raw))
      }
    case .unixDomainSocket:
      return nil
    }
  }

  private static func number(_ bytes: Slice<UnsafeRawBufferPointer>) -> UInt128 {
    bytes.reduce(0) { $0 << 8 | UInt128($1) }
  }

  private static func port(_ raw: UnsafeRawBufferPointer) -> UInt16 {
    UInt16(truncatingIfNeeded: number(raw[2..<4]))
  }

  /// - Parameter mapped: for a socket of IPv6 that carries IPv4 as well.
  func socketAddress(mapped: Bool = false) throws -> SocketAddress {
    let bytes =
      mapped && address.family == .v4
      ? [UInt8](repeating: 0, count: 10) + [0xff, 0xff] + address.bytes : address.bytes
    return try SocketAddress(packedIPAddress: ByteBuffer(bytes: bytes), port: Int(port))
  }
}
