public import Slices

/// Which service each object of a cluster belongs to: what a changed object touches is found without
/// looking at the others.
public struct ServiceIndex: Sendable {
  private struct Group: Sendable {
    /// EndpointSlices of the cluster's own Service.
    var endpoints: Set<ObjectKey> = []
    /// What was made here for the service.
    var made: Set<ObjectID> = []
    var isExported = false
    var hasService = false

    var isEmpty: Bool { endpoints.isEmpty && made.isEmpty && !isExported && !hasService }
  }

  private enum Role: Hashable, Sendable { case export, service, endpoints, made }

  private struct Home: Hashable, Sendable {
    var service: ServiceName
    var role: Role
  }

  /// The types, in the version that is served.
  public let exports: ResourceType
  public let imports: ResourceType
  private var homes: [ObjectID: Home] = [:]
  private var groups: [ServiceName: Group] = [:]

  public init(
    exports: ResourceType = .serviceExports, imports: ResourceType = .serviceImports
  ) {
    self.exports = exports
    self.imports = imports
  }

  /// Of everything that there is.
  public init(
    _ objects: ClusterObjects, exports: ResourceType = .serviceExports,
    imports: ResourceType = .serviceImports
  ) {
    self.init(exports: exports, imports: imports)
    for type in [exports, imports, .services, .endpointSlices] {
      for object in objects.all(type) { put(ObjectID(type, object.key), home(of: object, type)) }
    }
  }

  /// All services that anything was found of.
  public var services: [ServiceName] { Array(groups.keys) }

  public func isExported(_ service: ServiceName) -> Bool { groups[service]?.isExported ?? false }

  /// EndpointSlices of the cluster's own Service, ascending.
  public func endpointSlices(
    of service: ServiceName, in objects: ClusterObjects
  ) -> [KubernetesObject] {
    (groups[service]?.endpoints ?? []).sorted().compactMap {
      objects[ObjectID(.endpointSlices, $0)]
    }
  }

  /// What was made here for the service, ascending.
  public func made(for service: ServiceName) -> [ObjectID] {
    (groups[service]?.made ?? []).sorted()
  }

  /// Takes over what changed.
  ///
  /// - Returns: the services that it touches.
  public mutating func update(
    _ ids: some Sequence<ObjectID>, in objects: ClusterObjects
  ) -> Set<ServiceName> {
    var touched: Set<ServiceName> = []
    for id in ids {
      let old = homes[id]
      let new = objects[id].flatMap { home(of: $0, id.type) }
      if let old { touched.insert(old.service) }
      if let new { touched.insert(new.service) }
      if old != new { put(id, new) }
    }
    return touched
  }

  private mutating func put(_ id: ObjectID, _ new: Home?) {
    if let old = homes[id] {
      change(old, id, isThere: false)
      if groups[old.service]?.isEmpty == true { groups[old.service] = nil }
    }
    homes[id] = new
    if let new { change(new, id, isThere: true) }
  }

  private mutating func change(_ home: Home, _ id: ObjectID, isThere: Bool) {
    switch home.role {
    case .export: groups[home.service, default: Group()].isExported = isThere
    case .service: groups[home.service, default: Group()].hasService = isThere
    case .endpoints where isThere:
      groups[home.service, default: Group()].endpoints.insert(id.key)
    case .endpoints: groups[home.service]?.endpoints.remove(id.key)
    case .made where isThere: groups[home.service, default: Group()].made.insert(id)
    case .made: groups[home.service]?.made.remove(id)
    }
  }

  private func home(of object: KubernetesObject, _ type: ResourceType) -> Home? {
    let named = ServiceName(namespace: object.namespace, name: object.name)
    if type == exports { return Home(service: named, role: .export) }
    guard [imports, .services, .endpointSlices].contains(type) else { return nil }
    // Of gateways; the built-in controller copies a Service's labels to its EndpointSlices.
    if object.labels[ObjectNames.component] == ObjectNames.gatewayComponent { return nil }
    if ObjectDiffer.isOurs(object) {
      // An import goes by its own name; the rest says whose it is.
      let label = type == imports ? nil : object.labels[MCS.serviceNameLabel]
      let service = ServiceName(namespace: named.namespace, name: label ?? named.name)
      return Home(service: service, role: .made)
    }
    if type == .services { return Home(service: named, role: .service) }
    guard type == .endpointSlices, let label = object.labels[ObjectNames.serviceName],
      object.labels[MCS.sourceClusterLabel] == nil,
      object.labels[ObjectNames.endpointSliceManager] != ObjectNames.endpointSliceManagerName
    else { return nil }
    return Home(
      service: ServiceName(namespace: named.namespace, name: label), role: .endpoints)
  }
}
