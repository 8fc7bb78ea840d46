public import Base

/// The few requests that make and take away a Pod's link.
public enum LinkRequests {
  /// A pair of virtual Ethernet devices: one end in the caller's namespace, the other in the one
  /// behind the open file.
  public static func pair(
    name: String, hardware: [UInt8], peer: String, peerHardware: [UInt8], peerNamespace: Int32,
    mtu: Int
  ) -> [UInt8] {
    var message = NetlinkMessage(
      NetlinkNumbers.newLink,
      flags: NetlinkNumbers.acknowledge | NetlinkNumbers.create | NetlinkNumbers.exclusive)
    interfaceInfo(&message, index: 0, up: false)
    message.attribute(nameAttribute, text: name)
    message.attribute(hardwareAttribute, hardware)
    message.attribute(mtuAttribute, number: UInt32(mtu))
    message.nest(linkInfo) { message in
      message.attribute(1, text: "veth")
      message.nest(2) { message in
        message.nest(1) { message in
          interfaceInfo(&message, index: 0, up: false)
          message.attribute(nameAttribute, text: peer)
          message.attribute(hardwareAttribute, peerHardware)
          message.attribute(mtuAttribute, number: UInt32(mtu))
          message.attribute(28, number: UInt32(bitPattern: peerNamespace))
        }
      }
    }
    return message.bytes
  }

  public static func up(_ index: UInt32) -> [UInt8] {
    var message = NetlinkMessage(NetlinkNumbers.newLink, flags: NetlinkNumbers.acknowledge)
    interfaceInfo(&message, index: index, up: true)
    message.finish()
    return message.bytes
  }

  public static func delete(_ name: String) -> [UInt8] {
    var message = NetlinkMessage(NetlinkNumbers.deleteLink, flags: NetlinkNumbers.acknowledge)
    interfaceInfo(&message, index: 0, up: false)
    message.attribute(nameAttribute, text: name)
    return message.bytes
  }

  /// The address alone, without a route to a network.
  public static func address(_ address: IPAddress, index: UInt32) -> [UInt8] {
    var message = NetlinkMessage(
      NetlinkNumbers.newAddress,
      flags: NetlinkNumbers.acknowledge | NetlinkNumbers.create | NetlinkNumbers.replace)
    message.append(family(address.family))
    message.append(UInt8(address.family.bits))
    // IFA_F_NODAD: the address is nobody else's, and the Pod need not wait a second for it.
    message.append(UInt8(address.family == .v6 ? 0x02 : 0))
    message.append(UInt8(0))
    message.append(index)
    if address.family == .v4 { message.attribute(2, address.bytes) }
    message.attribute(1, address.bytes)
    return message.bytes
  }

  /// - Parameter hop: `nil`: right behind the device. Otherwise taken for reachable there.
  public static func route(
    _ destination: IPPrefix, hop: IPAddress?, index: UInt32, source: IPAddress?
  ) -> [UInt8] {
    var message = NetlinkMessage(
      NetlinkNumbers.newRoute,
      flags: NetlinkNumbers.acknowledge | NetlinkNumbers.create | NetlinkNumbers.replace)
    message.append(family(destination.network.family))
    message.append(UInt8(destination.length))
    message.append(UInt8(0))
    message.append(UInt8(0))
    message.append(mainTable)
    message.append(routeProtocol)
    message.append(UInt8(hop == nil && destination.network.family == .v4 ? 253 : 0))
    message.append(UInt8(1))
    // RTNH_F_ONLINK.
    message.append(UInt32(hop == nil ? 0 : 4))
    message.attribute(1, destination.network.bytes)
    if let hop { message.attribute(5, hop.bytes) }
    if let source { message.attribute(7, source.bytes) }
    message.attribute(4, number: index)
    return message.bytes
  }

  /// A neighbour that is never asked for.
  public static func neighbour(
    _ address: IPAddress, hardware: [UInt8], index: UInt32
  ) -> [UInt8] {
    var message = NetlinkMessage(
      NetlinkNumbers.newNeighbour,
      flags: NetlinkNumbers.acknowledge | NetlinkNumbers.create | NetlinkNumbers.replace)
    message.append(family(address.family))
    message.append(UInt8(0))
    message.append(UInt16(0))
    message.append(index)
    // NUD_PERMANENT.
    message.append(UInt16(0x80))
    message.append(UInt8(0))
    message.append(UInt8(0))
    message.attribute(1, address.bytes)
    message.attribute(2, hardware)
    return message.bytes
  }

  public static func link(_ name: String) -> [UInt8] {
    var message = NetlinkMessage(NetlinkNumbers.getLink, flags: NetlinkNumbers.acknowledge)
    interfaceInfo(&message, index: 0, up: false)
    message.attribute(nameAttribute, text: name)
    return message.bytes
  }

  public static func addresses(_ of: IPAddress.Family) -> [UInt8] {
    var message = NetlinkMessage(NetlinkNumbers.getAddress, flags: NetlinkNumbers.dump)
    message.append(family(of))
    for _ in 0..<3 { message.append(UInt8(0)) }
    message.append(UInt32(0))
    message.finish()
    return message.bytes
  }

  public static func routes(_ of: IPAddress.Family) -> [UInt8] {
    var message = NetlinkMessage(NetlinkNumbers.getRoute, flags: NetlinkNumbers.dump)
    message.append(family(of))
    for _ in 0..<11 { message.append(UInt8(0)) }
    message.finish()
    return message.bytes
  }

  static let nameAttribute: UInt16 = 3
  static let hardwareAttribute: UInt16 = 1
  static let mtuAttribute: UInt16 = 4
  static let linkInfo: UInt16 = 18
  static let mainTable: UInt8 = 254
  /// Marks routes as ours: a number of `/etc/iproute2/rt_protos` that nobody has.
  public static let routeProtocol: UInt8 = 83

  /// AF_INET or AF_INET6.
  static func family(_ family: IPAddress.Family) -> UInt8 { family == .v4 ? 2 : 10 }

  private static func interfaceInfo(_ message: inout NetlinkMessage, index: UInt32, up: Bool) {
    message.append(UInt8(0))
    message.append(UInt8(0))
    message.append(UInt16(0))
    message.append(index)
    // IFF_UP, and that only this flag changes.
    message.append(UInt32(up ? 1 : 0))
    message.append(UInt32(up ? 1 : 0))
    message.finish()
  }
}
