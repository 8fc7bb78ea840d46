public import Base
public import Slices

/// What this cluster's objects ask to be exported, as local services: the same form that a standalone
/// cluster reads from its file.
public struct ExportReader: Sendable {
  /// Which namespaces take part on this cluster's side, whatever a remote admin signed.
  public enum Consent: String, CaseIterable, Hashable, Sendable {
    /// Those that carry the label `starling.dev/slice` with the slice's name. The default.
    case labelled
    /// All but the cluster's own (`kube-*`).
    case all
  }

  /// What became of one ServiceExport.
  public struct Finding: Hashable, Sendable {
    public var export: ObjectKey
    /// The condition `Valid`.
    public var valid: Condition
    /// The slice that it goes into; `nil` where none takes it.
    public var slice: String?
    /// Why it is not exported although it is valid.
    public var problem: String?
  }

  /// Of exported labels and annotations together: they travel in one register.
  public static let propagatedLimit = 8192

  public private(set) var services = LocalServices()
  /// Ascending by key.
  public private(set) var findings: [Finding] = []

  /// Services that list their Pods under addresses of another family than their slice's: what they
  /// export depends on the Pods themselves.
  public private(set) var throughPods: Set<ServiceName> = []

  private let objects: ClusterObjects
  private let exports: ResourceType
  private let consent: Consent
  /// The slice of each namespace that takes part.
  private let slices: [String: String]
  private let index: ServiceIndex
  /// Pods that serve no slice.
  private let optedOut: Set<ObjectKey>
  /// Of the addresses that a slice gives to endpoints, by slice.
  private let families: [String: IPAddress.Family]

  /// - Parameter exports: ServiceExports in the version that is served.
  public init(
    _ objects: ClusterObjects, exports: ResourceType = .serviceExports, view: ClustersetView,
    cluster: String, consent: Consent
  ) {
    let index = ServiceIndex(objects, exports: exports)
    self.init(
      objects, index, slices: Self.slices(objects, view, cluster, consent), consent: consent,
      optedOut: Set(objects.all(.pods).filter(\.isOptedOut).map(\.key)),
      families: Self.families(view, cluster), only: index.services)
  }

  /// Reads some services only.
  ///
  /// - Parameters:
  ///   - slices: of each namespace that takes part.
  ///   - optedOut: Pods that serve no slice.
  ///   - families: of the addresses that a slice gives to endpoints, by slice.
  public init(
    _ objects: ClusterObjects, _ index: ServiceIndex, slices: [String: String], consent: Consent,
    optedOut: Set<ObjectKey>, families: [String: IPAddress.Family],
    only services: some Sequence<ServiceName>
  ) {
    self.objects = objects
    self.exports = index.exports
    self.consent = consent
    self.slices = slices
    self.index = index
    self.optedOut = optedOut
    self.families = families
    for service in services.sorted() {
      let key = ObjectKey(namespace: service.namespace, name: service.name)
      if let export = objects[ObjectID(exports, key)], !export.isTerminating { read(export) }
    }
  }

  /// Namespaces that take part here, by slice of the view and by local consent.
  ///
  /// - Parameter home: where the peer itself lives; never meant by "every namespace".
  public static func slices(
    _ objects: ClusterObjects, _ view: ClustersetView, _ cluster: String, _ consent: Consent,
    home: String = ""
  ) -> [String: String] {
    var out: [String: String] = [:]
    for slice in view.slices(of: cluster) where slice.isActive(cluster) {
      guard let member = slice.member(cluster) else { continue }
      func admit(_ namespace: KubernetesObject) {
        let name = namespace.key.name
        guard out[name] == nil, member.includes(namespace: name), !namespace.isTerminating,
          !NameRules.isSystemNamespace(name),
          consent == .all || namespace.labels[ObjectNames.slice] == slice.name
        else { return }
        out[name] = slice.name
      }
      if member.namespaces == [SliceMember.everyNamespace] {
        for namespace in objects.all(.namespaces) where namespace.key.name != home {
          admit(namespace)
        }
      } else {
        for name in member.namespaces {
          if let namespace = objects[ObjectID(.namespaces, ObjectKey(name: name))] {
            admit(namespace)
          }
        }
      }
    }
    return out
  }

