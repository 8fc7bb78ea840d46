public import Base
internal import CNode
internal import Glibc

/// Asks whether a gateway is there (ICMP echo), from inside the agent's namespace.
public struct EchoSocket: ~Copyable {
  private let file: Descriptor
  private let family: IPAddress.Family
  private let identifier: UInt16

  public init(_ family: IPAddress.Family) throws(SystemError) {
    let number = starling_node_echo_socket(Int32(family.rawValue))
    guard number >= 0 else { throw SystemError("a socket for echo requests", -number) }
    file = Descriptor(number)
    self.family = family
    identifier = UInt16(truncatingIfNeeded: getpid())
  }

  public var number: Int32 { file.number }

  /// A question that cannot be sent counts as unanswered.
  public func ask(_ address: IPAddress) {
    var packet: [UInt8] = [
      family == .v4 ? 8 : 128, 0, 0, 0, UInt8(identifier >> 8), UInt8(identifier & 255), 0, 1,
    ]
    // The kernel fills in the checksum of ICMPv6.
    if family == .v4 {
      let sum = 0x0800 + UInt32(identifier) + 1
      let folded = ~UInt16(truncatingIfNeeded: (sum & 0xffff) + (sum >> 16))
      packet[2] = UInt8(folded >> 8)
      packet[3] = UInt8(folded & 255)
    }
    if family == .v4 {
      var to = sockaddr_in()
      to.sin_family = sa_family_t(AF_INET)
      withUnsafeMutableBytes(of: &to.sin_addr) { $0.copyBytes(from: address.bytes) }
      send(packet, &to)
    } else {
      var to = sockaddr_in6()
      to.sin6_family = sa_family_t(AF_INET6)
      withUnsafeMutableBytes(of: &to.sin6_addr) { $0.copyBytes(from: address.bytes) }
      send(packet, &to)
    }
  }

  private func send<Address>(_ packet: [UInt8], _ to: inout Address) {
    let size = socklen_t(MemoryLayout<Address>.size)
    withUnsafePointer(to: &to) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        _ = sendto(file.number, packet, packet.count, 0, $0, size)
      }
    }
  }

  /// Who answered since the last time.
  public func answers() -> [IPAddress] {
    var out: [IPAddress] = []
    var buffer = [UInt8](repeating: 0, count: 2048)
    while true {
      var from = sockaddr_in6()
      var size = socklen_t(MemoryLayout<sockaddr_in6>.size)
      let count = withUnsafeMutablePointer(to: &from) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          recvfrom(file.number, &buffer, buffer.count, 0, $0, &size)
        }
      }
      guard count > 0 else { return out }
      // Raw IPv4 sockets give the IP header too: 20 bytes and its options.
      let start = family == .v4 ? Int(buffer[0] & 15) * 4 : 0
      guard count >= start + 8, buffer[start] == (family == .v4 ? 0 : 129),
        UInt16(buffer[start + 4]) << 8 | UInt16(buffer[start + 5]) == identifier
      else { continue }
      let bytes =
        family == .v4
        ? Array(buffer[12..<16]) : withUnsafeBytes(of: &from.sin6_addr) { Array($0) }
      if let address = IPAddress(bytes: bytes) { out.append(address) }
    }
  }
}
