import Base
import Kubernetes
import Replication
import Slices
import Testing

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
  /// What a peer keeps between passes, to be compared with planning everything anew.
  private var planners: [String: ServicePlanner] = [:]
  private var views: [String: ClustersetView] = [:]
  private var changedObjects: [String: Set<ObjectID>] = [:]
  private var changedPaths: [String: [String]] = [:]
  private var clock: UInt64 = 1
  /// Requests of the last `settle`, by cluster.
  var actions: [String: [ObjectDiffer.Action]] = [:]

  init(
    _ clusters: [String] = ["a", "b"], namespaces: [String] = ["shop"],
    overlay: SliceOverlay = .service, dns: SliceDNS = .init()
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
      members: clusters.map { SliceMember(cluster: $0, namespaces: namespaces) }, dns: dns)
    apply(try SlicePlan(applying: manifest, to: registers).writes)
  }

  mutating func apply(_ writes: [RegisterWrite]) {
    for write in writes {
      clock += 1
      for cluster in objects.keys { changedPaths[cluster, default: []].append(write.path) }
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
    changedObjects[cluster, default: []].insert(ObjectID(type, key))
  }

  /// What somebody else made of an object.
  mutating func put(_ object: KubernetesObject, _ type: ResourceType, in cluster: String) {
    objects[cluster]?.put(object, type)
    changedObjects[cluster, default: []].insert(ObjectID(type, object.key))
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
              "targetRef": ["kind": "Pod", "namespace": "shop", "name": .string($0.host)],
            ]
          }),
      ], in: cluster)
  }

  mutating func remove(
    _ type: ResourceType, _ name: String, namespace: String = "shop", in cluster: String
  ) {
    let id = ObjectID(type, ObjectKey(namespace: namespace, name: name))
    objects[cluster]?.remove(id)
    changedObjects[cluster, default: []].insert(id)
  }

  /// One pass of one cluster's peer.
  mutating func pass(_ cluster: String) -> [ObjectDiffer.Action] {
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
    let actions = ObjectDiffer.actions(
      planner.desired + statuses, observed: observed,
      managed: ImportPlanner.managed(imports: .serviceImports))
    check(cluster, reachability, against: actions, plan: exports)
    return actions
  }

  /// The peer of a cluster begins anew, knowing nothing.
  mutating func restart(_ cluster: String) {
    planners[cluster] = nil
    views[cluster] = nil
  }

  /// What is planned from changes alone is what is planned from everything.
  private mutating func check(
    _ cluster: String, _ reachability: Reachability, against actions: [ObjectDiffer.Action],
    plan: ServiceExportReconciler.Plan
  ) {
    guard let observed = objects[cluster] else { return }
    var planner =
      planners[cluster] ?? ServicePlanner(.init(cluster: cluster, consent: consent))
    if planner.configuration.consent != consent {
      planner = ServicePlanner(.init(cluster: cluster, consent: consent))
    }
    var view = views[cluster] ?? ClustersetView()
    let isNew = views[cluster] == nil
    var change: ViewChange?
    if isNew {
      view.rebuild(from: registers)
    } else {
      change = view.update(paths: changedPaths[cluster] ?? [], from: registers)
    }
    planner.observe(
      isNew ? nil : changedObjects[cluster] ?? [], in: observed, view, change,
      reachability: ["blue": reachability])
    let exports = planner.readExports(observed, view)
    var allotted = allocators[cluster] ?? [:]
    let again = ServiceExportReconciler.plan(
      view, cluster: cluster, local: exports.services, only: exports.only,
      allocators: &allotted, observed: registers, now: milliseconds)
    #expect(again.writes.isEmpty, "all was written by the pass")
    #expect(allotted == allocators[cluster])
    // The full pass planned on the view before its own writes.
    var complete = ClustersetView()
    complete.rebuild(from: registers)
    let found = planner.plan(observed, view, refusals: [:], now: milliseconds)
    let full = ObjectDiffer.actions(
      ImportPlanner(
        complete, observed,
        .init(
          cluster: cluster, consent: consent, reachability: ["blue": reachability],
          local: planner.local, nowMilliseconds: milliseconds)
      ).desired
        + ExportStatus.desired(
          ExportReader(observed, view: complete, cluster: cluster, consent: consent).findings,
          complete, observed, cluster: cluster, now: milliseconds),
      observed: observed, managed: ImportPlanner.managed(imports: .serviceImports))
    #expect(Set(found.map(Self.timeless)) == Set(full.map(Self.timeless)), "\(cluster)")
    #expect(found.count == full.count)
    #expect(
      planner.addresses.mapValues { $0.filter { !$0.value.isEmpty } }["blue"] ?? [:]
        == addresses(complete, observed, planner.namespaces))
    planners[cluster] = planner
    views[cluster] = view
    changedObjects[cluster] = []
    changedPaths[cluster] = []
  }

  /// Of derived Services, by what they are for.
  private func addresses(
    _ view: ClustersetView, _ objects: ClusterObjects, _ namespaces: [String: String]
  ) -> [ServiceName: [IPAddress]] {
    var out: [ServiceName: [IPAddress]] = [:]
    for service in view.slices["blue"]?.services ?? [] where service.type == .clusterSetIP {
      let key = ObjectKey(
        namespace: service.service.namespace, name: ImportPlanner.derivedName(service.service))
      let derived = objects[ObjectID(.services, key)]
      let list = derived?.spec["clusterIPs"]?.array ?? []
      guard namespaces[key.namespace] == "blue", !list.isEmpty else { continue }
      out[service.service] = list.compactMap { $0.string.flatMap { IPAddress($0) } }
    }
    return out
  }

  private static func timeless(_ action: ObjectDiffer.Action) -> String {
    var json = action.request.body.flatMap { try? JSON(parsing: $0) } ?? .null
    let conditions = json.at("status", "conditions")?.array?.map { condition in
      var out = condition
      out["lastTransitionTime"] = nil
      return out
    }
    if let conditions { json["status"]?["conditions"] = .array(conditions) }
    return "\(action.id) \(action.kind) \(action.resourceVersion) \(json)"
  }

  /// Carries requests out as a server does that has no rules.
  mutating func carryOut(_ action: ObjectDiffer.Action, _ cluster: String) {
    changedObjects[cluster, default: []].insert(action.id)
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

  /// How many endpoints of a service there are here.
  func endpoints(of name: String, in cluster: String) -> Int {
    slices(of: name, in: cluster).reduce(0) { $0 + ($1.json["endpoints"]?.array?.count ?? 0) }
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
