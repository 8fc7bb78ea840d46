public import Base

/// What a node's (or a gateway's) document comes to: things in the kernel, and packet rules.
public struct NodePlan: Hashable, Sendable {
  public var items: Set<KernelItem>
  /// For `nft -f -`, in the agent's namespace.
  public var rules: String
  /// For the node's own namespace.
  public var hostRules: String
  /// From the node's own network to the agent's and back.
  public var link: NodeLink
  public var mtu: [String: Int]
  /// Slices that cannot be served here, and why.
  public var unserved: [String: String] = [:]

  /// Some slice that is served has addresses of IPv6.
  public var usesIPv6 = false

  /// - Parameters:
  ///   - nodeMTU: of the device that VXLAN packets leave by.
  ///   - own: the node's own addresses.
  ///   - missing: why the node's network lacks IPv6; `nil`: it has it.
  ///   - dead: gateways that do not answer, by slice.
  ///   - attachments: of Pods.
  public init(
    _ document: NodeDocument, nodeMTU: Int, own: Set<IPAddress> = [],
    withoutIPv6 missing: String? = nil, dead: [String: Set<IPAddress>],
    attachments: [Attachment]
  ) {
    items = []
    mtu = [:]
    var document = document
    if let missing {
      for slice in document.slices where slice.family == .v6 { unserved[slice.name] = missing }
      document.slices.removeAll { $0.family == .v6 }
    }
    usesIPv6 = document.slices.contains { $0.family == .v6 }
    for slice in document.slices {
      let mtu = SliceMTU.of(
        tunnel: slice.tunnelMTU, node: nodeMTU, underlay: document.underlay.family)
      self.mtu[slice.name] = mtu
      items.insert(
        .device(slice.device, network: slice.network, local: document.underlay, mtu: mtu))
      if document.role == .node {
        items.insert(.address(slice.nodeAddress, device: slice.device))
        if let route = Self.gateways(slice, dead[slice.name] ?? []) { items.insert(route) }
      }
      for neighbour in document.role == .node ? slice.gateways + slice.nodes : slice.nodes {
        let hardware = KernelPlan.hardware(of: neighbour.underlay)
        items.insert(.neighbour(neighbour.address, hardware: hardware, device: slice.device))
        items.insert(
          .forwarding(hardware: hardware, to: neighbour.underlay, device: slice.device))
        // Straight there: a gateway that is asked over another one would seem dead.
        if let host = IPPrefix(neighbour.address, length: neighbour.address.family.bits) {
          items.insert(.route(host, hops: [], device: slice.device))
        }
      }
      for node in slice.nodes {
        for prefix in node.behind {
          items.insert(.route(prefix, hops: [node.address], device: slice.device))
        }
      }
    }
    rules = NodePacketRules.script(document, mtu: mtu, attachments: attachments)
    hostRules = NodePacketRules.hostScript
    link =
      document.role == .gateway
      ? NodeLink()
      : NodeLink(
        entries: document.slices.map { ($0.cidr, source: Self.source($0, document.underlay, own)) },
        families: usesIPv6 ? [.v4, .v6] : [.v4])
  }

  /// What Pods in the node's own network send from. It has to be an address that may enter the slice:
  /// the kernel would take one of a bridge for Pods just as well.
  private static func source(
    _ slice: NodeDocument.Slice, _ underlay: IPAddress, _ own: Set<IPAddress>
  ) -> IPAddress? {
    underlay.family == slice.family ? underlay : slice.sources.sorted().first { own.contains($0) }
  }

  /// The way to the other clusters: over all gateways that answer; over all of them while none does,
  /// since a probe may be wrong and an absent route surely is.
  private static func gateways(
    _ slice: NodeDocument.Slice, _ dead: Set<IPAddress>
  ) -> KernelItem? {
    let all = slice.gateways.map(\.address).sorted()
    let live = all.filter { !dead.contains($0) }
    guard !all.isEmpty else { return nil }
    return .route(slice.cidr, hops: live.isEmpty ? all : live, device: slice.device)
  }
}
