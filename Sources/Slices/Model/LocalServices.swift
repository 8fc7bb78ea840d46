public import Base

/// What runs in a standalone cluster: the services file.
///
/// ```yaml
/// services:
///   - namespace: shop
///     name: db
///     ports: [{name: sql, port: 5432, protocol: TCP}]
///     endpoints: [{address: 192.168.7.4, hostname: db-0}]
///     export: {slice: blue, headless: true, aliases: [orders-db], affinity: local}
/// workloads:
///   - {namespace: shop, addresses: [192.168.7.9]}
/// ```
public struct LocalServices: Hashable, Sendable {
  /// In the order of the file; each service once.
  public var services: [LocalService]
  /// Sources of traffic, by namespace. Endpoints are sources of their namespace as well.
  public var workloads: [LocalWorkload]

  public static let serviceLimit = 10_000
  public static let endpointLimit = 5000
  public static let workloadLimit = 10_000

  public init(services: [LocalService] = [], workloads: [LocalWorkload] = []) {
    self.services = services
    self.workloads = workloads
  }

  public init(_ document: Value) throws(ManifestError) {
    let errors = FieldErrors()
    // An empty file is a cluster without services.
    var reader = FieldReader(document == .null ? [:] : document, at: "", errors: errors)
    services = []
    workloads = []
    var seen: Set<ServiceName> = []
    for (item, path) in reader.list("services", limit: Self.serviceLimit) {
      guard let service = LocalService(item, at: path, errors: errors) else { continue }
      if seen.insert(service.service).inserted {
        services.append(service)
      } else {
        errors.add(path, "the service \(service.service) is listed twice")
      }
    }
    for (item, path) in reader.list("workloads", limit: Self.workloadLimit) {
      if let workload = LocalWorkload(item, at: path, errors: errors) {
        workloads.append(workload)
      }
    }
    reader.refuseUnknownFields()
    checkOwners(errors)
    guard errors.isEmpty else { throw errors.result }
  }

  /// One address in two namespaces would let one of them into the other's slice.
  private func checkOwners(_ errors: FieldErrors) {
    var owners: [IPAddress: String] = [:]
    for (index, workload) in workloads.enumerated() {
      for address in workload.addresses {
        if let owner = owners.updateValue(workload.namespace, forKey: address),
          owner != workload.namespace
        {
          errors.add(
            "workloads[\(index)].addresses",
            "\(address) belongs to namespace \(owner) already")
        }
      }
    }
  }

  /// Addresses that speak for a namespace: those of its workloads and of its services' endpoints,
  /// unless another namespace lists the address as its workload's.
  public func addressesByNamespace() -> [String: Set<IPAddress>] {
    var owners: [IPAddress: String] = [:]
    for workload in workloads {
      for address in workload.addresses { owners[address] = workload.namespace }
    }
    for service in services {
      for endpoint in service.endpoints where owners[endpoint.address] == nil {
        owners[endpoint.address] = service.service.namespace
      }
    }
    return owners.reduce(into: [:]) { $0[$1.value, default: []].insert($1.key) }
  }
}

public struct LocalWorkload: Hashable, Sendable {
  public var namespace: String
  public var addresses: [IPAddress]

  public init(namespace: String, addresses: [IPAddress]) {
    self.namespace = namespace
    self.addresses = addresses
  }
}

public struct LocalService: Hashable, Sendable {
  public var service: ServiceName
  public var ports: [ServicePort]
  public var endpoints: [Endpoint]
  /// `nil`: not exported.
  public var export: Export?

  public struct Endpoint: Hashable, Sendable {
    /// The real address in this cluster.
    public var address: IPAddress
    /// Empty where it has none.
    public var hostname: String
    /// Default `true`.
    public var ready: Bool
    /// Where it runs; empty where that is not known.
    public var node: String

    public init(
      address: IPAddress, hostname: String = "", ready: Bool = true, node: String = ""
    ) {
      self.address = address
      self.hostname = hostname
      self.ready = ready
      self.node = node
    }
  }

  public struct Export: Hashable, Sendable {
    public var slice: String
    /// Default `false`.
    public var headless: Bool
    public var aliases: [String]
    /// `nil`: by the slice's DNS policy.
    public var affinity: EndpointAffinity?
    /// What only Kubernetes says of a Service.
    public var traits = Traits()

