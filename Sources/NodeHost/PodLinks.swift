internal import Base
internal import Glibc
public import Nodes

/// Makes, compares and takes away the links of Pods: through netlink alone, since a node's system may
/// have no `ip`.
public enum PodLinks {
  /// What an interrupted attempt left of this attachment is replaced.
  public static func connect(
    _ attachment: Attachment, pod: String, agent: String
  ) throws {
    let pod = try Descriptor(reading: pod)
    let agent = try Descriptor(reading: agent)
    try NetworkNamespace.inside(agent) { () throws(SystemError) in
      try drop(attachment.id)
    }
    try NetworkNamespace.inside(pod) { () throws(SystemError) in
      try makePodEnd(attachment, agent: agent.number)
    }
    try NetworkNamespace.inside(agent) { () throws(SystemError) in
      try makeNodeEnd(attachment)
    }
  }

  private static func makePodEnd(_ attachment: Attachment, agent: Int32) throws(SystemError) {
    let netlink = try NetlinkSocket()
    let name = Attachment.interface
    try netlink.request(
      LinkRequests.pair(
        name: name, hardware: attachment.id.hardwareAddress, peer: attachment.id.device,
        peerHardware: Attachment.hopHardwareAddress, peerNamespace: agent, mtu: attachment.mtu),
      "making \(name)")
    guard let link = try netlink.link(name) else { throw SystemError(name, ENODEV) }
    let hop = Attachment.hop(attachment.address.family)
    // Runtimes start Pods of clusters without IPv6 with IPv6 off.
    if attachment.address.family == .v6 { try NetworkSetting.useIPv6(on: name) }
    try netlink.request(
      LinkRequests.address(attachment.address, index: link.index), "\(name)'s address")
    try netlink.request(LinkRequests.up(link.index), "starting \(name)")
    try netlink.request(
      LinkRequests.neighbour(hop, hardware: Attachment.hopHardwareAddress, index: link.index),
      "\(name)'s neighbour")
    try netlink.request(
      LinkRequests.route(
        attachment.cidr, hop: hop, index: link.index, source: attachment.address),
      "\(name)'s route")
  }

  private static func makeNodeEnd(_ attachment: Attachment) throws(SystemError) {
    let netlink = try NetlinkSocket()
    let name = attachment.id.device
    guard let link = try netlink.link(name) else { throw SystemError(name, ENODEV) }
    try netlink.request(LinkRequests.up(link.index), "starting \(name)")
    try netlink.request(
      LinkRequests.neighbour(
        attachment.address, hardware: attachment.id.hardwareAddress, index: link.index),
      "\(name)'s neighbour")
    guard let host = IPPrefix(attachment.address, length: attachment.address.family.bits) else {
      return
    }
    try netlink.request(
      LinkRequests.route(host, hop: nil, index: link.index, source: nil), "\(name)'s route")
  }

  /// In the agent's namespace.
  private static func drop(_ id: AttachmentID) throws(SystemError) {
    try NetlinkSocket().request(
      LinkRequests.delete(id.device), "taking \(id.device) away", ignoring: [ENODEV])
  }

  public static func disconnect(_ id: AttachmentID, agent: String) throws {
    // Without the agent's namespace there is no link.
    guard Files.exists(agent) else { return }
    do {
      try NetworkNamespace.inside(try Descriptor(reading: agent)) { () throws(SystemError) in
        try drop(id)
      }
    } catch let error as SystemError where error.number == EINVAL {
      // The file is no namespace (any more).
    }
  }

  /// - Returns: what is missing or other than it was made; `nil`: nothing.
  public static func difference(
    _ attachment: Attachment, pod: String, agent: String
  ) throws -> String? {
    let inPod = try NetworkNamespace.inside(try Descriptor(reading: pod)) {
      () throws(SystemError) in try podDifference(attachment)
    }
    if let inPod { return inPod }
    return try NetworkNamespace.inside(try Descriptor(reading: agent)) {
      () throws(SystemError) in
      let device = attachment.id.device
      guard let link = try NetlinkSocket().link(device), link.isUp else {
        return "the node's end \(device) is missing or down"
      }
      guard let host = IPPrefix(attachment.address, length: attachment.address.family.bits),
        try hasRoute(host, hop: nil, link.index)
      else { return "the node has no route to \(attachment.address)" }
      return nil
    }
  }

  private static func podDifference(_ attachment: Attachment) throws(SystemError) -> String? {
    let name = Attachment.interface
    guard let link = try NetlinkSocket().link(name) else { return "\(name) is missing" }
    guard link.isUp else { return "\(name) is down" }
    guard link.hardware == attachment.id.hardwareAddress else { return "\(name) is another's" }
    let family = attachment.address.family
    let addresses = try NetlinkSocket().request(LinkRequests.addresses(family), "addresses")
    guard addresses.contains(.address(attachment.address, index: link.index)) else {
      return "\(name) lacks the address \(attachment.address)"
    }
    guard try hasRoute(attachment.cidr, hop: Attachment.hop(family), link.index) else {
      return "the route to \(attachment.cidr) is missing"
    }
    return nil
  }

  private static func hasRoute(
    _ destination: IPPrefix, hop: IPAddress?, _ index: UInt32
  ) throws(SystemError) -> Bool {
    let routes = try NetlinkSocket().request(
      LinkRequests.routes(destination.network.family), "routes")
    return routes.contains { reply in
      guard case .route(let route) = reply else { return false }
      return route.destination == destination && route.hop == hop && route.index == index
    }
  }
}
