public import Base

/// A service that one cluster exports into a slice: the register
/// `slice/<s>/export/<c>/<ns>/<svc>` with the endpoints of its shards.
public struct ServiceExport: Hashable, Sendable {
  public var cluster: String
  public var service: ServiceName
  public var type: ServiceType
  public var ports: [ServicePort]
  /// When the export was made, milliseconds since 1970: the oldest one wins conflicts.
  public var createdMilliseconds: UInt64
  /// Names that the service answers to besides its own.
  public var aliases: [String]
  public var sessionAffinity: SessionAffinity
  /// Which clusters' endpoints are preferred; `nil`: the slice's DNS policy.
  public var affinity: EndpointAffinity?
  /// `Cluster` or `Local` in Kubernetes; empty where it does not apply.
  public var internalTrafficPolicy: String
  public var trafficDistribution: String
  /// In order of preference; empty where it does not apply.
  public var ipFamilies: [IPAddress.Family]
  /// The exported ones only.
  public var labels: [String: String]
  public var annotations: [String: String]
  /// Addresses of the service itself in the exporting cluster's block.
  public var vips: [IPAddress]
  /// Ascending by address.
  public var endpoints: [ServiceEndpoint]

  public static let portLimit = 128
  public static let aliasLimit = 16
  public static let shardLimit = 1000
  /// The most that is read of one.
  public static let endpointsPerShard = 100
  /// How many are put into one: a changed endpoint costs its shard, wherever it is. With a hundred, the 25
  /// of one step of a rolling restart would write most shards of a large service.
  public static let endpointsPerNewShard = 16

  public init(
    cluster: String, service: ServiceName, type: ServiceType = .clusterSetIP,
    ports: [ServicePort] = [], createdMilliseconds: UInt64 = 0, aliases: [String] = [],
    sessionAffinity: SessionAffinity = .none, affinity: EndpointAffinity? = nil,
    internalTrafficPolicy: String = "", trafficDistribution: String = "",
    ipFamilies: [IPAddress.Family] = [], labels: [String: String] = [:],
    annotations: [String: String] = [:], vips: [IPAddress] = [], endpoints: [ServiceEndpoint] = []
  ) {
    self.cluster = cluster
    self.service = service
    self.type = type
    self.ports = ports
    self.createdMilliseconds = createdMilliseconds
    self.aliases = aliases
    self.sessionAffinity = sessionAffinity
    self.affinity = affinity
    self.internalTrafficPolicy = internalTrafficPolicy
    self.trafficDistribution = trafficDistribution
    self.ipFamilies = ipFamilies
    self.labels = labels
    self.annotations = annotations
    self.vips = vips
    self.endpoints = endpoints
  }

  /// The register's value: everything but the endpoints, which have their shards.
  public var value: Value { sectionValue }
}

/// `ClusterSetIP` or `Headless` (KEP-1645).
public enum ServiceType: String, CaseIterable, Hashable, Sendable {
  case clusterSetIP = "ClusterSetIP"
  case headless = "Headless"
}

public struct ServicePort: Hashable, Sendable {
  /// Empty where a service has one port without a name.
  public var name: String
  public var port: UInt16
  public var transport: TransportProtocol
  public var appProtocol: String
  /// Where the endpoints listen; the exporter's own affair, so it makes no conflict.
  public var targetPort: UInt16

  /// - Parameter targetPort: `nil`: the same port.
  public init(
    name: String = "", port: UInt16, transport: TransportProtocol = .tcp, appProtocol: String = "",
    targetPort: UInt16? = nil
  ) {
    self.name = name
    self.port = port
    self.transport = transport
    self.appProtocol = appProtocol
    self.targetPort = targetPort ?? port
  }

  /// As clients see it.
  var face: ServicePort {
    ServicePort(name: name, port: port, transport: transport, appProtocol: appProtocol)
  }
}

public enum SessionAffinity: Hashable, Sendable {
  case none
  case clientIP(timeoutSeconds: Int)

  public static let defaultTimeoutSeconds = 10_800

  /// `None` or `ClientIP`.
  public var name: String { self == .none ? "None" : "ClientIP" }
}

public enum EndpointAffinity: String, CaseIterable, Hashable, Sendable {
  /// The own cluster's endpoints while there are any.
  case local
  /// Other clusters' endpoints while there are any.
  case remote
  case none
}

public struct ServiceEndpoint: Hashable, Sendable {
  /// In the block of the exporting cluster.
  public var address: IPAddress
  /// Empty where the endpoint has none.
  public var hostname: String
  public var node: String
  public var ready: Bool

  public init(address: IPAddress, hostname: String = "", node: String = "", ready: Bool = true) {
    self.address = address
    self.hostname = hostname
    self.node = node
    self.ready = ready
  }
}

