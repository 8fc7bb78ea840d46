internal import Base

/// The nftables rules of a standalone node, as one script that replaces them atomically.
///
/// Translation happens once a connection, at its first packet, and conntrack keeps it; so replacing
/// the table breaks no connection.
public enum NodeRules {
  /// Family and name of the only table that is touched.
  public static let table = "inet starling"

  public static func script(_ slices: [NodeSlice]) -> String {
    let slices = slices.sorted { $0.slice < $1.slice }
    var out = Script()
    // Declared first, so that deleting it works the first time as well.
    out.line("table \(table)")
    out.line("delete table \(table)")
    out.block("table \(table)") { out in
      for slice in slices { sets(slice, &out) }
      chain("prerouting", "nat", "prerouting", "dstnat", &out) {
        slices.map { translate($0) }
      }
      // What the node's own processes send does not pass prerouting.
      chain("output", "nat", "output", "-100", &out) { slices.map { translate($0) } }
      chain("postrouting", "nat", "postrouting", "srcnat", &out) { slices.flatMap { source($0) } }
      chain("forward", "filter", "forward", "filter", &out) { slices.flatMap { filter($0) } }
      chain("input", "filter", "input", "filter", &out) { slices.flatMap { input($0) } }
    }
    return out.text
  }

  public static let removal = "table \(table)\ndelete table \(table)\n"

  private static func family(_ slice: NodeSlice) -> String {
    slice.cidr.network.family == .v4 ? "ip" : "ip6"
  }

  private static func sets(_ slice: NodeSlice, _ out: inout Script) {
    let type = slice.cidr.network.family == .v4 ? "ipv4_addr" : "ipv6_addr"
    out.set("set src-\(slice.slice)", type, slice.sources.map { "\($0)" })
    out.set(
      "map dst-\(slice.slice)", "\(type) : \(type)",
      slice.endpoints.map { "\($0.address) : \($0.target)" })
    var open: Set<String> = []
    for endpoint in slice.endpoints {
      for port in endpoint.ports {
        let transport = port.transport.rawValue.lowercased()
        open.insert("\(endpoint.target) . \(transport) . \(port.targetPort)")
      }
    }
    out.set("set open-\(slice.slice)", "\(type) . inet_proto . inet_service", open.sorted())
  }

  private static func translate(_ slice: NodeSlice) -> String {
    let ip = family(slice)
    return "\(ip) daddr \(slice.block) dnat \(ip) to \(ip) daddr map @dst-\(slice.slice)"
  }

  /// Sources become the node's slice address on their way out, and on their way to an endpoint of
  /// the own cluster too: it would answer a neighbour directly, past the translation.
  private static func source(_ slice: NodeSlice) -> [String] {
    let ip = family(slice)
    let own = "\(ip) saddr @src-\(slice.slice) snat \(ip) to \(slice.nodeAddress)"
    return [
      "oifname \"\(slice.device)\" \(own)",
      "ct status dnat ct original \(ip) daddr \(slice.block) iifname != \"\(slice.device)\" \(own)",
    ]
  }

  /// Into the cluster: to exported endpoints at exported ports only, from slice addresses only. Into
  /// the slice: from sources of member namespaces only, wherever it goes.
  private static func filter(_ slice: NodeSlice) -> [String] {
    let ip = family(slice)
    let device = "iifname \"\(slice.device)\""
    let icmp = slice.cidr.network.family == .v4 ? "icmp" : "ipv6-icmp"
    return [
      "\(device) \(ip) saddr != \(slice.cidr) drop",
      "\(device) ct state established,related accept",
      "\(device) ct status dnat \(ip) daddr . meta l4proto . th dport @open-\(slice.slice) accept",
      "\(device) ct status dnat meta l4proto \(icmp) accept",
      "\(device) drop",
      "ct direction original ct original \(ip) daddr \(slice.cidr) "
        + "\(ip) saddr != @src-\(slice.slice) drop",
    ]
  }

  /// The node itself offers nothing to a slice but replies and an echo.
  private static func input(_ slice: NodeSlice) -> [String] {
    let icmp = slice.cidr.network.family == .v4 ? "icmp" : "ipv6-icmp"
    let device = "iifname \"\(slice.device)\""
    return [
      "\(device) ct state established,related accept",
      "\(device) meta l4proto \(icmp) accept",
      // A workload in the node's own network: translated to an address of the node.
      "\(device) ct status dnat \(family(slice)) daddr . meta l4proto . th dport "
        + "@open-\(slice.slice) accept",
      "\(device) drop",
    ]
  }

  private static func chain(
    _ name: String, _ type: String, _ hook: String, _ priority: String, _ out: inout Script,
    _ rules: () -> [String]
  ) {
    out.block("chain \(name)") { out in
      out.line("type \(type) hook \(hook) priority \(priority); policy accept;")
      for rule in rules() { out.line(rule) }
    }
  }

  private struct Script {
    var text = ""
    private var depth = 0

    mutating func line(_ text: String) {
      self.text += String(repeating: "  ", count: depth) + text + "\n"
    }

    mutating func block(_ head: String, _ body: (inout Script) -> Void) {
      line(head + " {")
      depth += 1
      body(&self)
      depth -= 1
      line("}")
    }

    mutating func set(_ name: String, _ type: String, _ elements: [String]) {
      block(name) { out in
        out.line("type \(type)")
        if !elements.isEmpty {
          out.line("elements = { \(elements.joined(separator: ", ")) }")
        }
      }
    }
  }
}
