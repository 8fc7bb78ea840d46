public import Base
public import Slices

/// What has to be in this cluster for the services of its slices: for each a ServiceImport, the
/// EndpointSlices of its exporters and a derived Service, so that kube-proxy carries the traffic
/// (KEP-1645). A pure function of the converged view and of what the cluster has.
public struct ImportPlanner: Sendable {
  public struct Input: Sendable {
    public var cluster: String
    public var consent: ExportReader.Consent
    /// By slice.
    public var reachability: [String: Reachability]
    /// This cluster's own services with their real endpoints.
    public var local: LocalServices
    /// Families that this cluster gives to Services.
    public var families: Set<IPAddress.Family>
    public var imports: ResourceType
    public var nowMilliseconds: UInt64

    public init(
      cluster: String, consent: ExportReader.Consent = .labelled,
      reachability: [String: Reachability] = [:], local: LocalServices = LocalServices(),
      families: Set<IPAddress.Family> = [.v4], imports: ResourceType = .serviceImports,
      nowMilliseconds: UInt64
    ) {
      self.cluster = cluster
      self.consent = consent
      self.reachability = reachability
      self.local = local
      self.families = families
      self.imports = imports
      self.nowMilliseconds = nowMilliseconds
    }
  }

  /// In the order in which they have to be made.
  public private(set) var desired: [DesiredObject] = []

  private let input: Input
  private let objects: ClusterObjects
  private let own: [ServiceName: LocalService]
  private let index: ServiceIndex

  /// Types that this planner makes objects of.
  public static func managed(imports: ResourceType) -> [ResourceType] {
    [imports, .services, .endpointSlices]
  }

  public init(_ view: ClustersetView, _ objects: ClusterObjects, _ input: Input) {
    self.input = input
    self.objects = objects
    own = Dictionary(
      input.local.services.map { ($0.service, $0) }, uniquingKeysWith: { a, _ in a })
    index = ServiceIndex(objects, imports: input.imports)
    let namespaces = ExportReader.slices(objects, view, input.cluster, input.consent)
    for slice in view.slices(of: input.cluster) where slice.isActive(input.cluster) {
      for service in slice.services where namespaces[service.service.namespace] == slice.name {
        plan(service, in: slice)
      }
    }
  }

  /// Plans some services only.
  ///
  /// - Parameter namespaces: the slice of each that takes part.
  init(
    _ view: ClustersetView, _ objects: ClusterObjects, _ index: ServiceIndex, _ input: Input,
    namespaces: [String: String], only services: Set<ServiceName>
  ) {
    self.input = input
    self.objects = objects
    self.index = index
    own = Dictionary(
      input.local.services.map { ($0.service, $0) }, uniquingKeysWith: { a, _ in a })
    for service in services.sorted() {
      guard let slice = namespaces[service.namespace].flatMap({ view.slices[$0] }),
        slice.isActive(input.cluster), let found = slice.service(service)
      else { continue }
      plan(found, in: slice)
    }
  }

  /// Families that a cluster's Services have had so far; IPv4 where nothing is known.
  public static func families(in objects: ClusterObjects) -> Set<IPAddress.Family> {
    var out: Set<IPAddress.Family> = []
    for service in objects.all(.services) where !ObjectDiffer.isOurs(service) {
      out.formUnion(families(of: service))
      if out.count == 2 { break }
    }
    return out.isEmpty ? [.v4] : out
  }

  static func families(of service: KubernetesObject) -> [IPAddress.Family] {
    (service.spec["clusterIPs"]?.array ?? []).compactMap { address in
      address.string.flatMap { IPAddress($0) }?.family
    }
  }

  /// The derived Service's name: the import's own may be taken by the local Service.
  public static func derivedName(_ service: ServiceName) -> String {
    let digits = String(StableHash.of("\(service)"), radix: 16)
    return "starling-" + String(repeating: "0", count: 16 - digits.utf8.count) + digits
  }

