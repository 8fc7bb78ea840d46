import Base
import Glibc
import Kubernetes
import NodeHost
import Nodes

/// The kernel's side of one node: reads what is there, and makes it what a plan says.
struct NodeKernel {
  var role: NodeDocument.Role
  var namespace: String
  var namespacePath: String
  private var loaded: [String: String] = [:]

  static let hostAddress = "169.254.83.1"
  static let agentAddress = "169.254.83.2"

  init(role: NodeDocument.Role, options: NodeOptions) {
    self.role = role
    namespace = options.namespace
    namespacePath = options.namespacePath
  }

  private var inner: String? { role == .node ? namespace : nil }

  /// Arguments that make `ip` and `bridge` act where the slices' devices are.
  private func tool(_ name: String, _ arguments: String) -> [String] {
    [name] + (inner.map { ["-n", $0] } ?? []) + arguments.split(separator: " ").map(String.init)
  }

  /// Runs in the agent's namespace, where it has one.
  func inside<Value>(_ body: () throws -> Value) throws -> Value {
    guard role == .node else { return try body() }
    return try NetworkNamespace.inside(try Descriptor(reading: namespacePath), body)
  }

  // MARK: The agent's namespace and the way to it

  func prepare() throws {
    if role == .node {
      try NetworkNamespace.keep(namespacePath)
      if if_nametoindex(NodePacketRules.hostLink) == 0 { try makeLink() }
    }
    try inside {
      for (path, value) in Self.settings {
        guard Files.exists("/proc/sys/net/\(path)") else { continue }
        let file = open("/proc/sys/net/\(path)", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { continue }
        defer { close(file) }
        try Files.write(Array(value.utf8), to: file, path)
      }
    }
  }

  private static let settings = [
    ("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1"),
    // Flows, not packets, are shared among gateways.
    ("ipv4/fib_multipath_hash_policy", "1"), ("ipv6/fib_multipath_hash_policy", "1"),
    // Replies may come by another gateway than the one that took the question.
    ("ipv4/conf/all/rp_filter", "0"), ("ipv4/conf/default/rp_filter", "2"),
  ]

  private func makeLink() throws {
    let (host, agent) = (NodePacketRules.hostLink, NodePacketRules.agentLink)
    for line in [
      "link add \(host) type veth peer name \(agent) netns \(namespace)",
      "addr replace \(Self.hostAddress)/30 dev \(host)", "link set \(host) up",
      "-n \(namespace) link set lo up",
      "-n \(namespace) addr replace \(Self.agentAddress)/30 dev \(agent)",
      "-n \(namespace) link set \(agent) up",
      "-n \(namespace) route replace default via \(Self.hostAddress) dev \(agent)",
    ] {
      try Command.run(["ip"] + line.split(separator: " ").map(String.init))
    }
  }

  // MARK: Devices, routes, neighbours

  private func read(_ words: [String]) throws -> JSON {
    let output = try Command.run(words)
    // Nothing to list is printed as nothing.
    return output.allSatisfy { $0 <= 0x20 } ? .array([]) : try JSON(parsing: output)
  }

  func apply(_ plan: NodePlan) throws {
    let addresses = try read(tool("ip", "-j addr show"))
    let observed = KernelReader.items(
      links: try read(tool("ip", "-j -d link show type vxlan")), addresses: addresses,
      routes: [
        try read(tool("ip", "-j route show proto 83")),
        try read(tool("ip", "-j -6 route show proto 83")),
      ],
      neighbours: try read(tool("ip", "-j neigh show nud permanent")),
      forwarding: try read(tool("bridge", "-j fdb show")))
    let commands = KernelPlan.commands(
      desired: plan.items, observed: observed, namespace: inner)
    try run(commands)
    if role == .node { try enter(plan) }
  }

  /// Neighbouring lines for one program go to it at once.
  private func run(_ commands: [KernelPlan.Command]) throws {
    var rest = commands[...]
    while let first = rest.first {
      let group = rest.prefix { $0.program == first.program && $0.isInside == first.isInside }
      rest = rest.dropFirst(group.count)
      var words = [first.program.rawValue]
      if first.isInside { words += ["-n", namespace] }
      try Command.run(
        words + ["-force", "-batch", "-"],
        input: group.map { "\($0.arguments)\n" }.joined())
    }
  }

  /// What the node sends to the agent's namespace.
  private func enter(_ plan: NodePlan) throws {
    let link = NodePacketRules.hostLink
    let routes = try read(["ip", "-j", "route", "show", "dev", link, "proto", "83"])
    let have = Set((routes.array ?? []).compactMap { $0["dst"]?.string.flatMap { IPPrefix($0) } })
    let wanted = plan.entries.filter { $0.network.family == .v4 }
    for entry in wanted where !have.contains(entry) {
      try Command.run(
        ["ip", "route", "replace", "\(entry)", "via", Self.agentAddress, "dev", link]
          + ["proto", "83", "src", "\(plan.underlay)"])
    }
    for entry in have.subtracting(wanted).sorted() {
      try Command.run(["ip", "route", "del", "\(entry)", "dev", link, "proto", "83"])
    }
  }

  // MARK: Packet rules

  /// Where nobody changed what was loaded last, nothing is loaded.
  mutating func load(_ script: String, table: String, isInside: Bool) throws {
    let list = ["nft", "--stateless", "--terse", "list", "table", "inet", table]
    func here<Value>(_ body: () throws -> Value) throws -> Value {
      isInside ? try inside(body) : try body()
    }
    let listing = try here { try? Command.run(list) }
    let key = listing.map { "\(script)\($0)" }
    if let key, loaded[table] == key { return }
    _ = try here { try Command.run(["nft", "-f", "-"], input: script) }
    let after = try here { try Command.run(list) }
    loaded[table] = "\(script)\(after)"
  }

  // MARK: Pods' links

  func podDevices() throws -> [String] {
    KernelReader.podDevices(try read(tool("ip", "-j addr show")))
  }

  func drop(_ device: String) throws {
    try Command.run(tool("ip", "link del \(device)"))
  }

  /// Of the device that has the address.
  static func mtu(of underlay: IPAddress) -> Int {
    guard let output = try? Command.run(["ip", "-j", "addr", "show", "to", "\(underlay)"]),
      let links = (try? JSON(parsing: output))?.array
    else { return 1500 }
    return links.compactMap { $0["mtu"]?.integer }.first.map { Int($0) } ?? 1500
  }

  /// Takes away everything that `prepare` and `apply` made on a node.
  func remove() {
    _ = try? Command.run(["nft", "-f", "-"], input: NodePacketRules.hostRemoval)
    _ = try? Command.run(["ip", "link", "del", NodePacketRules.hostLink])
    _ = try? Command.run(["ip", "netns", "del", namespace])
  }
}
