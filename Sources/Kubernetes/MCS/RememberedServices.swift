public import Base
public import Slices

/// The imported services as the cluster's own objects have them: what a peer goes by that lost its state,
/// until it has learned it again. Aliases are in no object, so they are not among it.
public struct RememberedServices: Sendable {
  /// Ascending; of each nothing but its services.
  public private(set) var slices: [SliceView] = []
  /// Addresses of imports, by slice.
  public private(set) var addresses: [String: [ServiceName: [IPAddress]]] = [:]

  private typealias Endpoints = [ServiceName: [String: Set<ServiceEndpoint>]]

  /// - Parameter imports: in the version that is served.
  public init(_ objects: ClusterObjects, imports: ResourceType) {
    let endpoints = Self.endpoints(in: objects)
    var services: [String: [ServiceImport]] = [:]
    for object in objects.all(imports) where ObjectDiffer.isOurs(object) {
      let name = ServiceName(namespace: object.namespace, name: object.name)
      guard let slice = object.labels[ObjectNames.slice],
        let service = Self.service(name, object, endpoints[name] ?? [:])
      else { continue }
      services[slice, default: []].append(service)
      let ips = (object.spec["ips"]?.array ?? []).compactMap { $0.string.flatMap { IPAddress($0) } }
      if !ips.isEmpty { addresses[slice, default: [:]][name] = ips }
    }
    slices = services.sorted { $0.key < $1.key }.map { name, services in
      var view = SliceView(name: name)
      view.services = services.sorted { $0.service < $1.service }
      return view
    }
  }

  private static func service(
    _ name: ServiceName, _ object: KubernetesObject, _ endpoints: [String: Set<ServiceEndpoint>]
  ) -> ServiceImport? {
    let told = (object.status["clusters"]?.array ?? []).compactMap { $0["cluster"]?.string }
    let ports = (object.spec["ports"]?.array ?? []).compactMap { port -> ServicePort? in
      guard let number = port["port"]?.integer.flatMap({ UInt16(exactly: $0) }) else { return nil }
      let transport = port["protocol"]?.string.flatMap { TransportProtocol(rawValue: $0) }
      return ServicePort(
        name: port["name"]?.string ?? "", port: number, transport: transport ?? .tcp)
    }
    let type = object.spec["type"]?.string.flatMap { ServiceType(rawValue: $0) }
    let exports = Set(told).union(endpoints.keys).sorted().map { cluster in
      ServiceExport(
        cluster: cluster, service: name, type: type ?? .clusterSetIP, ports: ports,
        endpoints: (endpoints[cluster] ?? []).sorted { $0.address < $1.address })
    }
    return ServiceImport(merging: exports)
  }

  /// By service and source cluster. One endpoint may be in several objects.
  private static func endpoints(in objects: ClusterObjects) -> Endpoints {
    var out: Endpoints = [:]
    for object in objects.all(.endpointSlices) where ObjectDiffer.isOurs(object) {
      guard let name = object.labels[MCS.serviceNameLabel],
        let cluster = object.labels[MCS.sourceClusterLabel]
      else { continue }
      let service = ServiceName(namespace: object.namespace, name: name)
      for item in object.json["endpoints"]?.array ?? [] {
        guard let text = item["addresses"]?.array?.first?.string, let address = IPAddress(text)
        else { continue }
        out[service, default: [:]][cluster, default: []].insert(
          ServiceEndpoint(
            address: address, hostname: item["hostname"]?.string ?? "",
            ready: item.at("conditions", "ready")?.bool ?? true))
      }
    }
    return out
  }
}