  /// Those of the derived Service: what the service's names resolve to in this cluster.
  static func addresses(of service: ServiceImport, in objects: ClusterObjects) -> [IPAddress] {
    let key = ObjectKey(
      namespace: service.service.namespace, name: derivedName(service.service))
    guard service.type == .clusterSetIP, let derived = objects[ObjectID(.services, key)] else {
      return []
    }
    let list = derived.spec["clusterIPs"]?.array ?? []
    return list.compactMap { $0.string.flatMap { IPAddress($0) } }
  }

  // MARK: One service

  private mutating func plan(_ service: ServiceImport, in slice: SliceView) {
    let key = ObjectKey(namespace: service.service.namespace, name: service.service.name)
    let id = ObjectID(input.imports, key)
    let labels = [ObjectNames.slice: slice.name]
    let derived = ObjectKey(namespace: key.namespace, name: Self.derivedName(service.service))
    let families = self.families(of: service)
    let ips = Self.addresses(of: service, in: objects).map(\.description)
    desired.append(
      DesiredObject(
        input.imports, key,
        labels: labels.merging(
          service.labels.filter { LabelRules.isKey($0.key) && LabelRules.isValue($0.value) }
        ) { mine, _ in mine },
        annotations: service.annotations.filter { LabelRules.isKey($0.key) },
        ["spec": Self.spec(service, ips, families)],
        status: status(service, ips, families, id)))
    guard !families.isEmpty else { return }
    if service.type == .clusterSetIP {
      desired.append(
        DesiredObject(
          .services, derived, labels: labels.merging([MCS.serviceNameLabel: key.name]) { $1 },
          ["spec": Self.derivedSpec(service, families)], owner: id, precedesOwner: true))
    }
    let endpoints = ImportedEndpoints(
      service, in: slice, cluster: input.cluster,
      reachability: input.reachability[slice.name] ?? Reachability(local: input.cluster),
      local: own[service.service]?.reached, objects, index)
    desired += endpoints.desired(
      derived: service.type == .headless ? nil : derived.name, owner: id)
    if slice.dns.clusterLocal { planAlias(key, labels: labels, id) }
  }

  /// The service's own name in the cluster's own domain: an alias, which needs neither an address nor
  /// endpoints of its own. A Service of somebody else is left alone, and ours is let go once somebody
  /// makes it his.
  private mutating func planAlias(_ key: ObjectKey, labels: [String: String], _ owner: ObjectID) {
    let have = objects[ObjectID(.services, key)]
    guard have.map({ ObjectDiffer.isOurs($0) }) ?? true else { return }
    if let have, Self.isTaken(have) {
      return desired.append(DesiredObject(.services, key, extent: .fields))
    }
    let target = "\(key.name).\(key.namespace).svc.\(NameRules.clustersetZone)"
    desired.append(
      DesiredObject(
        .services, key, labels: labels.merging([MCS.serviceNameLabel: key.name]) { $1 },
        ["spec": ["type": "ExternalName", "externalName": .string(target)]], owner: owner))
  }

  /// What `kubectl apply` of a Service of that name leaves of an alias.
  private static func isTaken(_ alias: KubernetesObject) -> Bool {
    let spec = alias.spec
    return spec["type"]?.string != "ExternalName" || spec["ports"]?.array?.isEmpty == false
      || spec["selector"]?.members?.isEmpty == false
  }

  /// In the import's order; empty where this cluster has none of them.
  private func families(of service: ServiceImport) -> [IPAddress.Family] {
    let asked = service.ipFamilies.isEmpty ? input.families.sorted() : service.ipFamilies
    return asked.filter { input.families.contains($0) }
  }

  private static func ports(_ service: ServiceImport) -> JSON {
    .array(
      service.ports.map { port in
        .object([
          "name": port.name.isEmpty ? nil : .string(port.name),
          "port": .integer(Int64(port.port)), "protocol": .string(port.transport.rawValue),
          "appProtocol": port.appProtocol.isEmpty ? nil : .string(port.appProtocol),
        ])
      })
  }

  static func name(_ family: IPAddress.Family) -> JSON {
    family == .v4 ? "IPv4" : "IPv6"
  }

  private static func text(_ text: String) -> JSON? {
    text.isEmpty ? nil : .string(text)
  }

