internal import Base
internal import Slices

enum SliceDevice {
  static func name(of slice: String) -> String { GatewayDevice.deviceName(of: slice) }
}

/// What fits into one packet.
public enum SliceMTU {
  /// Outer Ethernet, IP, UDP and VXLAN headers: 50 bytes over IPv4, 70 over IPv6 (RFC 7348).
  static func overhead(_ underlay: IPAddress.Family) -> Int { underlay == .v4 ? 50 : 70 }

  /// - Parameters:
  ///   - tunnel: what a tunnel takes.
  ///   - node: what the node's own device takes.
  static func of(tunnel: Int, node: Int, underlay: IPAddress.Family) -> Int {
    max(1280, min(tunnel, node - overhead(underlay)))
  }
}