  /// Without an overlay endpoints are met at whatever addresses they have.
  static func families(
    _ view: ClustersetView, _ cluster: String
  ) -> [String: IPAddress.Family] {
    view.slices(of: cluster).reduce(into: [:]) { out, slice in
      guard let network = slice.network, network.overlay != SliceOverlay.none else { return }
      out[slice.name] = network.cidr?.network.family
    }
  }

  // MARK: One export

  private mutating func read(_ export: KubernetesObject) {
    let key = export.key
    func invalid(_ reason: String, _ message: String) {
      findings.append(
        Finding(export: key, valid: Condition("Valid", false, reason: reason, message: message)))
    }
    // What was made here stands for services of others.
    guard let service = objects[ObjectID(.services, key)], !service.isTerminating,
      !ObjectDiffer.isOurs(service)
    else {
      return invalid("NoService", "there is no Service \(key)")
    }
    guard service.spec["type"]?.string != "ExternalName" else {
      return invalid("InvalidServiceType", "Services of type ExternalName cannot be exported")
    }
    var finding = Finding(
      export: key, valid: Condition("Valid", true, reason: "Valid", message: "the Service exists"))
    finding.slice = slices[key.namespace]
    if let slice = finding.slice {
      finding.problem = add(export, service, to: slice)
    } else {
      finding.problem = refusal(of: key.namespace)
    }
    findings.append(finding)
  }

  private func refusal(of namespace: String) -> String {
    let named = "namespace \(namespace) takes part in no slice"
    guard consent == .labelled else { return named }
    return "\(named): a slice has to name it, and it has to carry the label "
      + "\(ObjectNames.slice) with that slice's name"
  }

  /// - Returns: why it cannot be exported.
  private mutating func add(
    _ export: KubernetesObject, _ service: KubernetesObject, to slice: String
  ) -> String? {
    let key = export.key
    guard NameRules.isLabel(key.name) else { return "\(key.name) is no DNS label" }
    let name = ServiceName(namespace: key.namespace, name: key.name)
    let parts = index.endpointSlices(of: name, in: objects)
    var traits = LocalService.Traits()
    traits.createdMilliseconds = max(1, export.createdMilliseconds)
    traits.sessionAffinity = Self.sessionAffinity(service)
    traits.internalTrafficPolicy = service.spec["internalTrafficPolicy"]?.string ?? ""
    traits.trafficDistribution = service.spec["trafficDistribution"]?.string ?? ""
    let family = families[slice]
    traits.ipFamilies = family.map { [$0] } ?? Self.families(service, parts)
    traits.labels = export.spec["exportedLabels"]?.texts ?? [:]
    traits.annotations = export.spec["exportedAnnotations"]?.texts ?? [:]
    let size = (Array(traits.labels) + Array(traits.annotations))
      .reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
    guard size <= Self.propagatedLimit,
      max(traits.labels.count, traits.annotations.count) <= SlicePlacement.entryLimit
    else {
      return "exported labels and annotations are larger than \(Self.propagatedLimit) bytes"
    }
    let aliases = (export.annotations[ObjectNames.aliases] ?? "").split(separator: ",")
      .map { String($0) }.filter { NameRules.isDomain($0) }
    let endpoints = self.endpoints(parts, of: family)
    services.services.append(
      LocalService(
        service: name, ports: Self.ports(service, parts), endpoints: endpoints.found,
        export: .init(
          slice: slice, headless: service.spec["clusterIP"]?.string == "None",
          aliases: Array(aliases.prefix(ServiceExport.aliasLimit)),
          affinity: export.annotations[ObjectNames.affinity].flatMap {
            EndpointAffinity(rawValue: $0)
          }, traits: traits)))
    guard let family, endpoints.isOther else { return nil }
    throughPods.insert(name)
    guard endpoints.found.isEmpty else { return nil }
    return "slice \(slice) has addresses of \(family == .v4 ? "IPv4" : "IPv6"), and none of the "
      + "Service's endpoints has one"
  }

  // MARK: Services and their endpoints

  private static func sessionAffinity(_ service: KubernetesObject) -> SessionAffinity {
    guard service.spec["sessionAffinity"]?.string == "ClientIP" else { return .none }
    let timeout = service.spec.at("sessionAffinityConfig", "clientIP", "timeoutSeconds")?.integer
    return .clientIP(
      timeoutSeconds: timeout.map { Int(clamping: $0) } ?? SessionAffinity.defaultTimeoutSeconds)
  }

