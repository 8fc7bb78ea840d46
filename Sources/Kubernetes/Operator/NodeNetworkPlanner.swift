internal import Base
public import Slices

/// Says of each node what of the slices is on it: one NodeNetwork a Node, which the agents of all nodes
/// put together by themselves. So one changed Pod is one small object, however many nodes there are.
///
/// Addresses and chunks that stand in a node's object stay what they are: the API server is what
/// remembers them, whichever peer acts.
public struct NodeNetworkPlanner: Sendable {
  /// Watched for it; where one is not served, not allowed or not known whole, nothing is written.
  public static let watched: [ResourceType] = [.nodes, .pods, .nodeNetworks]
  /// What of them is read.
  public static let keeps: [ResourceType: [[String]]] = [
    .nodes: [["status", "addresses"]], .pods: NodePods.keeps,
  ]
  /// A tunnel's inner MTU, unless a path is narrower.
  static let tunnelMTU: Int64 = 1420

  /// One slice as it is the same on all nodes.
  private struct Common: Hashable, Sendable {
    var name: String
    var overlay: SliceOverlay
    var cidr: IPPrefix
    var block: IPPrefix
    var network: UInt32
    var namespaces: [String]
    var gateways: [JSON]
    var addresses: [String: IPAddress] = [:]
    var chunks: [String: IPPrefix] = [:]
  }

  private struct Placed: Hashable, Sendable {
    var slice: String
    var node: String
    /// Its Pod, `namespace/name`; empty where that is not known.
    var pod: String
    var service: ServiceName
    var address: IPAddress
    var target: IPAddress
    var ports: [JSON]
  }

  private let cluster: String
  private var pods: NodePods
  private var underlays: [String: IPAddress] = [:]
  private var common: [Common] = []
  private var endpoints: [ServiceName: [Placed]] = [:]
  private var servicesByNode: [String: Set<ServiceName>] = [:]
  private var namespaces: [String: String] = [:]
  private var dirty: Set<String> = []
  private var actions: [String: [ObjectDiffer.Action]] = [:]
  private var isStale = true

  /// - Parameter namespace: the peers', where gateways are looked for.
  public init(cluster: String, namespace: String) {
    self.cluster = cluster
    pods = NodePods(namespace: namespace)
  }

  /// - Parameters:
  ///   - changed: objects since the last time; `nil`: all may have.
  ///   - isViewChanged: in more than services.
  ///   - services: after their own `plan`.
  ///   - allocators: by slice; nodes get their addresses from them.
  /// - Returns: all requests that are left.
  public mutating func plan(
    _ view: ClustersetView, _ objects: ClusterObjects, changed: Set<ObjectID>?,
    isViewChanged: Bool, services: ServicePlanner,
    allocators: inout [String: AddressAllocator]
  ) -> [ObjectDiffer.Action] {
    guard Self.watched.allSatisfy({ objects.isServed($0) && objects.isComplete($0) }) else {
      isStale = true
      return []
    }
    let isWhole = isStale || changed == nil
    if isWhole { forget() }
    observe(objects, isWhole ? nil : changed)
    let isLaidOut = layOut(
      view, objects, services, isWhole || isViewChanged ? nil : changed, &allocators)
    if isWhole || isLaidOut { dirty.formUnion(underlays.keys) }
    place(isWhole ? nil : services.planned, services, allocators)
    for node in dirty { renew(node, objects) }
    dirty = []
    isStale = false
    return actions.sorted { $0.key < $1.key }.flatMap(\.value)
  }

  private mutating func forget() {
    pods = NodePods(namespace: pods.namespace)
    (endpoints, servicesByNode, actions) = ([:], [:], [:])
  }

  // MARK: What is there

  private mutating func observe(_ objects: ClusterObjects, _ changed: Set<ObjectID>?) {
    let ids = changed.map { Array($0) } ?? objects.all(.pods).map { ObjectID(.pods, $0.key) }
    for id in ids {
      switch id.type {
      case .pods: dirty.formUnion(pods.update(id.key, objects[id]))
      case .nodes, .nodeNetworks: dirty.insert(id.key.name)
      default: break
      }
    }
  }

  /// A node's own address, IPv4 where it has one: VXLAN packets go between these.
  private static func underlay(_ node: KubernetesObject) -> IPAddress? {
    let addresses = (node.status["addresses"]?.array ?? [])
      .filter { $0["type"]?.string == "InternalIP" }
      .compactMap { $0["address"]?.string.flatMap { IPAddress($0) } }
    return addresses.first { $0.family == .v4 } ?? addresses.first
  }

