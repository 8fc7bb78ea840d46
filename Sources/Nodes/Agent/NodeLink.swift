public import Base
public import Kubernetes

/// The link between the node's own network and the agent's: what has to be on its two ends, and how it
/// gets there again when somebody took it away.
public struct NodeLink: Hashable, Sendable {
  /// One end, as it is or should be.
  public struct End: Hashable, Sendable {
    public var isUp: Bool
    public var addresses: Set<IPAddress>
    public var routes: Set<Route>

    public init(isUp: Bool = false, addresses: Set<IPAddress> = [], routes: Set<Route> = []) {
      self.isUp = isUp
      self.addresses = addresses
      self.routes = routes
    }
  }

  public struct Route: Hashable, Comparable, Sendable {
    public var destination: IPPrefix
    public var hop: IPAddress
    /// What the node itself sends from; `nil`: the kernel chooses.
    public var source: IPAddress?

    public init(_ destination: IPPrefix, via hop: IPAddress, source: IPAddress? = nil) {
      self.destination = destination
      self.hop = hop
      self.source = source
    }

    public static func < (a: Self, b: Self) -> Bool { a.destination < b.destination }
  }

  /// The end in the node's own network.
  public var host: End
  /// The end in the agent's.
  public var agent: End

  public init(host: End = End(), agent: End = End()) {
    self.host = host
    self.agent = agent
  }

  /// - Parameters:
  ///   - entries: what the node sends to the agent's network, and from which of its addresses.
  ///   - families: that the node's own network has.
  init(entries: [(IPPrefix, source: IPAddress?)], families: [IPAddress.Family]) {
    host = End(isUp: true, addresses: Set(families.map { Self.hostAddress($0) }))
    agent = End(isUp: true, addresses: Set(families.map { Self.agentAddress($0) }))
    for (destination, source) in entries {
      let hop = Self.agentAddress(destination.network.family)
      host.routes.insert(Route(destination, via: hop, source: source))
    }
    for family in families {
      agent.routes.insert(Route(Self.everywhere(family), via: Self.hostAddress(family)))
    }
  }

  /// Link-local ones, since no other network is behind the link.
  static func hostAddress(_ family: IPAddress.Family) -> IPAddress {
    family == .v4 ? IPAddress(v4: 0xa9fe_5301) : IPAddress(v6: 0xfe80 << 112 | 0x5301)
  }
  static func agentAddress(_ family: IPAddress.Family) -> IPAddress {
    family == .v4 ? IPAddress(v4: 0xa9fe_5302) : IPAddress(v6: 0xfe80 << 112 | 0x5302)
  }

  private static func everywhere(_ family: IPAddress.Family) -> IPPrefix {
    let zero = family == .v4 ? IPAddress(v4: 0) : IPAddress(v6: 0)
    guard let prefix = IPPrefix(zero, length: 0) else { preconditionFailure("0 bits always fit") }
    return prefix
  }

  // MARK: From what is there to what should be

  /// Lines for `ip -batch`, those of the node's own network first. What is there of other people's
  /// addresses stays; routes are ours alone.
  public func commands(from observed: NodeLink, isInside: Bool) -> [String] {
    isInside
      ? Self.commands(from: observed.agent, to: agent, NodePacketRules.agentLink)
      : Self.commands(from: observed.host, to: host, NodePacketRules.hostLink)
  }

  private static func commands(from old: End, to new: End, _ device: String) -> [String] {
    var out: [String] = []
    // Up before addresses: IPv6 takes none on a link that is down.
    if new.isUp, !old.isUp { out.append("link set \(device) up") }
    for address in new.addresses.subtracting(old.addresses).sorted() {
      let rest = address.family == .v4 ? "/30 dev \(device)" : "/64 dev \(device) nodad"
      out.append("addr replace \(address)\(rest)")
    }
    let wanted = Set(new.routes.map(\.destination))
    for route in old.routes.sorted() where !wanted.contains(route.destination) {
      out.append("route del \(route.destination) dev \(device) proto \(LinkRequests.routeProtocol)")
    }
    for route in new.routes.subtracting(old.routes).sorted() {
      let source = route.source.map { " src \($0)" } ?? ""
      out.append(
        "route replace \(route.destination) via \(route.hop) dev \(device) proto "
          + "\(LinkRequests.routeProtocol)\(source)")
    }
    return out
  }

  /// Reads one end.
  ///
  /// - Parameters:
  ///   - device: its name.
  ///   - addresses: of `ip -j addr show`.
  ///   - routes: of `ip -j route show dev <device> proto 83`, of each family.
  public static func end(_ device: String, addresses: JSON, routes: [JSON]) -> End {
    let link = (addresses.array ?? []).first { $0["ifname"]?.string == device }
    var out = End()
    out.isUp = (link?["flags"]?.array ?? []).contains("UP")
    for info in link?["addr_info"]?.array ?? [] {
      if let address = info["local"]?.string.flatMap({ IPAddress($0) }) {
        out.addresses.insert(address)
      }
    }
    for item in routes.flatMap({ $0.array ?? [] }) {
      guard let hop = item["gateway"]?.string.flatMap({ IPAddress($0) }),
        let text = item["dst"]?.string,
        let destination = text == "default" ? everywhere(hop.family) : KernelReader.prefix(text)
      else { continue }
      let source = item["prefsrc"]?.string.flatMap { IPAddress($0) }
      out.routes.insert(Route(destination, via: hop, source: source))
    }
    return out
  }
}