  /// A headless Service without a selector gets both families from the server, whatever the cluster
  /// has; there the endpoints say.
  private static func families(
    _ service: KubernetesObject, _ slices: [KubernetesObject]
  ) -> [IPAddress.Family] {
    let isOpen =
      service.spec["clusterIP"]?.string == "None"
      && (service.spec["selector"]?.members ?? []).isEmpty
    let named = isOpen ? [] : service.spec["ipFamilies"]?.array ?? []
    let found = named.isEmpty ? slices.compactMap { $0.json["addressType"] } : named
    let families = found.compactMap { name -> IPAddress.Family? in
      name.string == "IPv4" ? .v4 : name.string == "IPv6" ? .v6 : nil
    }
    return named.isEmpty ? Set(families).sorted() : families
  }

  /// A port's number at the endpoints stands in their slices, by the port's name; a Service may name
  /// it by a word that differs from Pod to Pod, so the first slice speaks for all.
  static func ports(
    _ service: KubernetesObject, _ slices: [KubernetesObject]
  ) -> [ServicePort] {
    let items = (service.spec["ports"]?.array ?? []).prefix(ServiceExport.portLimit)
    return items.compactMap { item in
      guard let number = item["port"]?.integer.flatMap({ UInt16(exactly: $0) }), number > 0 else {
        return nil
      }
      let name = item["name"]?.string ?? ""
      let found =
        slices.lazy.compactMap { slice in
          slice.json["ports"]?.array?.first { ($0["name"]?.string ?? "") == name }?["port"]?.integer
        }.first ?? item["targetPort"]?.integer
      return ServicePort(
        name: name, port: number,
        transport: item["protocol"]?.string.flatMap { TransportProtocol(rawValue: $0) } ?? .tcp,
        appProtocol: item["appProtocol"]?.string ?? "",
        targetPort: found.flatMap { UInt16(exactly: $0) }.flatMap { $0 > 0 ? $0 : nil })
    }
  }

  private struct Endpoints {
    /// Each address once; the ready one of two with one address, as slices overlap for a moment while
    /// the controller moves an endpoint. Ascending by address.
    var found: [LocalService.Endpoint] = []
    /// Are listed under an address of the other family.
    var isOther = false
  }

  /// - Parameter family: the slice's; `nil`: both are taken.
  private func endpoints(
    _ slices: [KubernetesObject], of family: IPAddress.Family?
  ) -> Endpoints {
    var out: [IPAddress: LocalService.Endpoint] = [:]
    var names: [String: IPAddress] = [:]
    var isOther = false
    for slice in slices {
      for item in slice.json["endpoints"]?.array ?? [] {
        // The first address of an endpoint stands for it (EndpointSlice's API).
        guard var address = item["addresses"]?.array?.first?.string.flatMap({ IPAddress($0) })
        else { continue }
        let pod = Self.pod(of: item, in: slice)
        if let pod, optedOut.contains(pod) { continue }
        if let family, address.family != family {
          isOther = true
          guard let own = pod.flatMap({ self.address(of: $0, family) }) else { continue }
          address = own
        }
        // Absent means ready, and a terminating one is not.
        let isReady = item.at("conditions", "ready")?.bool ?? true
        var hostname = item["hostname"]?.string ?? ""
        if !NameRules.isLabel(hostname) || names[hostname].map({ $0 != address }) == true {
          hostname = ""
        }
        if !hostname.isEmpty { names[hostname] = address }
        if let old = out[address], old.ready { continue }
        out[address] = LocalService.Endpoint(
          address: address, hostname: hostname, ready: isReady,
          node: item["nodeName"]?.string ?? "")
      }
    }
    let found = out.values.sorted { $0.address < $1.address }.prefix(LocalServices.endpointLimit)
    return Endpoints(found: Array(found), isOther: isOther)
  }

  /// A Service of one family lists its Pods under that one; they may have an address of the other.
  private func address(of pod: ObjectKey, _ family: IPAddress.Family) -> IPAddress? {
    objects[ObjectID(.pods, pod)].map { NodePods.addresses(of: $0) }?
      .first { $0.family == family }
  }

  private static func pod(of endpoint: JSON, in slice: KubernetesObject) -> ObjectKey? {
    guard let target = endpoint["targetRef"], target["kind"]?.string == "Pod",
      let name = target["name"]?.string
    else { return nil }
    return ObjectKey(namespace: target["namespace"]?.string ?? slice.namespace, name: name)
  }
}
