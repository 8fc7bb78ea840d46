import Base
import Kubernetes
import Replication
import Slices

/// Clusters with objects, and the registers that they share: exports are published, imports are
/// planned and carried out, until nothing is left to do.
struct MCSWorld {
  var registers = RegisterTable()
  var objects: [String: ClusterObjects] = [:]
  var allocators: [String: [String: AddressAllocator]] = [:]
  var reachable: [String: Set<String>] = [:]
  var drained: Set<String> = []
  var consent = ExportReader.Consent.all
  var milliseconds: UInt64 = 1_790_000_000_000
  private var uids = 0
  private var clock: UInt64 = 1
  /// Requests of the last `settle`, by cluster.
  var actions: [String: [ObjectDiffer.Action]] = [:]

  init(
    _ clusters: [String] = ["a", "b"], overlay: SliceOverlay = .service, dns: SliceDNS = .init()
  ) throws {
    for (index, cluster) in clusters.enumerated() {
      apply([
        RegisterWrite(path: "cluster/\(cluster)", value: ClusterAdmission().value),
        RegisterWrite(
          path: "cluster/\(cluster)/info",
          value: ClusterInfo(
            certificateAuthority: [1], peers: [],
            ranges: ClusterRanges()
          ).value),
      ])
      objects[cluster] = ClusterObjects()
      for type in [
        ResourceType.namespaces, .services, .endpointSlices, .serviceExports, .serviceImports,
      ] {
        objects[cluster]?[type] = ObjectStore()
      }
      put(.namespaces, "", "shop", in: cluster)
      reachable[cluster] = Set(clusters.filter { $0 != clusters[index] })
    }
    let manifest = SliceManifest(
      name: "blue",
      network: SliceNetwork(
        cidr: IPPrefix("10.11.0.0/16"), maxClusters: 16, topology: .fullMesh, overlay: overlay),
      members: clusters.map { SliceMember(cluster: $0, namespaces: ["shop"]) }, dns: dns)
    apply(try SlicePlan(applying: manifest, to: registers).writes)
  }

  mutating func apply(_ writes: [RegisterWrite]) {
    for write in writes {
      clock += 1
      registers[write.path, write.scope] = write.value.map {
        Register(value: $0, time: HybridTime(milliseconds: clock))
      }
    }
  }

  var view: ClustersetView { ClustersetView(registers) }

  mutating func put(
    _ type: ResourceType, _ namespace: String, _ name: String, labels: [String: String] = [:],
    annotations: [String: String] = [:], _ members: [String: JSON?] = [:], in cluster: String
  ) {
    let key = ObjectKey(namespace: namespace, name: name)
    var object = KubernetesObject(type, key, members)
    let old = objects[cluster]?[ObjectID(type, key)]
    uids += 1
    object.json["metadata"]?["uid"] = .string(old?.uid ?? "uid-\(uids)")
    object.json["metadata"]?["resourceVersion"] = .string("\(uids)")
    object.json["metadata"]?["generation"] = 1
    object.json["metadata"]?["creationTimestamp"] = .string(
      old?.metadata["creationTimestamp"]?.string ?? CivilDate.rfc3339(milliseconds))
    if !labels.isEmpty { object.json["metadata"]?["labels"] = .texts(labels) }
    if !annotations.isEmpty { object.json["metadata"]?["annotations"] = .texts(annotations) }
    objects[cluster]?.put(object, type)
  }

  /// A Service with Pods, and its export.
  mutating func export(
    _ name: String, in cluster: String, ports: JSON = [["name": "http", "port": 80]],
    pods: [String] = ["192.168.0.1"], spec: [String: JSON?] = [:], export: JSON = .empty,
    annotations: [String: String] = [:]
  ) {
    service(name, in: cluster, ports: ports, pods: pods, spec: spec)
    milliseconds += 1000
    put(
      .serviceExports, "shop", name, annotations: annotations, ["spec": export], in: cluster)
  }

