import Base
import Kubernetes
import Replication
import Slices

/// One cluster with nodes, Pods, gateways and exports, and what is planned for its nodes.
struct NodeWorld {
  let cluster: String
  var objects = ClusterObjects()
  var allocators: [String: AddressAllocator] = [:]
  private let registers: RegisterTable
  private var view = ClustersetView()
  private var services: ServicePlanner
  private var planner: NodeNetworkPlanner
  private var changed: Set<ObjectID>?
  private var uids = 0

  static let namespace = "sys"

  init(
    _ cluster: String = "a", slice: String = "bench", overlay: SliceOverlay = .service,
    cidr: String = "10.11.0.0/16"
  ) throws {
    self.cluster = cluster
    var registers = RegisterTable()
    var clock: UInt64 = 0
    func apply(_ writes: [RegisterWrite]) {
      for write in writes {
        clock += 1
        registers[write.path, write.scope] = write.value.map {
          Register(value: $0, time: HybridTime(milliseconds: clock))
        }
      }
    }
    for name in ["a", "b"] {
      let info = ClusterInfo(certificateAuthority: [1], peers: [], ranges: ClusterRanges())
      apply([
        RegisterWrite(path: "cluster/\(name)", value: ClusterAdmission().value),
        RegisterWrite(path: "cluster/\(name)/info", value: info.value),
      ])
    }
    let manifest = SliceManifest(
      name: slice,
      network: SliceNetwork(
        cidr: IPPrefix(cidr), maxClusters: 16, topology: .fullMesh, overlay: overlay),
      members: [
        SliceMember(cluster: "a", namespaces: ["shop"], block: 1),
        SliceMember(cluster: "b", namespaces: ["shop"], block: 2),
      ])
    apply(try SlicePlan(applying: manifest, to: registers).writes)
    self.registers = registers
    services = ServicePlanner(.init(cluster: cluster, consent: .all))
    planner = NodeNetworkPlanner(cluster: cluster, namespace: Self.namespace)
    let types: [ResourceType] = [
      .namespaces, .services, .endpointSlices, .serviceExports, .serviceImports, .pods, .nodes,
      .nodeNetworks,
    ]
    for type in types { objects[type] = ObjectStore() }
    put(.namespaces, "", "shop")
    put(.namespaces, "", "other")
  }

  mutating func put(
    _ type: ResourceType, _ namespace: String, _ name: String, labels: [String: String] = [:],
    _ members: [String: JSON?] = [:]
  ) {
    var object = KubernetesObject(type, ObjectKey(namespace: namespace, name: name), members)
    uids += 1
    object.json["metadata"]?["uid"] = .string("uid-\(uids)")
    if !labels.isEmpty { object.json["metadata"]?["labels"] = .texts(labels) }
    objects.put(object, type)
    changed?.insert(ObjectID(type, object.key))
  }

  mutating func remove(_ type: ResourceType, _ namespace: String, _ name: String) {
    let id = ObjectID(type, ObjectKey(namespace: namespace, name: name))
    objects.remove(id)
    changed?.insert(id)
  }

  mutating func node(_ name: String, _ addresses: String...) {
    let items = addresses.map { JSON.object(["type": "InternalIP", "address": .string($0)]) }
    put(.nodes, "", name, ["status": ["addresses": .array(items)]])
  }

  mutating func pod(
    _ name: String, _ addresses: String..., on node: String, in namespace: String = "shop",
    labels: [String: String] = [:], phase: String = "Running", isHost: Bool = false
  ) {
    pod(
      name, addresses: addresses, on: node, in: namespace, labels: labels, phase: phase,
      isHost: isHost)
  }

  mutating func pod(
    _ name: String, addresses: [String], on node: String, in namespace: String = "shop",
    labels: [String: String] = [:], phase: String = "Running", isHost: Bool = false
  ) {
    put(
      .pods, namespace, name, labels: labels,
      [
        "spec": ["nodeName": .string(node), "hostNetwork": .bool(isHost)],
        "status": [
          "phase": .string(phase), "podIPs": .array(addresses.map { ["ip": .string($0)] }),
        ],
      ])
  }

