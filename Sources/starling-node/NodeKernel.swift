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

  /// Why slices of IPv6 cannot be served here; `nil`: they can. A node's own network is as whoever runs
  /// it wants it; a gateway's is ours.
  var missingIPv6: String? {
    let missing = NetworkSetting.missingIPv6
    return role == .gateway && NetworkSetting.hasIPv6 ? nil : missing
  }

  func prepare(_ plan: NodePlan) throws {
    if role == .node {
      try NetworkNamespace.keep(namespacePath)
      if if_nametoindex(NodePacketRules.hostLink) == 0 { try makeLink() }
      if plan.usesIPv6 { try NetworkSetting.useIPv6(on: NodePacketRules.hostLink) }
    }
    try inside {
      for (name, value) in Self.settings { try NetworkSetting.write(name, value) }
      // Packet rules say what may come from where. The loose filter drops what comes by a device without
      // an address, as a gateway's to the others has none, from a source that lies behind another device.
      try NetworkSetting.write("ipv4/conf/default/rp_filter", role == .node ? "2" : "0")
      guard plan.usesIPv6 else { return }
      for (name, value) in role == .node ? Self.ownSettingsV6 : Self.settingsV6 {
        try NetworkSetting.write(name, value)
      }
      if role == .node { try NetworkSetting.useIPv6(on: NodePacketRules.agentLink) }
    }
  }

  private static let settings = [
    ("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1"),
    // Flows, not packets, are shared among gateways.
    ("ipv4/fib_multipath_hash_policy", "1"), ("ipv6/fib_multipath_hash_policy", "1"),
    // Replies may come by another gateway than the one that took the question.
    ("ipv4/conf/all/rp_filter", "0"),
  ]

  /// Devices that are still to be made: a runtime or the machine may have IPv6 off for new ones.
  private static let settingsV6 = [("ipv6/conf/default/disable_ipv6", "0")]
  /// Where all devices are ours. Nobody else is there whose address could be the same, and nobody who
  /// may say what routes there are.
  private static let ownSettingsV6 =
    settingsV6 + [
      ("ipv6/conf/all/disable_ipv6", "0"), ("ipv6/conf/default/accept_dad", "0"),
      ("ipv6/conf/default/accept_ra", "0"),
    ]

  private func makeLink() throws {
    let (host, agent) = (NodePacketRules.hostLink, NodePacketRules.agentLink)
    for line in [
      "link add \(host) type veth peer name \(agent) netns \(namespace)",
      "-n \(namespace) link set lo up",
    ] {
      try Command.run(["ip"] + line.split(separator: " ").map(String.init))
    }
  }

  /// Of the node's own network.
  func addresses() throws -> JSON { try read(["ip", "-j", "addr", "show"]) }

  /// Puts back on both ends of the link what somebody took away.
  private func connect(_ plan: NodePlan, _ inner: JSON) throws {
    let (host, agent) = (NodePacketRules.hostLink, NodePacketRules.agentLink)
    func routes(_ device: String, _ more: [String]) throws -> [JSON] {
      try families.map { family in
        try read(["ip"] + more + ["-j", family, "route", "show", "dev", device, "proto", "83"])
      }
    }
    let inside = ["-n", namespace]
    let observed = NodeLink(
      host: NodeLink.end(host, addresses: try addresses(), routes: try routes(host, [])),
      agent: NodeLink.end(agent, addresses: inner, routes: try routes(agent, inside)))
    for isInside in [false, true] {
      let lines = plan.link.commands(from: observed, isInside: isInside)
      guard !lines.isEmpty else { continue }
      try Command.run(
        ["ip"] + (isInside ? inside : []) + ["-force", "-batch", "-"],
        input: lines.map { "\($0)\n" }.joined())
    }
  }

  /// That `ip` can list.
  private var families: [String] { NetworkSetting.hasIPv6 ? ["-4", "-6"] : ["-4"] }

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
      routes: try families.map { try read(tool("ip", "-j \($0) route show proto 83")) },
      neighbours: try read(tool("ip", "-j neigh show nud permanent")),
      forwarding: try read(tool("bridge", "-j fdb show")))
    let commands = KernelPlan.commands(
      desired: plan.items, observed: observed, namespace: inner)
    // What the kernel refuses of one slice keeps no other from being served.
    let failure = run(commands)
    if role == .node { try connect(plan, addresses) }
    if let failure { throw failure }
  }

  /// Neighbouring lines for one program go to it at once.
  ///
  /// - Returns: what failed first; the others were run all the same.
  private func run(_ commands: [KernelPlan.Command]) -> Command.Failure? {
    var failure: Command.Failure?
    var rest = commands[...]
    while let first = rest.first {
      let group = rest.prefix { $0.program == first.program && $0.isInside == first.isInside }
      rest = rest.dropFirst(group.count)
      var words = [first.program.rawValue]
      if first.isInside { words += ["-n", namespace] }
      do throws(Command.Failure) {
        try Command.run(
          words + ["-force", "-batch", "-"],
          input: group.map { "\($0.arguments)\n" }.joined())
      } catch {
        failure = failure ?? error
      }
    }
    return failure
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

  /// Takes away everything that `prepare` and `apply` made on a node.
  func remove() {
    _ = try? Command.run(["nft", "-f", "-"], input: NodePacketRules.hostRemoval)
    _ = try? Command.run(["ip", "link", "del", NodePacketRules.hostLink])
    _ = try? Command.run(["ip", "netns", "del", namespace])
  }
}