  // MARK: What is the same on all nodes

  /// - Parameter changed: `nil`: everything may have.
  /// - Returns: whether anything of it is other than before.
  private mutating func layOut(
    _ view: ClustersetView, _ objects: ClusterObjects, _ services: ServicePlanner,
    _ changed: Set<ObjectID>?, _ allocators: inout [String: AddressAllocator]
  ) -> Bool {
    let isConcerned =
      changed.map { changed in
        services.namespaces != namespaces
          || changed.contains {
            $0.type == .nodes || $0.type == .nodeNetworks
              || ($0.type == .pods && $0.key.namespace == pods.namespace)
          }
      } ?? true
    guard isConcerned else { return false }
    let old = (common, underlays, namespaces)
    namespaces = services.namespaces
    underlays = objects.all(.nodes).reduce(into: [:]) { out, node in
      if let address = Self.underlay(node) { out[node.name] = address }
    }
    common = slices(view)
    for index in common.indices {
      allot(&common[index], objects, &allocators)
    }
    return old != (common, underlays, namespaces)
  }

  private func slices(_ view: ClustersetView) -> [Common] {
    var networks: Set<UInt32> = []
    return view.slices(of: cluster).compactMap { slice in
      guard slice.isActive(cluster), let network = slice.network,
        network.overlay != SliceOverlay.none, let cidr = network.cidr,
        let block = slice.member(cluster)?.block
      else { return nil }
      // The same on every node and in every peer; of two with one number the later by name moves on.
      var number = UInt32(truncatingIfNeeded: StableHash.of("\(cluster)/\(slice.name)")) & 0xff_ffff
      while number == 0 || !networks.insert(number).inserted { number = (number + 1) & 0xff_ffff }
      return Common(
        name: slice.name, overlay: network.overlay, cidr: cidr, block: block, network: number,
        namespaces: namespaces.filter { $0.value == slice.name }.keys.sorted(),
        gateways: gateways(of: slice.name, in: block))
    }
  }

  /// Ascending by replica; each replica's Pod once.
  private func gateways(of slice: String, in block: IPPrefix) -> [JSON] {
    var found: [Int: IPAddress] = [:]
    for (_, pod) in pods.gateways.sorted(by: { $0.key < $1.key }) {
      guard let gateway = pod.gateway, gateway.slice.isEmpty || gateway.slice == slice,
        let address = pod.addresses.first(where: { $0.family == .v4 }) ?? pod.addresses.first
      else { continue }
      if found[gateway.replica] == nil { found[gateway.replica] = address }
    }
    return found.sorted { $0.key < $1.key }.compactMap { replica, underlay in
      AddressAllocator.gateway(replica, in: block).map {
        ["address": .string("\($0)"), "underlay": .string("\(underlay)")]
      }
    }
  }

  /// Addresses and chunks of all nodes: those that are written stay.
  private func allot(
    _ slice: inout Common, _ objects: ClusterObjects,
    _ allocators: inout [String: AddressAllocator]
  ) {
    let part = PodChunks.allotted(of: slice.block, overlay: slice.overlay)
    var allocator = allocators[slice.name] ?? AddressAllocator(block: part)
    if allocator.block != part { allocator = AddressAllocator(block: part) }
    let nodes = underlays.keys.sorted()
    var known: [String: IPPrefix] = [:]
    for node in nodes {
      let written = Self.written(slice.name, of: node, objects)
      known[node] = written?["chunk"]?.string.flatMap { IPPrefix($0) }
      if let address = written?["nodeAddress"]?.string.flatMap({ IPAddress($0) }) {
        allocator.adopt(address, for: .node(node))
      }
    }
    for case .node(let node) in allocator.allocations.keys where underlays[node] == nil {
      allocator.release(.node(node))
    }
    for node in nodes { slice.addresses[node] = allocator.address(for: .node(node)) }
    if slice.overlay == .pod, let chunks = PodChunks(block: slice.block) {
      slice.chunks = chunks.allot(nodes, known: known)
    }
    allocators[slice.name] = allocator
  }

  private static func written(
    _ slice: String, of node: String, _ objects: ClusterObjects
  ) -> JSON? {
    objects[ObjectID(.nodeNetworks, ObjectKey(name: node))]?.spec["slices"]?.array?
      .first { $0["name"]?.string == slice }
  }

  // MARK: Endpoints