  mutating func service(
    _ name: String, in cluster: String, ports: JSON = [["name": "http", "port": 80]],
    pods: [String] = ["192.168.0.1"], spec: [String: JSON?] = [:]
  ) {
    var members: [String: JSON?] = [
      "ports": ports, "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"],
    ]
    members.merge(spec) { $1 }
    put(.services, "shop", name, ["spec": .object(members)], in: cluster)
    endpoints(name, in: cluster, pods.enumerated().map { ("\($1)", "\(name)-\($0)", true) })
  }

  mutating func endpoints(
    _ name: String, in cluster: String, _ pods: [(address: String, host: String, ready: Bool)]
  ) {
    put(
      .endpointSlices, "shop", "\(name)-x", labels: [ObjectNames.serviceName: name],
      [
        "addressType": "IPv4", "ports": [["name": "http", "port": 8080]],
        "endpoints": .array(
          pods.map {
            [
              "addresses": [.string($0.address)], "hostname": .string($0.host),
              "conditions": ["ready": .bool($0.ready)],
            ]
          }),
      ], in: cluster)
  }

  mutating func remove(_ type: ResourceType, _ name: String, in cluster: String) {
    objects[cluster]?.remove(ObjectID(type, ObjectKey(namespace: "shop", name: name)))
  }

  /// One pass of one cluster's peer.
  private mutating func pass(_ cluster: String) -> [ObjectDiffer.Action] {
    guard let observed = objects[cluster] else { return [] }
    let reader = ExportReader(observed, view: view, cluster: cluster, consent: consent)
    let exports = ServiceExportReconciler.plan(
      view, cluster: cluster, local: reader.services,
      allocators: &allocators[cluster, default: [:]], observed: registers, now: milliseconds)
    apply(exports.writes)
    let reachability = Reachability(
      local: cluster, reachable: reachable[cluster] ?? [], drained: drained)
    let planner = ImportPlanner(
      view, observed,
      .init(
        cluster: cluster, consent: consent, reachability: ["blue": reachability],
        local: reader.services, nowMilliseconds: milliseconds))
    let statuses = ExportStatus.desired(
      reader.findings, view, observed, cluster: cluster, now: milliseconds)
    return ObjectDiffer.actions(
      planner.desired + statuses, observed: observed,
      managed: ImportPlanner.managed(imports: .serviceImports))
  }

  /// Carries requests out as a server does that has no rules.
  private mutating func carryOut(_ action: ObjectDiffer.Action, _ cluster: String) {
    if action.kind == .delete {
      objects[cluster]?.remove(action.id)
      return
    }
    guard let body = action.request.body, let json = try? JSON(parsing: body),
      var object = KubernetesObject(json)
    else { return }
    let old = objects[cluster]?[action.id]
    if action.kind == .status {
      guard let old else { return }
      object = old
      object.json["status"] = json["status"]
    } else {
      object.json["status"] = old?.json["status"]
      if action.id.type == .services, object.spec["clusterIP"] == nil {
        uids += 1
        let address = old?.spec["clusterIP"] ?? .string("10.96.1.\(uids % 250)")
        object.json["spec"]?["clusterIP"] = address
        object.json["spec"]?["clusterIPs"] = [address]
      }
    }
    uids += 1
    object.json["metadata"]?["uid"] = .string(old?.uid ?? "uid-\(uids)")
    object.json["metadata"]?["resourceVersion"] = .string("\(uids)")
    object.json["metadata"]?["generation"] = 1
    objects[cluster]?.put(object, action.id.type)
  }

  /// Passes of all clusters until none has anything to do; `false` if they never end.
  @discardableResult
  mutating func settle() -> Bool {
    actions = [:]
    for _ in 0..<12 {
      var isDone = true
      for cluster in objects.keys.sorted() {
        let before = registers
        let todo = pass(cluster)
        for action in todo { carryOut(action, cluster) }
        actions[cluster, default: []] += todo
        if !todo.isEmpty || registers != before { isDone = false }
      }
      if isDone { return true }
    }
    return false
  }

  subscript(_ type: ResourceType, _ name: String, in cluster: String) -> KubernetesObject? {
    objects[cluster]?[ObjectID(type, ObjectKey(namespace: "shop", name: name))]
  }

  func slices(of name: String, in cluster: String) -> [KubernetesObject] {
    (objects[cluster]?.all(.endpointSlices) ?? []).filter {
      $0.labels[MCS.serviceNameLabel] == name
    }
  }

  /// Source clusters of the slices that kube-proxy sees.
  func serving(_ name: String, in cluster: String) -> [String] {
    slices(of: name, in: cluster).filter { $0.labels[ObjectNames.serviceName] != nil }
      .compactMap { $0.labels[MCS.sourceClusterLabel] }.sorted()
  }

  func condition(_ type: String, of name: String, in cluster: String) -> (String, String)? {
    let list = self[.serviceExports, name, in: cluster]?.status["conditions"]?.array ?? []
    return list.first { $0["type"]?.string == type }.flatMap {
      ($0["status"]?.string ?? "", $0["reason"]?.string ?? "")
    }
  }
}
