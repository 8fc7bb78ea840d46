public import Base
public import Slices

/// Keeps the plans of all services and makes anew those that a change touches: one changed endpoint
/// costs its service, however many there are.
///
/// One pass is `observe`, `readExports`, `plan`. What any service's plan depends on (the view, the
/// namespaces that take part, what can be reached) is compared with the pass before; where it differs
/// the services concerned are planned again.
public struct ServicePlanner: Sendable {
  public struct Configuration: Hashable, Sendable {
    public var cluster: String
    public var consent: ExportReader.Consent
    /// Where the peer lives.
    public var home: String
    /// In the version that is served.
    public var exports: ResourceType
    public var imports: ResourceType

    public init(
      cluster: String, consent: ExportReader.Consent, home: String = "",
      exports: ResourceType = .serviceExports, imports: ResourceType = .serviceImports
    ) {
      self.cluster = cluster
      self.consent = consent
      self.home = home
      self.exports = exports
      self.imports = imports
    }
  }

  /// What is planned of one service.
  private struct Entry: Sendable {
    var slice: String?
    var finding: ExportReader.Finding?
    var local: LocalService?
    var refusal: String?
    var actions: [ObjectDiffer.Action] = []
  }

  public let configuration: Configuration
  /// The slice of each namespace that takes part.
  public private(set) var namespaces: [String: String] = [:]
  /// By slice: addresses of derived Services, what names resolve to in this cluster.
  public private(set) var addresses: [String: [ServiceName: [IPAddress]]] = [:]
  /// Services whose `addresses` changed in the last `readExports`.
  public private(set) var readdressed: Set<ServiceName> = []
  /// What is behind this cluster's own exports, as it is reached from here.
  public private(set) var localEndpoints: [ServiceName: [ServiceEndpoint]] = [:]
  /// Services whose `localEndpoints` changed in the last `readExports`.
  public private(set) var relocated: Set<ServiceName> = []
  /// What the last `plan` changes in the state of exports, for people.
  public private(set) var statements: [ServiceName: Set<EventRecorder.Statement>] = [:]
  /// Services of the last `plan`.
  public private(set) var planned: Set<ServiceName> = []

  private var index: ServiceIndex
  private var entries: [ServiceName: Entry] = [:]
  private var unsettled: Set<ServiceName> = []
  private var dirty: Set<ServiceName> = []
  private var families: Set<IPAddress.Family> = []
  /// Pods that serve no slice.
  private var optedOut: Set<ObjectKey> = []
  /// Services whose endpoints are known by their Pods alone.
  private var throughPods: Set<ServiceName> = []
  /// Of the addresses that a slice gives to endpoints, by slice.
  private var sliceFamilies: [String: IPAddress.Family] = [:]
  private var reachability: [String: Reachability] = [:]
  private var isWhole = true
  private var isFirst = true

  public init(_ configuration: Configuration) {
    self.configuration = configuration
    index = ServiceIndex(exports: configuration.exports, imports: configuration.imports)
  }

  /// Types whose absence in a bounded store would be taken for deletion.
  var sources: [ResourceType] {
    [.services, .endpointSlices, configuration.exports, .namespaces]
  }

  // MARK: What changed

  /// - Parameters:
  ///   - ids: objects that changed; `nil`: all may have.
  ///   - change: of the view; `nil`: all may have.
  ///   - reachability: by slice.
  public mutating func observe(
    _ ids: Set<ObjectID>?, in objects: ClusterObjects, _ view: ClustersetView,
    _ change: ViewChange?, reachability: [String: Reachability]
  ) {
    let isWhole = sources.allSatisfy { objects.isComplete($0) }
    if let ids, !isFirst, isWhole == self.isWhole {
      dirty.formUnion(index.update(ids, in: objects))
      noteFamilies(ids, objects)
    } else {
      index = ServiceIndex(
        objects, exports: configuration.exports, imports: configuration.imports)
      families = ImportPlanner.families(in: objects)
      dirty.formUnion(index.services)
      dirty.formUnion(entries.keys)
    }
    self.isWhole = isWhole
    noteOptOuts(ids, objects)
    notePods(ids)
    noteNamespaces(ids, objects, view, change)
    noteView(view, change)
    noteReachability(reachability, view)
    isFirst = false
  }

