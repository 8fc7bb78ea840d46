internal import Base
// Owns `sockaddr_in` in the compiler's eyes when it is loaded before Glibc, which depends on what else
// is compiled with this file.
internal import CNIOLinux
internal import Glibc
internal import NIOCore

extension IPEndpoint {
  /// `nil` for other families; IPv4 inside IPv6 (RFC 4291 section 2.5.5.2) comes out as IPv4.
  init?(_ socket: SocketAddress) {
    switch socket {
    case .v4(let v4):
      self.init(
        IPAddress(v4: UInt32(bigEndian: v4.address.sin_addr.s_addr)),
        port: UInt16(bigEndian: v4.address.sin_port))
    case .v6(let v6):
      let value = withUnsafeBytes(of: v6.address.sin6_addr) { bytes in
        bytes.reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
      }
      let port = UInt16(bigEndian: v6.address.sin6_port)
      if value >> 32 == 0xffff {
        self.init(IPAddress(v4: UInt32(truncatingIfNeeded: value)), port: port)
      } else {
        self.init(IPAddress(v6: value), port: port)
      }
    case .unixDomainSocket:
      return nil
    }
  }

  /// - Parameter mapped: for a socket of IPv6 that carries IPv4 as well.
  func socketAddress(mapped: Bool = false) -> SocketAddress {
    if address.family == .v4, !mapped {
      var raw = sockaddr_in()
      raw.sin_family = sa_family_t(AF_INET)
      raw.sin_port = port.bigEndian
      raw.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.value).bigEndian
      return SocketAddress(raw)
    }
    let value = address.family == .v4 ? 0xffff << 32 | address.value : address.value
    var raw = sockaddr_in6()
    raw.sin6_family = sa_family_t(AF_INET6)
    raw.sin6_port = port.bigEndian
    withUnsafeMutableBytes(of: &raw.sin6_addr) { bytes in
      for index in 0..<16 {
        bytes[index] = UInt8(truncatingIfNeeded: value >> UInt128(120 - 8 * index))
      }
    }
    return SocketAddress(raw)
  }
}