extension ServiceExport: SliceSection {
  init(reading reader: inout FieldReader) {
    self.init(cluster: "", service: ServiceName(namespace: "", name: ""))
    type = reader.choice("type", of: ServiceType.self) ?? .clusterSetIP
    ports = ServicePort.readList(&reader)
    createdMilliseconds = UInt64(reader.integer("created", in: 0...Int.max) ?? 0)
    aliases = reader.texts(
      "aliases", limit: Self.aliasLimit, allowed: "labels joined by dots"
    ) { NameRules.isDomain($0) ? $0 : nil }
    let timeout = reader.integer("sessionAffinityTimeoutSeconds", in: 1...86_400)
    switch reader.string("sessionAffinity") {
    case nil, "None": sessionAffinity = .none
    case "ClientIP":
      sessionAffinity = .clientIP(
        timeoutSeconds: timeout ?? SessionAffinity.defaultTimeoutSeconds)
    case .some(let other):
      reader.report(
        "sessionAffinity", "\(FieldReader.quoted(other)) is not known", allowed: "None, ClientIP")
    }
    affinity = reader.choice("affinity", of: EndpointAffinity.self)
    internalTrafficPolicy = reader.string("internalTrafficPolicy") ?? ""
    trafficDistribution = reader.string("trafficDistribution") ?? ""
    ipFamilies = reader.texts("ipFamilies", limit: 2, allowed: "IPv4, IPv6") {
      $0 == "IPv4" ? .v4 : $0 == "IPv6" ? .v6 : nil
    }
    labels = reader.textMap("labels", limit: SlicePlacement.entryLimit)
    annotations = reader.textMap("annotations", limit: SlicePlacement.entryLimit)
    vips = reader.texts("vips", limit: 2, allowed: "an address") { IPAddress($0) }
  }

  fileprivate var sectionValue: Value {
    var writer = FieldWriter(withDefaults: false)
    write(&writer)
    return writer.value
  }

  func write(_ writer: inout FieldWriter) {
    writer.put("type", .string(type.rawValue))
    writer.put("ports", .list(ports.map(\.value)))
    writer.put("created", .integer(Int64(clamping: createdMilliseconds)))
    writer.put("aliases", aliases)
    if case .clientIP(let timeout) = sessionAffinity {
      writer.put("sessionAffinity", "ClientIP")
      writer.put(
        "sessionAffinityTimeoutSeconds", timeout, default: SessionAffinity.defaultTimeoutSeconds)
    }
    if let affinity { writer.put("affinity", .string(affinity.rawValue)) }
    writer.put("internalTrafficPolicy", internalTrafficPolicy, default: "") { .string($0) }
    writer.put("trafficDistribution", trafficDistribution, default: "") { .string($0) }
    writer.put("ipFamilies", ipFamilies.map { $0 == .v4 ? "IPv4" : "IPv6" })
    writer.put("labels", labels)
    writer.put("annotations", annotations)
    writer.put("vips", vips.map(\.description))
  }
}

extension ServicePort {
  static func readList(_ parent: inout FieldReader, strict: Bool = false) -> [ServicePort] {
    var out: [ServicePort] = []
    let items = parent.list("ports", limit: ServiceExport.portLimit)
    for (value, path) in items {
      var reader = FieldReader(value, at: path, errors: parent.errors)
      let name =
        reader.parsed("name", allowed: "a port name of at most 15 of a-z, 0-9 and '-'") {
          NameRules.isPortName($0) || $0.isEmpty ? $0 : nil
        } ?? ""
      let port = reader.integer("port", in: 1...65535)
      if reader.isAbsent("port") { reader.missing("port", allowed: "1 to 65535") }
      let transport = reader.choice("protocol", of: TransportProtocol.self) ?? .tcp
      let appProtocol = reader.string("appProtocol") ?? ""
      let target = reader.integer("targetPort", in: 1...65535)
      if strict { reader.refuseUnknownFields() }
      if items.count > 1, name.isEmpty, reader.isAbsent("name") {
        reader.missing("name", allowed: "a name for each of several ports")
      }
      if !name.isEmpty, out.contains(where: { $0.name == name }) {
        reader.report("name", "\"\(name)\" is listed twice")
      } else if let port {
        out.append(
          ServicePort(
            name: name, port: UInt16(port), transport: transport, appProtocol: appProtocol,
            targetPort: target.map { UInt16($0) }))
      }
    }
    return out
  }

  var value: Value {
    var writer = FieldWriter(withDefaults: false)
    writer.put("name", name, default: "") { .string($0) }
    writer.put("port", .integer(Int64(port)))
    writer.put("protocol", transport, default: .tcp)
    writer.put("appProtocol", appProtocol, default: "") { .string($0) }
    writer.put("targetPort", Int(targetPort), default: Int(port))
    return writer.value
  }
}

/// The register `slice/<s>/export/<c>/<ns>/<svc>/<shard>`.
public struct ExportShard: Hashable, Sendable {
  /// At most `ServiceExport.endpointsPerShard`.
  public var endpoints: [ServiceEndpoint]

  public init(endpoints: [ServiceEndpoint]) {
    self.endpoints = endpoints
  }

  public init(_ value: Value) throws(ManifestError) {
    let errors = FieldErrors()
    var reader = FieldReader(value, at: "", errors: errors)
    endpoints = []
    for (item, path) in reader.list("endpoints", limit: ServiceExport.endpointsPerShard) {
      var endpoint = FieldReader(item, at: path, errors: errors)
      let address = endpoint.parsed("address", allowed: "an address") { IPAddress($0) }
      if endpoint.isAbsent("address") { endpoint.missing("address", allowed: "an address") }
      let hostname = endpoint.label("hostname") ?? ""
      let node = endpoint.string("node") ?? ""
      let ready = endpoint.bool("ready") ?? true
      if let address {
        endpoints.append(
          ServiceEndpoint(address: address, hostname: hostname, node: node, ready: ready))
      }
    }
    guard errors.isEmpty else { throw errors.result }
  }

  public var value: Value {
    [
      "endpoints": .list(
        endpoints.map {
          var writer = FieldWriter(withDefaults: false)
          writer.put("address", .string("\($0.address)"))
          writer.put("hostname", $0.hostname, default: "") { .string($0) }
          writer.put("node", $0.node, default: "") { .string($0) }
          writer.put("ready", $0.ready, default: true)
          return writer.value
        })
    ]
  }
}
