internal import Base
internal import NIOCore

/// Under which addresses others can reach a socket of this host, where nobody said it.
enum ReachableAddresses {
  /// More would only make others try longer.
  static let limit = 8

  /// The address itself, or those of the interfaces where it stands for all of them: global and private
  /// ones before loopback, which is told only where there is nothing else.
  static func of(_ listen: IPEndpoint) -> [IPEndpoint] {
    of(listen, interfaces: interfaceAddresses())
  }

  static func of(_ listen: IPEndpoint, interfaces: [IPAddress]) -> [IPEndpoint] {
    guard listen.address.value == 0 else { return [listen] }
    // A socket on [::] takes IPv4 too.
    let fitting = interfaces.filter {
      !$0.isLinkLocal && (listen.address.family == .v6 || $0.family == .v4)
    }
    let outward = fitting.filter { !$0.isLoopback }
    let chosen = Set(outward.isEmpty ? fitting : outward).sorted()
    return chosen.prefix(limit).map { IPEndpoint($0, port: listen.port) }
  }

  private static func interfaceAddresses() -> [IPAddress] {
    let devices = (try? System.enumerateDevices()) ?? []
    return devices.compactMap { $0.address.flatMap { IPEndpoint($0)?.address } }
  }
}

extension IPAddress {
  /// 127.0.0.0/8 (RFC 1122), ::1 (RFC 4291).
  fileprivate var isLoopback: Bool {
    family == .v4 ? UInt32(truncatingIfNeeded: value) >> 24 == 127 : value == 1
  }

  /// 169.254.0.0/16 (RFC 3927), fe80::/10 (RFC 4291): of no use beyond the link.
  fileprivate var isLinkLocal: Bool {
    family == .v4
      ? UInt32(truncatingIfNeeded: value) >> 16 == 0xa9fe : value >> 118 == 0xfe80 >> 6
  }
}