  /// A family that Services have had stays one of the cluster's until everything is read again.
  private mutating func noteFamilies(_ ids: Set<ObjectID>, _ objects: ClusterObjects) {
    guard families.count < 2 else { return }
    for id in ids where id.type == .services {
      guard let service = objects[id], !ObjectDiffer.isOurs(service) else { continue }
      let found = ImportPlanner.families(of: service)
      if !families.isSuperset(of: found) {
        families = ImportPlanner.families(in: objects)
        dirty.formUnion(entries.keys)
        return
      }
    }
  }

  /// A Pod's label changes seldom: then its namespace's exports are read again.
  private mutating func noteOptOuts(_ ids: Set<ObjectID>?, _ objects: ClusterObjects) {
    let old = optedOut
    if let ids, !isFirst {
      for id in ids where id.type == .pods {
        if objects[id]?.isOptedOut == true {
          optedOut.insert(id.key)
        } else {
          optedOut.remove(id.key)
        }
      }
    } else {
      optedOut = Set(objects.all(.pods).filter(\.isOptedOut).map(\.key))
    }
    guard old != optedOut else { return }
    let namespaces = Set(old.symmetricDifference(optedOut).map(\.namespace))
    dirty.formUnion(
      index.services.filter { namespaces.contains($0.namespace) && index.isExported($0) })
  }

  /// A Pod may be known later than the EndpointSlice that lists it.
  private mutating func notePods(_ ids: Set<ObjectID>?) {
    guard let ids, !throughPods.isEmpty else { return }
    let namespaces = Set(ids.lazy.filter { $0.type == .pods }.map(\.key.namespace))
    dirty.formUnion(throughPods.filter { namespaces.contains($0.namespace) })
  }

  private mutating func noteNamespaces(
    _ ids: Set<ObjectID>?, _ objects: ClusterObjects, _ view: ClustersetView, _ change: ViewChange?
  ) {
    let mayDiffer =
      isFirst || ids == nil || change?.slices.isEmpty != true
      || ids?.contains { $0.type == .namespaces } == true
    guard mayDiffer else { return }
    let old = namespaces
    namespaces = ExportReader.slices(
      objects, view, configuration.cluster, configuration.consent, home: configuration.home)
    let changed = Set(old.keys).union(namespaces.keys).filter { old[$0] != namespaces[$0] }
    guard !changed.isEmpty else { return }
    dirty.formUnion(index.services.filter { changed.contains($0.namespace) })
    for slice in view.slices(of: configuration.cluster) {
      dirty.formUnion(slice.services.map(\.service).filter { changed.contains($0.namespace) })
    }
    dirty.formUnion(entries.keys.filter { changed.contains($0.namespace) })
  }

  private mutating func noteView(_ view: ClustersetView, _ change: ViewChange?) {
    let whole = change?.slices ?? Set(view.slices.keys)
    if !whole.isEmpty { sliceFamilies = ExportReader.families(view, configuration.cluster) }
    for name in whole { dirty.formUnion(view.slices[name]?.services.map(\.service) ?? []) }
    dirty.formUnion(
      entries.filter { entry in
        change == nil || entry.value.slice.map { whole.contains($0) } ?? false
      }.keys)
    for services in change?.services.values.map({ $0 }) ?? [] { dirty.formUnion(services) }
  }

  private mutating func noteReachability(
    _ next: [String: Reachability], _ view: ClustersetView
  ) {
    for (name, slice) in view.slices {
      func counts(_ all: [String: Reachability]) -> Reachability? {
        // Stale clusters show in an import's status.
        all[name].map { value in
          var out = value.whatCounts(for: slice.dns.policy)
          out.stale = value.stale
          return out
        }
      }
      if counts(reachability) != counts(next) {
        dirty.formUnion(slice.services.map(\.service))
      }
    }
    reachability = next
  }

  // MARK: Exports

  /// What the services that changed want to export.
  public struct Exports: Sendable {
    public var services: LocalServices
    /// Those that were looked at.
    public var only: Set<ServiceName>
    /// What is not known for lack of room may well exist: nothing may be withdrawn.
    public var mayWithdraw: Bool
  }