  private static func spec(
    _ service: ServiceImport, _ ips: [String], _ families: [IPAddress.Family]
  ) -> JSON {
    .object([
      "type": .string(service.type.rawValue), "ports": ports(service),
      "ips": ips.isEmpty ? nil : .array(ips.map { .string($0) }),
      "ipFamilies": families.isEmpty ? nil : .array(families.map { name($0) }),
      "sessionAffinity": .string(service.sessionAffinity.name),
      "sessionAffinityConfig": affinityConfig(service.sessionAffinity),
      "internalTrafficPolicy": text(service.internalTrafficPolicy),
      "trafficDistribution": text(service.trafficDistribution),
    ])
  }

  private static func affinityConfig(_ affinity: SessionAffinity) -> JSON? {
    guard case .clientIP(let timeout) = affinity else { return nil }
    return ["clientIP": ["timeoutSeconds": .integer(Int64(timeout))]]
  }

  private func status(
    _ service: ServiceImport, _ ips: [String], _ families: [IPAddress.Family], _ id: ObjectID
  ) -> JSON {
    let observed = objects[id]
    let ready: Condition
    if families.isEmpty {
      ready = Condition(
        "Ready", false, reason: "IPFamilyNotSupported",
        message: "this cluster has none of the service's IP families")
    } else if service.type == .headless || !ips.isEmpty {
      ready = Condition("Ready", true, reason: "Ready", message: staleness(of: service))
    } else {
      ready = Condition("Ready", false, reason: "Pending", message: "no address is allotted yet")
    }
    return [
      "clusters": .array(service.clusters.map { ["cluster": .string($0)] }),
      "conditions": [ready].json(
        over: observed?.status["conditions"], generation: observed?.generation ?? 1,
        now: input.nowMilliseconds),
    ]
  }

  /// Exporters whose control plane is not heard: shown, and withdraws nothing that works.
  private func staleness(of service: ServiceImport) -> String {
    let stale = input.reachability.values.reduce(into: Set<String>()) { $0.formUnion($1.stale) }
    let names = service.clusters.filter { stale.contains($0) }
    return names.isEmpty
      ? "the service can be used" : "not heard of now: \(names.joined(separator: ", "))"
  }

  private static func derivedSpec(
    _ service: ServiceImport, _ families: [IPAddress.Family]
  ) -> JSON {
    let isSingle = service.ports.count == 1
    let ports = service.ports.map { port -> JSON in
      .object([
        // Of several ports each needs a name.
        "name": port.name.isEmpty && isSingle ? nil : .string(portName(port)),
        "port": .integer(Int64(port.port)), "protocol": .string(port.transport.rawValue),
        "targetPort": .integer(Int64(port.targetPort)),
        "appProtocol": appProtocol(port),
      ])
    }
    return .object([
      "type": "ClusterIP", "ports": .array(ports),
      "ipFamilies": .array(families.map { name($0) }),
      "ipFamilyPolicy": families.count > 1 ? "PreferDualStack" : "SingleStack",
      "sessionAffinity": .string(service.sessionAffinity.name),
      "sessionAffinityConfig": affinityConfig(service.sessionAffinity),
      "internalTrafficPolicy": known(service.internalTrafficPolicy, of: trafficPolicies),
      "trafficDistribution": known(service.trafficDistribution, of: trafficDistributions),
    ])
  }

  /// Values that the server takes in a Service; the import shows whatever the exporter said.
  private static let trafficPolicies: Set<String> = ["Cluster", "Local"]
  private static let trafficDistributions: Set<String> = [
    "PreferClose", "PreferSameZone", "PreferSameNode",
  ]

  private static func known(_ text: String, of values: Set<String>) -> JSON? {
    values.contains(text) ? .string(text) : nil
  }

  static func appProtocol(_ port: ServicePort) -> JSON? {
    LabelRules.isKey(port.appProtocol) ? .string(port.appProtocol) : nil
  }

  static func portName(_ port: ServicePort) -> String {
    port.name.isEmpty ? "p\(port.port)-\(port.transport.rawValue.lowercased())" : port.name
  }
}
