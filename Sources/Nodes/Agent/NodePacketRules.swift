internal import Base

/// The nftables rules of the agent's own namespace and of a gateway's: nothing passes but what a rule
/// lets pass. One script replaces all of them at once.
public enum NodePacketRules {
  static let table = "inet starling"
  /// The agent's end and the node's end of the link between their namespaces.
  public static let agentLink = "node0"
  public static let hostLink = "starling0"

  /// Keeps masquerading of the cluster's own plugin off: the first binding of a connection stands,
  /// and an address bound to itself stays as it is.
  public static let hostScript = """
    table inet starling-node
    delete table inet starling-node
    table inet starling-node {
      chain postrouting {
        type nat hook postrouting priority srcnat - 1; policy accept;
        oifname "\(hostLink)" meta nfproto ipv4 snat ip to ip saddr
        oifname "\(hostLink)" meta nfproto ipv6 snat ip6 to ip6 saddr
        iifname "\(hostLink)" meta nfproto ipv4 snat ip to ip saddr
        iifname "\(hostLink)" meta nfproto ipv6 snat ip6 to ip6 saddr
      }
    }

    """
  public static let hostRemoval = "table inet starling-node\ndelete table inet starling-node\n"

  static func script(
    _ document: NodeDocument, mtu: [String: Int], attachments: [Attachment]
  ) -> String {
    var sets: [String] = []
    var prerouting: [String] = []
    var postrouting: [String] = []
    var forward: [String] = []
    var clamp: [String] = []
    for slice in document.slices.sorted(by: { $0.name < $1.name }) {
      clamp += clamping(slice, mtu[slice.name] ?? slice.tunnelMTU)
      switch document.role {
      case .gateway: forward += gateway(slice)
      case .node:
        sets += self.sets(slice, attachments.filter { $0.slice == slice.name })
        prerouting.append(translate(slice))
        postrouting += source(slice)
        forward += slice.overlay == .service ? service(slice) : pod(slice)
      }
    }
    let chains = [
      chain("prerouting", "nat hook prerouting priority dstnat; policy accept", prerouting),
      chain("postrouting", "nat hook postrouting priority srcnat; policy accept", postrouting),
      chain("clamp", "filter hook forward priority mangle; policy accept", clamp),
      chain("forward", "filter hook forward priority filter; policy drop", forward),
    ]
    let input =
      document.role == .gateway
      ? []
      : [
        chain(
          "input", "filter hook input priority filter; policy drop",
          [
            "iifname \"lo\" accept", "ct state established,related accept",
            "meta l4proto { icmp, ipv6-icmp } accept",
          ])
      ]
    let body = (sets + chains + input).joined()
    return "table \(table)\ndelete table \(table)\ntable \(table) {\n\(body)}\n"
  }

  private static func family(_ slice: NodeDocument.Slice) -> String {
    slice.family == .v4 ? "ip" : "ip6"
  }

  private static func icmp(_ slice: NodeDocument.Slice) -> String {
    slice.family == .v4 ? "icmp" : "ipv6-icmp"
  }

  private static func sets(
    _ slice: NodeDocument.Slice, _ attachments: [Attachment]
  ) -> [String] {
    let type = slice.family == .v4 ? "ipv4_addr" : "ipv6_addr"
    let endpoints = targets(slice, attachments)
    return [
      set("set src-\(slice.name)", type, slice.sources.sorted().map { "\($0)" }),
      set(
        "map dst-\(slice.name)", "\(type) : \(type)",
        endpoints.map { "\($0.address) : \($0.target)" }.sorted()),
      set(
        "set open-\(slice.name)", "\(type) . inet_proto . inet_service",
        Set(
          endpoints.flatMap { endpoint in
            endpoint.ports.map { "\(endpoint.target) . \($0)" }
          }
        ).sorted()),
      set(
        "set pods-\(slice.name)", "ifname . \(type)",
        attachments.map { "\"\($0.id.device)\" . \($0.address)" }.sorted()),
    ]
  }

  /// A Pod that has a link of its own is met at that link's address: its answers leave by it.
  private static func targets(
    _ slice: NodeDocument.Slice, _ attachments: [Attachment]
  ) -> [NodeDocument.Endpoint] {
    let links = Dictionary(
      attachments.map { ("\($0.namespace)/\($0.pod)", $0.address) }, uniquingKeysWith: { $1 })
    return slice.endpoints.map { endpoint in
      var out = endpoint
      if !endpoint.pod.isEmpty, let address = links[endpoint.pod] { out.target = address }
      return out
    }
  }

  private static func translate(_ slice: NodeDocument.Slice) -> String {
    let ip = family(slice)
    return "\(ip) daddr \(slice.block) dnat \(ip) to \(ip) daddr map @dst-\(slice.name)"
  }