  public mutating func readExports(
    _ objects: ClusterObjects, _ view: ClustersetView
  ) -> Exports {
    let reader = ExportReader(
      objects, index, slices: namespaces, consent: configuration.consent,
      optedOut: optedOut, families: sliceFamilies, only: dirty)
    throughPods = throughPods.subtracting(dirty).union(reader.throughPods)
    for service in dirty { entries[service, default: Entry()].finding = nil }
    for service in dirty { entries[service]?.local = nil }
    for finding in reader.findings {
      let service = ServiceName(namespace: finding.export.namespace, name: finding.export.name)
      entries[service]?.finding = finding
    }
    for local in reader.services.services { entries[local.service]?.local = local }
    readdressed = []
    for service in dirty { place(service, objects, view) }
    relocated = dirty.filter { localEndpoints[$0] != entries[$0]?.local?.reached }
    for service in relocated { localEndpoints[service] = entries[service]?.local?.reached }
    return Exports(services: reader.services, only: dirty, mayWithdraw: isWhole)
  }

  // MARK: Objects

  /// - Parameter refusals: why services that were looked at are not exported.
  /// - Returns: all requests that are left, of whichever pass, by service.
  public mutating func plan(
    _ objects: ClusterObjects, _ view: ClustersetView, refusals: [ServiceName: String],
    now milliseconds: UInt64
  ) -> [ObjectDiffer.Action] {
    planned = dirty
    let local = LocalServices(services: dirty.compactMap { entries[$0]?.local })
    let imports = ImportPlanner(
      view, objects, index,
      .init(
        cluster: configuration.cluster, consent: configuration.consent,
        reachability: reachability, local: local, families: families,
        imports: configuration.imports, nowMilliseconds: milliseconds),
      namespaces: namespaces, only: dirty)
    let statuses = ExportStatus.desired(
      dirty.compactMap { entries[$0]?.finding }, view, objects, cluster: configuration.cluster,
      exports: configuration.exports, refusals: refusals, now: milliseconds)
    var desired: [ServiceName: [DesiredObject]] = [:]
    for object in imports.desired { desired[self.service(of: object), default: []].append(object) }
    statements = [:]
    for object in statuses {
      let service = self.service(of: object)
      desired[service, default: []].append(object)
      if let export = objects[object.id], let status = object.status {
        statements[service] = ExportStatus.statements(status, export, object.id.type)
      }
    }
    for service in dirty {
      entries[service]?.refusal = refusals[service]
      let actions = ObjectDiffer.actions(
        (desired[service] ?? []).filter { objects.isServed($0.id.type) }, observed: objects,
        made: index.made(for: service), mayDelete: isWhole)
      entries[service]?.actions = actions
      if actions.isEmpty { unsettled.remove(service) } else { unsettled.insert(service) }
      if actions.isEmpty, desired[service] == nil, entries[service]?.finding == nil {
        entries[service] = nil
      }
    }
    dirty = []
    return unsettled.sorted().flatMap { entries[$0]?.actions ?? [] }
  }

  /// Notes the slice of a service, and its addresses in this cluster.
  private mutating func place(
    _ service: ServiceName, _ objects: ClusterObjects, _ view: ClustersetView
  ) {
    let slice = namespaces[service.namespace]
    let found = slice.flatMap { view.slices[$0] }.flatMap { slice in
      slice.isActive(configuration.cluster) ? slice.service(service) : nil
    }
    let new = found.map { ImportPlanner.addresses(of: $0, in: objects) } ?? []
    if let old = entries[service]?.slice, old != slice, addresses[old]?[service] != nil {
      addresses[old]?[service] = nil
      readdressed.insert(service)
    }
    if let slice, addresses[slice]?[service] ?? [] != new {
      addresses[slice, default: [:]][service] = new.isEmpty ? nil : new
      readdressed.insert(service)
    }
    entries[service]?.slice = slice
  }

  /// Objects of a service carry its name, or are named as it is.
  private func service(of object: DesiredObject) -> ServiceName {
    let label =
      [configuration.imports, configuration.exports].contains(object.id.type)
      ? nil : object.object.labels[MCS.serviceNameLabel]
    return ServiceName(namespace: object.id.key.namespace, name: label ?? object.id.key.name)
  }

  /// Why services are not exported although they ask for it, ascending.
  public var refusals: [(service: ServiceName, reason: String)] {
    entries.compactMap { service, entry in
      (entry.finding?.problem ?? entry.refusal).map { (service, $0) }
    }.sorted { $0.service < $1.service }
  }

  /// What a service exports; `nil`: nothing.
  public func local(_ service: ServiceName) -> LocalService? { entries[service]?.local }

  /// All that is exported, ascending, for whoever carries the traffic.
  public var local: LocalServices {
    LocalServices(
      services: entries.compactMap(\.value.local).sorted { $0.service < $1.service })
  }
}
