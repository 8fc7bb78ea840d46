public import Base

/// One thing that the agent keeps in the kernel of its namespace.
public enum KernelItem: Hashable, Sendable {
  case device(String, network: UInt32, local: IPAddress, mtu: Int)
  case address(IPAddress, device: String)
  /// Several hops share the flows; none: right behind the device.
  case route(IPPrefix, hops: [IPAddress], device: String)
  case neighbour(IPAddress, hardware: String, device: String)
  /// Where VXLAN packets for a hardware address go.
  case forwarding(hardware: String, to: IPAddress, device: String)

  /// Order of making; the reverse is the order of taking away.
  var order: Int {
    switch self {
    case .device: 0
    case .address: 1
    case .neighbour: 2
    case .forwarding: 3
    // IPv6 takes a hop only where a route says that it is behind the same device.
    case .route(_, let hops, _): hops.isEmpty ? 4 : 5
    }
  }

  var deviceName: String {
    switch self {
    case .device(let name, _, _, _): name
    case .address(_, let device), .route(_, _, let device), .neighbour(_, _, let device),
      .forwarding(_, _, let device):
      device
    }
  }
}

/// From what is there to what should be, as lines for `ip -batch` and `bridge -batch`.
public struct KernelPlan: Hashable, Sendable {
  public struct Command: Hashable, Sendable {
    public enum Program: String, Hashable, Sendable { case ip, bridge }
    public var program: Program
    /// In the agent's own namespace rather than in the node's.
    public var isInside: Bool
    public var arguments: String
  }

  public static let vxlanPort = 7901

  /// - Parameter namespace: of the agent's own, where there is one: devices are made outside, so
  ///   that their packets go through the node's own network.
  public static func commands(
    desired: Set<KernelItem>, observed: Set<KernelItem>, namespace: String?
  ) -> [Command] {
    // A device that is made anew loses everything that was on it.
    let renewed = Set(
      observed.subtracting(desired).compactMap { item -> String? in
        if case .device(let name, _, _, _) = item { name } else { nil }
      })
    var out: [Command] = []
    for item in sorted(observed.subtracting(desired)).reversed() {
      if case .device = item {
        out.append(remove(item, namespace))
      } else if !renewed.contains(item.deviceName), !isReplaced(item, desired) {
        out.append(remove(item, namespace))
      }
    }
    let kept = observed.filter { !renewed.contains($0.deviceName) }
    for item in sorted(desired.subtracting(kept)) { out += make(item, namespace) }
    return out
  }

  /// `replace` does it in one step, without a moment in which packets are lost.
  private static func isReplaced(_ item: KernelItem, _ desired: Set<KernelItem>) -> Bool {
    desired.contains { other in
      switch (item, other) {
      case (.route(let a, _, _), .route(let b, _, _)): a == b
      case (.neighbour(let a, _, let d), .neighbour(let b, _, let e)): a == b && d == e
      default: false
      }
    }
  }

  private static func sorted(_ items: Set<KernelItem>) -> [KernelItem] {
    items.sorted { ($0.order, "\($0)") < ($1.order, "\($1)") }
  }

  private static func command(
    _ program: Command.Program, _ namespace: String?, _ text: String
  ) -> Command {
    Command(program: program, isInside: namespace != nil, arguments: text)
  }

  private static func make(_ item: KernelItem, _ namespace: String?) -> [Command] {
    switch item {
    case .device(let name, let network, let local, let mtu):
      let target = namespace.map { " netns \($0)" } ?? ""
      return [
        Command(
          program: .ip, isInside: false,
          arguments: "link add \(name)\(target) mtu \(mtu) address \(Self.hardware(of: local)) "
            + "type vxlan id \(network) local \(local) dstport \(vxlanPort) nolearning"),
        command(.ip, namespace, "link set \(name) up"),
      ]
    case .address(let address, let device):
      let flag = address.family == .v6 ? " nodad" : ""
      return [
        command(
          .ip, namespace,
          "addr replace \(address)/\(address.family.bits) dev \(device)\(flag)")
      ]
    case .route(let destination, let hops, let device):
      let head = "route replace \(destination) proto 83"
      let tail =
        switch hops.count {
        case 0: " dev \(device)"
        case 1: " via \(hops[0]) dev \(device) onlink"
        default: hops.map { " nexthop via \($0) dev \(device) onlink" }.joined()
        }
      return [command(.ip, namespace, head + tail)]
    case .neighbour(let address, let hardware, let device):
      return [
        command(
          .ip, namespace,
          "neigh replace \(address) lladdr \(hardware) dev \(device) nud permanent")
      ]
    case .forwarding(let hardware, let to, let device):
      return [
        command(
          .bridge, namespace, "fdb replace \(hardware) dev \(device) dst \(to) self permanent")
      ]
    }
  }

  private static func remove(_ item: KernelItem, _ namespace: String?) -> Command {
    switch item {
    case .device(let name, _, _, _): command(.ip, namespace, "link del \(name)")
    case .address(let address, let device):
      command(.ip, namespace, "addr del \(address)/\(address.family.bits) dev \(device)")
    case .route(let destination, _, _):
      command(.ip, namespace, "route del \(destination) proto 83")
    case .neighbour(let address, _, let device):
      command(.ip, namespace, "neigh del \(address) dev \(device)")
    case .forwarding(let hardware, let to, let device):
      command(.bridge, namespace, "fdb del \(hardware) dev \(device) dst \(to) self")
    }
  }

  /// Follows from the underlay's address, so that nobody has to ask for it.
  public static func hardware(of underlay: IPAddress) -> String {
    let bytes = [UInt8(0x02), underlay.family == .v4 ? 0x53 : 0x54] + underlay.bytes.suffix(4)
    return CNIResult.hardware(bytes)
  }
}