  mutating func gateway(_ replica: Int, _ address: String, _ other: String? = nil) {
    pod(
      "gateway-\(replica)", addresses: [address] + (other.map { [$0] } ?? []), on: "node0",
      in: Self.namespace,
      labels: [
        ObjectNames.component: ObjectNames.gatewayComponent,
        ObjectNames.gatewayReplica: "\(replica)",
      ])
  }

  /// A Service with one Pod, exported.
  ///
  /// - Parameter pod: which it is, where the endpoint says it.
  mutating func export(
    _ name: String, _ address: String, on node: String, pod: String? = nil
  ) {
    let target = pod.map { JSON.object(["kind": "Pod", "name": .string($0)]) }
    let isV6 = address.contains(":")
    put(
      .services, "shop", name,
      [
        "spec": [
          "ports": [["name": "http", "port": 80]], "clusterIP": isV6 ? "fd96::9" : "10.96.0.9",
          "ipFamilies": [isV6 ? "IPv6" : "IPv4"],
        ]
      ])
    put(
      .endpointSlices, "shop", "\(name)-x", labels: [ObjectNames.serviceName: name],
      [
        "addressType": isV6 ? "IPv6" : "IPv4", "ports": [["name": "http", "port": 80]],
        "endpoints": [
          .object([
            "addresses": [.string(address)], "nodeName": .string(node), "targetRef": target,
          ])
        ],
      ])
    put(.serviceExports, "shop", name)
  }

  /// One pass of the peer.
  mutating func plan() -> [ObjectDiffer.Action] {
    let isFirst = changed == nil
    if isFirst { view.rebuild(from: registers) }
    services.observe(
      changed, in: objects, view, isFirst ? nil : ViewChange(), reachability: [:])
    let exports = services.readExports(objects, view)
    _ = ServiceExportReconciler.plan(
      view, cluster: cluster, local: exports.services, only: exports.only,
      allocators: &allocators, observed: registers, now: 1)
    _ = services.plan(objects, view, refusals: [:], now: 1)
    let actions = planner.plan(
      view, objects, changed: changed, isViewChanged: isFirst, services: services,
      allocators: &allocators)
    changed = []
    return actions
  }

  /// Carries out what is planned, and plans again.
  ///
  /// - Returns: names of objects that were written.
  @discardableResult
  mutating func settle() throws -> [String] {
    var written: [String] = []
    for action in plan() {
      written.append(action.id.key.name)
      changed?.insert(action.id)
      if action.kind == .delete {
        objects.remove(action.id)
      } else if let body = action.request.body,
        let object = KubernetesObject(try JSON(parsing: body))
      {
        objects.put(object, action.id.type)
      }
    }
    return written
  }

  /// The peer begins anew, with what its store had or without.
  mutating func restart(keeping isKept: Bool = true) {
    services = ServicePlanner(.init(cluster: cluster, consent: .all))
    planner = NodeNetworkPlanner(cluster: cluster, namespace: Self.namespace)
    changed = nil
    if !isKept { allocators = [:] }
  }

  var networks: [String: JSON] {
    objects.all(.nodeNetworks).reduce(into: [:]) { $0[$1.name] = $1.spec }
  }

  /// What people are told about nodes.
  var statements: [String] { planner.statements.map { "\($0.about.key.name): \($0.note)" } }

  /// Why services are not exported.
  var refusals: [String] { services.refusals.map { "\($0.service): \($0.reason)" } }

  func export(of name: String) -> LocalService? {
    services.local(ServiceName(namespace: "shop", name: name))
  }

  /// Of the only slice.
  func slice(on node: String) -> JSON { networks[node]?["slices"]?.array?.first ?? .null }

  func texts(_ field: String, on node: String) -> [String] {
    (slice(on: node)[field]?.array ?? []).compactMap { $0.string ?? $0["target"]?.string }
  }
}