    public init(
      slice: String, headless: Bool = false, aliases: [String] = [],
      affinity: EndpointAffinity? = nil, traits: Traits = Traits()
    ) {
      self.slice = slice
      self.headless = headless
      self.aliases = aliases
      self.affinity = affinity
      self.traits = traits
    }
  }

  /// Properties of an export that a services file does not have.
  public struct Traits: Hashable, Sendable {
    /// Milliseconds since 1970; `nil`: when it is first seen.
    public var createdMilliseconds: UInt64?
    public var sessionAffinity = SessionAffinity.none
    public var internalTrafficPolicy = ""
    public var trafficDistribution = ""
    public var ipFamilies: [IPAddress.Family] = []
    public var labels: [String: String] = [:]
    public var annotations: [String: String] = [:]

    public init() {}
  }

  public init(
    service: ServiceName, ports: [ServicePort], endpoints: [Endpoint], export: Export? = nil
  ) {
    self.service = service
    self.ports = ports
    self.endpoints = endpoints
    self.export = export
  }
}

extension LocalWorkload {
  static let addressLimit = 4096

  init?(_ value: Value, at path: String, errors: FieldErrors) {
    var reader = FieldReader(value, at: path, errors: errors)
    let namespace = reader.requiredLabel("namespace")
    addresses = reader.texts("addresses", limit: Self.addressLimit, allowed: "an IP address") {
      IPAddress($0)
    }
    reader.refuseUnknownFields()
    guard let namespace else { return nil }
    self.namespace = namespace
  }
}

extension LocalService {
  init?(_ value: Value, at path: String, errors: FieldErrors) {
    var reader = FieldReader(value, at: path, errors: errors)
    let namespace = reader.requiredLabel("namespace")
    let name = reader.requiredLabel("name")
    ports = ServicePort.readList(&reader, strict: true)
    endpoints = []
    var names: Set<String> = []
    for (item, path) in reader.list("endpoints", limit: LocalServices.endpointLimit) {
      var endpoint = FieldReader(item, at: path, errors: errors)
      let address = endpoint.parsed("address", allowed: "an IP address") { IPAddress($0) }
      if endpoint.isAbsent("address") { endpoint.missing("address", allowed: "an IP address") }
      let hostname = endpoint.label("hostname") ?? ""
      let ready = endpoint.bool("ready") ?? true
      endpoint.refuseUnknownFields()
      guard let address else { continue }
      let parsed = Endpoint(address: address, hostname: hostname, ready: ready)
      if names.insert(parsed.name).inserted {
        endpoints.append(parsed)
      } else {
        errors.add(path, "the endpoint \(parsed.name) is listed twice")
      }
    }
    if let export = reader.map("export") { self.export = Export(export) }
    reader.refuseUnknownFields()
    guard let namespace, let name else { return nil }
    service = ServiceName(namespace: namespace, name: name)
  }
}

extension LocalService {
  /// Its endpoints as they are reached in this cluster.
  public var reached: [ServiceEndpoint] {
    endpoints.map {
      ServiceEndpoint(
        address: $0.address, hostname: $0.hostname, node: $0.node, ready: $0.ready)
    }
  }
}

extension LocalService.Endpoint {
  /// What tells it from the others of its service.
  public var name: String { hostname.isEmpty ? "\(address)" : hostname }
}

extension LocalService.Export {
  init?(_ parent: FieldReader) {
    var reader = parent
    let slice = reader.requiredLabel("slice")
    headless = reader.bool("headless") ?? false
    aliases = reader.texts(
      "aliases", limit: ServiceExport.aliasLimit, allowed: "labels joined by dots"
    ) { NameRules.isDomain($0) ? $0 : nil }
    affinity = reader.choice("affinity", of: EndpointAffinity.self)
    reader.refuseUnknownFields()
    guard let slice else { return nil }
    self.slice = slice
  }
}

extension FieldReader {
  mutating func requiredLabel(_ name: String) -> String? {
    if isAbsent(name) { missing(name, allowed: NameRules.labelRule) }
    return label(name)
  }
}
