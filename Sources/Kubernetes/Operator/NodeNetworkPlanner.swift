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
    /// Ascending by replica: in the slice, and where the Pod is.
    var gateways: [Gateway]
    var addresses: [String: IPAddress] = [:]
    var chunks: [String: IPPrefix] = [:]
  }

  private struct Gateway: Hashable, Sendable {
    var address: IPAddress
    var underlays: [IPAddress]
  }

  /// Pods of one node that want to enter a slice: with an address of its family, and without.
  private struct Count: Hashable, Sendable {
    var with = 0
    var without = 0
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

  /// What holds now and people should know.
  public private(set) var statements: Set<EventRecorder.Statement> = []

  private let cluster: String
  private var pods: NodePods
  private var underlays: [String: IPAddress] = [:]
  /// All addresses of nodes.
  private var hosts: [String: [IPAddress]] = [:]
  /// By node and slice.
  private var counts: [String: [String: Count]] = [:]
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
    // What is told is told about the slice's object, which may appear later.
    if !dirty.isEmpty || changed?.contains(where: { $0.type == .slices }) == true {
      statements = findings(objects)
    }
    dirty = []
    isStale = false
    return actions.sorted { $0.key < $1.key }.flatMap(\.value)
  }

  private mutating func forget() {
    pods = NodePods(namespace: pods.namespace)
    (endpoints, servicesByNode, actions, counts) = ([:], [:], [:], [:])
  }

  /// Slices that nobody here can enter, since no Pod has an address of their family.
  private func findings(_ objects: ClusterObjects) -> Set<EventRecorder.Statement> {
    var sums: [String: Count] = [:]
    for (slice, count) in counts.values.flatMap({ $0 }) {
      sums[slice, default: Count()].with += count.with
      sums[slice, default: Count()].without += count.without
    }
    var out: Set<EventRecorder.Statement> = []
    for slice in common {
      guard let sum = sums[slice.name], sum.with == 0, sum.without > 0,
        let object = objects[ObjectID(.slices, ObjectKey(name: slice.name))]
      else { continue }
      let family = slice.cidr.network.family == .v4 ? "IPv4" : "IPv6"
      out.insert(
        EventRecorder.Statement(
          object, .slices, isWarning: true, reason: "IPFamilyNotSupported",
          note: "the slice has addresses of \(family), and none of the Pods of its namespaces in "
            + "this cluster has one: they cannot enter it"))
    }
    return out
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

  private static func addresses(of node: KubernetesObject) -> [IPAddress] {
    (node.status["addresses"]?.array ?? []).filter { $0["type"]?.string == "InternalIP" }
      .compactMap { $0["address"]?.string.flatMap { IPAddress($0) } }
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
    let oldHosts = hosts
    namespaces = services.namespaces
    hosts = objects.all(.nodes).reduce(into: [:]) { $0[$1.name] = Self.addresses(of: $1) }
    // VXLAN packets go between these: IPv4 where a node has it.
    underlays = hosts.compactMapValues { all in all.first { $0.family == .v4 } ?? all.first }
    common = slices(view)
    for index in common.indices {
      allot(&common[index], objects, &allocators)
    }
    return old != (common, underlays, namespaces) || oldHosts != hosts
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

  /// Each replica's Pod once.
  private func gateways(of slice: String, in block: IPPrefix) -> [Gateway] {
    var found: [Int: [IPAddress]] = [:]
    for (_, pod) in pods.gateways.sorted(by: { $0.key < $1.key }) {
      guard let gateway = pod.gateway, gateway.slice.isEmpty || gateway.slice == slice,
        !pod.addresses.isEmpty
      else { continue }
      if found[gateway.replica] == nil { found[gateway.replica] = pod.addresses }
    }
    return found.sorted { $0.key < $1.key }.compactMap { replica, underlays in
      AddressAllocator.gateway(replica, in: block).map {
        Gateway(address: $0, underlays: underlays)
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
    counts[node] = nil
    guard let underlay = underlays[node] else {
      // Also where somebody made it: what is no node has no network.
      actions[node] = ObjectDiffer.actions([], observed: objects, made: [id], mayDelete: true)
      if actions[node]?.isEmpty == true { actions[node] = nil }
      return
    }
    var slices: [JSON] = []
    for slice in common {
      if let slice = json(slice, on: node, underlay) { slices.append(slice) }
    }
    let spec: JSON = [
      "underlay": .string("\(underlay)"),
      "slices": .array(slices),
    ]
    let desired = DesiredObject(
      .nodeNetworks, id.key, ["spec": spec], owner: ObjectID(.nodes, id.key))
    let found = ObjectDiffer.actions([desired], observed: objects, managed: [])
    actions[node] = found.isEmpty ? nil : found
  }

  private mutating func json(
    _ slice: Common, on node: String, _ underlay: IPAddress
  ) -> JSON? {
    guard let address = slice.addresses[node] else { return nil }
    var sources: Set<IPAddress> = []
    var count = Count()
    var optedOut: [String] = []
    for (key, pod) in pods.pods(on: node) where namespaces[key.namespace] == slice.name {
      if pod.isOptedOut {
        optedOut.append("\(key)")
      } else {
        // Also what has a link of its own: the ClusterIP of an import leads over the node.
        let all = pod.addresses + (pod.usesHostNetwork ? hosts[node] ?? [] : [])
        let own = all.filter { $0.family == slice.cidr.network.family }
        sources.formUnion(own)
        guard pod.usesHostNetwork || slice.overlay == .service else { continue }
        if own.isEmpty { count.without += all.isEmpty ? 0 : 1 } else { count.with += 1 }
      }
    }
    counts[node, default: [:]][slice.name] = count
    // Of the underlay's family: a packet of VXLAN goes from one to the other.
    let gateways = slice.gateways.compactMap { gateway -> JSON? in
      gateway.underlays.first { $0.family == underlay.family }.map {
        ["address": .string("\(gateway.address)"), "underlay": .string("\($0)")]
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
      "gateways": .array(gateways),
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
