public import Base

/// One slice on one node: what leads traffic in, out and nowhere else.
public struct NodeSlice: Hashable, Sendable {
  public var slice: String
  public var device: String
  /// The device's own address.
  public var gatewayAddress: IPAddress
  public var cidr: IPPrefix
  public var block: IPPrefix
  /// What sources of this node's workloads are translated to.
  public var nodeAddress: IPAddress
  /// Real addresses that may enter the slice, ascending.
  public var sources: [IPAddress]
  /// Ascending by slice address.
  public var endpoints: [ExportedEndpoint]

  public init(
    slice: String, device: String, gatewayAddress: IPAddress, cidr: IPPrefix, block: IPPrefix,
    nodeAddress: IPAddress, sources: [IPAddress], endpoints: [ExportedEndpoint]
  ) {
    self.slice = slice
    self.device = device
    self.gatewayAddress = gatewayAddress
    self.cidr = cidr
    self.block = block
    self.nodeAddress = nodeAddress
    self.sources = sources
    self.endpoints = endpoints
  }
}

/// What the kernel of a node has, as the executor reads it back.
public struct ObservedNode: Hashable, Sendable {
  /// Addresses of the slices' devices with their prefix lengths. A device that does not exist has no
  /// entry.
  public var addresses: [String: Set<DeviceAddress>]
  /// Routes that lead to slice devices.
  public var routes: Set<DeviceRoute>
  /// The rule set that was loaded last, as text, and still is there; `nil`: none.
  public var rules: String?

  public init(
    addresses: [String: Set<DeviceAddress>] = [:], routes: Set<DeviceRoute> = [],
    rules: String? = nil
  ) {
    self.addresses = addresses
    self.routes = routes
    self.rules = rules
  }
}

public struct DeviceAddress: Hashable, Sendable {
  public var address: IPAddress
  public var prefixLength: Int

  public init(_ address: IPAddress, prefixLength: Int) {
    self.address = address
    self.prefixLength = prefixLength
  }
}

public struct DeviceRoute: Hashable, Sendable {
  public var destination: IPPrefix
  public var device: String

  public init(_ destination: IPPrefix, device: String) {
    self.destination = destination
    self.device = device
  }
}

public enum NodeAction: Hashable, Sendable {
  case removeRoute(DeviceRoute)
  case removeAddress(DeviceAddress, device: String)
  case addAddress(DeviceAddress, device: String)
  /// Needed where the address alone does not bring the route along.
  case addRoute(DeviceRoute)
  /// Replaces the whole table, atomically: a script for `nft -f -`.
  case loadRules(String)
  /// No slice is left: the table goes.
  case removeRules
}

/// Interfaces, routes and rules of a standalone node. Gateways make the devices themselves.
public enum NodeRouteReconciler {
  public static let nodeName = "node"

  /// - Parameters:
  ///   - endpoints: as `ServiceExportReconciler` placed them.
  ///   - allocators: give the node its address in each block.
  public static func desired(
    _ view: ClustersetView, cluster: String, local: LocalServices, endpoints: [ExportedEndpoint],
    allocators: inout [String: AddressAllocator]
  ) -> [NodeSlice] {
    let owners = local.addressesByNamespace()
    let endpoints = Dictionary(grouping: endpoints, by: \.slice)
    return GatewayReconciler.desired(view, cluster: cluster).state.devices.compactMap { device in
      guard let member = view.slices[device.slice]?.member(cluster) else { return nil }
      let block = PodChunks.allotted(
        of: device.block, overlay: view.slices[device.slice]?.network?.overlay)
      var allocator = allocators[device.slice] ?? AddressAllocator(block: block)
      if allocator.block != block { allocator = AddressAllocator(block: block) }
      let node = allocator.address(for: .node(nodeName)) ?? device.address
      allocators[device.slice] = allocator
      let sources = owners.reduce(into: Set<IPAddress>()) { sources, owner in
        if member.includes(namespace: owner.key) { sources.formUnion(owner.value) }
      }
      return NodeSlice(
        slice: device.slice, device: device.device, gatewayAddress: device.address,
        cidr: device.cidr, block: device.block, nodeAddress: node,
        sources: sources.filter { $0.family == device.cidr.network.family }.sorted(),
        endpoints: (endpoints[device.slice] ?? []).sorted { $0.address < $1.address })
    }
  }

  public static func plan(desired: [NodeSlice], observed: ObservedNode) -> [NodeAction] {
    var actions: [NodeAction] = []
    let routes = Set(desired.map { DeviceRoute($0.cidr, device: $0.device) })
    let addresses = Dictionary(
      desired.map {
        ($0.device, DeviceAddress($0.gatewayAddress, prefixLength: $0.cidr.length))
      }, uniquingKeysWith: { a, _ in a })
    for route in observed.routes.subtracting(routes).sorted(by: Self.order) {
      actions.append(.removeRoute(route))
    }
    for (device, have) in observed.addresses.sorted(by: { $0.key < $1.key }) {
      let wanted = addresses[device]
      for address in have.sorted(by: { $0.address < $1.address }) where address != wanted {
        actions.append(.removeAddress(address, device: device))
      }
      if let wanted, !have.contains(wanted) {
        actions.append(.addAddress(wanted, device: device))
      }
    }
    // A device that is not there yet gets its turn when it is: the gateway makes it.
    for route in routes.subtracting(observed.routes).sorted(by: Self.order)
    where observed.addresses[route.device] != nil {
      actions.append(.addRoute(route))
    }
    if desired.isEmpty {
      if observed.rules != nil { actions.append(.removeRules) }
    } else {
      let rules = NodeRules.script(desired)
      if rules != observed.rules { actions.append(.loadRules(rules)) }
    }
    return actions
  }

  private static func order(_ a: DeviceRoute, _ b: DeviceRoute) -> Bool {
    (a.device, a.destination) < (b.device, b.destination)
  }
}