  /// What comes from the node's own network has no address in the slice but the node's.
  private static func source(_ slice: NodeDocument.Slice) -> [String] {
    let ip = family(slice)
    let own = "iifname \"\(agentLink)\" \(ip) saddr @src-\(slice.name)"
    let to = "snat \(ip) to \(slice.nodeAddress)"
    return [
      "oifname \"\(slice.device)\" \(own) \(to)",
      "\(own) ct status dnat ct original \(ip) daddr \(slice.block) \(to)",
      "\(own) \(ip) daddr \(slice.cidr) \(to)",
    ]
  }

  /// Out: sources of member namespaces. In: exported endpoints at exported ports.
  private static func service(_ slice: NodeDocument.Slice) -> [String] {
    let ip = family(slice)
    let device = "iifname \"\(slice.device)\""
    let link = "iifname \"\(agentLink)\""
    let open = "\(ip) daddr . meta l4proto . th dport @open-\(slice.name)"
    return [
      "\(device) \(ip) saddr != \(slice.cidr) drop",
      "\(device) ct state established,related accept",
      "\(device) ct status dnat \(open) accept",
      "\(device) ct status dnat meta l4proto \(icmp(slice)) accept",
      "\(link) oifname \"\(slice.device)\" ct direction reply ct state established,related accept",
      "\(link) \(ip) saddr @src-\(slice.name) oifname \"\(slice.device)\" \(ip) daddr "
        + "\(slice.cidr) accept",
      // An endpoint of this node for a client of this node, both ways.
      "\(link) \(ip) saddr @src-\(slice.name) ct status dnat ct original \(ip) daddr "
        + "\(slice.block) \(open) accept",
      "\(link) ct status dnat ct direction reply ct original \(ip) daddr \(slice.block) accept",
    ]
  }

  /// Addresses stay as they are; a Pod's link carries its own address only.
  private static func pod(_ slice: NodeDocument.Slice) -> [String] {
    let ip = family(slice)
    let from = "iifname . \(ip) saddr @pods-\(slice.name)"
    let to = "oifname . \(ip) daddr @pods-\(slice.name)"
    let device = "\"\(slice.device)\""
    let members = "iifname \"\(agentLink)\" \(ip) saddr @src-\(slice.name)"
    let open = "\(ip) daddr . meta l4proto . th dport @open-\(slice.name)"
    return [
      "iifname \(device) \(ip) saddr \(slice.cidr) \(to) accept",
      "\(from) oifname \(device) \(ip) daddr \(slice.cidr) accept",
      "\(from) \(to) accept",
      // Pods in the node's own network have no interface of their own.
      "\(members) oifname \(device) \(ip) daddr \(slice.cidr) accept",
      "\(members) \(to) accept",
      // Endpoints without a link: in the node's own network, or older than the plugin.
      "iifname \(device) \(ip) saddr \(slice.cidr) ct status dnat \(open) accept",
      "\(from) ct status dnat \(open) accept",
      "iifname \"\(agentLink)\" ct status dnat ct direction reply ct original \(ip) daddr "
        + "\(slice.block) accept",
      "oifname \"\(agentLink)\" ct direction reply ct state established,related "
        + "\(ip) saddr \(slice.cidr) accept",
    ]
  }

  /// Between tunnel and nodes, and between nodes, nothing else.
  private static func gateway(_ slice: NodeDocument.Slice) -> [String] {
    let ip = family(slice)
    let nodes = "\"\(slice.device)\""
    let tunnel = "\"\(slice.tunnelDevice)\""
    return [
      "iifname \(tunnel) oifname \(nodes) \(ip) saddr \(slice.cidr) \(ip) daddr \(slice.block) "
        + "accept",
      "iifname \(nodes) oifname \(tunnel) \(ip) saddr \(slice.block) \(ip) daddr \(slice.cidr) "
        + "accept",
      "iifname \(nodes) oifname \(nodes) \(ip) saddr \(slice.block) \(ip) daddr \(slice.block) "
        + "accept",
    ]
  }

  /// Segments that fit, agreed upon at a connection's beginning, both ways. Never raised.
  private static func clamping(_ slice: NodeDocument.Slice, _ mtu: Int) -> [String] {
    let size = mtu - (slice.family == .v4 ? 40 : 60)
    let rule =
      "tcp flags syn / syn,rst tcp option maxseg size > \(size) tcp option maxseg size set \(size)"
    return ["iifname", "oifname"].map { "\($0) \"\(slice.device)\" \(rule)" }
  }

  private static func chain(_ name: String, _ type: String, _ rules: [String]) -> String {
    "  chain \(name) {\n    type \(type);\n" + rules.map { "    \($0)\n" }.joined() + "  }\n"
  }

  private static func set(_ name: String, _ type: String, _ elements: [String]) -> String {
    let list = elements.isEmpty ? "" : "    elements = { \(elements.joined(separator: ", ")) }\n"
    return "  \(name) {\n    type \(type)\n\(list)  }\n"
  }
}