  /// - Parameter services: those that were planned; `nil`: all.
  private mutating func place(
    _ services: Set<ServiceName>?, _ planner: ServicePlanner,
    _ allocators: [String: AddressAllocator]
  ) {
    let all = services.map { Array($0) } ?? planner.local.services.map(\.service)
    for service in all {
      let new = placed(planner.local(service), allocators)
      let old = endpoints[service] ?? []
      guard old != new else { continue }
      endpoints[service] = new.isEmpty ? nil : new
      for node in Set(old.map(\.node)) { servicesByNode[node]?.remove(service) }
      for node in Set(new.map(\.node)) { servicesByNode[node, default: []].insert(service) }
      dirty.formUnion(Set(old).symmetricDifference(new).map(\.node))
    }
  }

  private func placed(
    _ service: LocalService?, _ allocators: [String: AddressAllocator]
  ) -> [Placed] {
    guard let service, let slice = service.export?.slice, let allocator = allocators[slice] else {
      return []
    }
    let ports = service.ports.map { port -> JSON in
      [
        "transport": .string(port.transport.rawValue.uppercased()),
        "port": .integer(Int64(port.targetPort)),
      ]
    }
    return service.endpoints.compactMap { endpoint in
      let place = pods.place(of: endpoint.address)
      guard let node = endpoint.node.isEmpty ? place?.node : endpoint.node,
        let address = allocator.allocations[.endpoint(service.service, endpoint.name)],
        address.family == endpoint.address.family
      else { return nil }
      return Placed(
        slice: slice, node: node, pod: place.map { "\($0.pod)" } ?? "",
        service: service.service, address: address, target: endpoint.address, ports: ports)
    }
  }

  // MARK: One node

  private mutating func renew(_ node: String, _ objects: ClusterObjects) {
    let id = ObjectID(.nodeNetworks, ObjectKey(name: node))
    guard let underlay = underlays[node] else {
      // Also where somebody made it: what is no node has no network.
      actions[node] = ObjectDiffer.actions([], observed: objects, made: [id], mayDelete: true)
      if actions[node]?.isEmpty == true { actions[node] = nil }
      return
    }
    let spec: JSON = [
      "underlay": .string("\(underlay)"),
      "slices": .array(common.compactMap { json($0, on: node, underlay) }),
    ]
    let desired = DesiredObject(
      .nodeNetworks, id.key, ["spec": spec], owner: ObjectID(.nodes, id.key))
    let found = ObjectDiffer.actions([desired], observed: objects, managed: [])
    actions[node] = found.isEmpty ? nil : found
  }

  private func json(_ slice: Common, on node: String, _ underlay: IPAddress) -> JSON? {
    guard let address = slice.addresses[node] else { return nil }
    var sources: Set<IPAddress> = []
    var optedOut: [String] = []
    for (key, pod) in pods.pods(on: node) where namespaces[key.namespace] == slice.name {
      if pod.isOptedOut {
        optedOut.append("\(key)")
      } else if pod.usesHostNetwork || slice.overlay == .service {
        // What has a link of its own needs no translation.
        sources.formUnion(pod.addresses.filter { $0.family == slice.cidr.network.family })
      }
    }
    let here = (servicesByNode[node] ?? []).flatMap { endpoints[$0] ?? [] }
      .filter { $0.node == node && $0.slice == slice.name }.sorted { $0.address < $1.address }
    let isPod = slice.overlay == .pod
    return .object([
      "name": .string(slice.name), "overlay": .string(slice.overlay.rawValue),
      "cidr": .string("\(slice.cidr)"), "block": .string("\(slice.block)"),
      "network": .integer(Int64(slice.network)), "tunnelMTU": .integer(Self.tunnelMTU),
      "nodeAddress": .string("\(address)"),
      "chunk": slice.chunks[node].map { .string("\($0)") },
      "gateways": .array(slice.gateways),
      "namespaces": isPod ? .array(slice.namespaces.map { .string($0) }) : nil,
      "optedOut": isPod && !optedOut.isEmpty ? .array(optedOut.map { .string($0) }) : nil,
      "sources": .array(sources.sorted().map { .string("\($0)") }),
      "endpoints": .array(
        here.map {
          .object([
            "address": .string("\($0.address)"), "target": .string("\($0.target)"),
            "service": .string("\($0.service)"), "ports": .array($0.ports),
            "pod": isPod && !$0.pod.isEmpty ? .string($0.pod) : nil,
          ])
        }),
    ])
  }
}
