internal import Base
internal import Slices

/// The EndpointSlices of one imported service, one source cluster each. An exporter that cannot be
/// reached has none; what is not selected (affinity, drained) is in slices that kube-proxy does not
/// see, for whoever reads the API.
struct ImportedEndpoints {
  private let service: ServiceImport
  private let slice: SliceView
  private let cluster: String
  private let reachability: Reachability
  /// Behind this cluster's own export.
  private let local: [ServiceEndpoint]?
  private let objects: ClusterObjects
  private let index: ServiceIndex

  init(
    _ service: ServiceImport, in slice: SliceView, cluster: String, reachability: Reachability,
    local: [ServiceEndpoint]?, _ objects: ClusterObjects, _ index: ServiceIndex
  ) {
    self.service = service
    self.slice = slice
    self.cluster = cluster
    self.reachability = reachability
    self.local = local
    self.objects = objects
    self.index = index
  }

  /// - Parameter derived: the Service that they are of; `nil`: a headless one has none.
  func desired(derived: String?, owner: ObjectID) -> [DesiredObject] {
    let offers = self.offers
    var out: [DesiredObject] = []
    for export in service.exports {
      guard let offer = offers[export.cluster], offer.isKept || canReach(export) else { continue }
      let home = Home(export: export, derived: derived, owner: owner)
      guard derived != nil else {
        out += objects(home, offer.selected + offer.others)
        continue
      }
      if !offer.selected.isEmpty { out += objects(home, offer.selected) }
      if !offer.others.isEmpty || offer.selected.isEmpty {
        out += objects(home, offer.others, isAside: true)
      }
    }
    return out
  }

  // MARK: Ports

  /// What an exporter has of the service's ports.
  private struct Offer {
    /// Those for which it is chosen.
    var selected: [ServicePort] = []
    var others: [ServicePort] = []
    /// It cannot be reached, and is the last that there was.
    var isKept = false
  }

  private func canReach(_ export: ServiceExport) -> Bool {
    reachability.canReach(export.cluster)
  }

  /// Each port is served by the best of those that have it: what only another cluster exports is
  /// reached there, whatever the own cluster has besides.
  private var offers: [String: Offer] {
    let whole = EndpointSelection(service, dns: slice.dns, reachability: reachability)
    let none = Offer(isKept: whole.keptLast)
    var out = Dictionary(
      service.exports.map { ($0.cluster, none) }, uniquingKeysWith: { a, _ in a })
    for port in service.ports {
      // A port that lost a conflict is none of the service's, whatever answers there.
      let offered = service.exports.map { export in
        export.ports.first {
          $0.name == port.name && $0.port == port.port && $0.transport == port.transport
        }
      }
      var choice = service
      choice.exports = zip(service.exports, offered).filter { $0.1 != nil }.map(\.0)
      let selection = EndpointSelection(choice, dns: slice.dns, reachability: reachability)
      for case (let export, let port?) in zip(service.exports, offered) {
        if selection.clusters.contains(export.cluster) {
          out[export.cluster]?.selected.append(port)
        } else {
          out[export.cluster]?.others.append(port)
        }
        if selection.keptLast { out[export.cluster]?.isKept = true }
      }
    }
    return out
  }

  // MARK: Objects

  private struct Home {
    var export: ServiceExport
    var derived: String?
    var owner: ObjectID
  }

  /// - Parameter isAside: kube-proxy is not to use them. It passes over an object that lost its
  ///   `kubernetes.io/service-name`, and would go on with what that said before; so these are other
  ///   objects, and those that it uses are deleted.
  private func objects(
    _ home: Home, _ offered: [ServicePort], isAside: Bool = false
  ) -> [DesiredObject] {
    var labels = [
      ObjectNames.slice: slice.name, MCS.serviceNameLabel: service.service.name,
      MCS.sourceClusterLabel: home.export.cluster,
      ObjectNames.endpointSliceManager: ObjectNames.endpointSliceManagerName,
    ]
    if !isAside, let derived = home.derived { labels[ObjectNames.serviceName] = derived }
    let isSingle = service.ports.count == 1
    let ports = JSON.array(
      offered.map { port in
        .object([
          "name": port.name.isEmpty && isSingle ? "" : .string(ImportPlanner.portName(port)),
          "port": .integer(Int64(port.targetPort)),
          "protocol": .string(port.transport.rawValue),
          "appProtocol": ImportPlanner.appProtocol(port),
        ])
      })
    return parts(of: home.export, isAside: isAside).map { part in
      DesiredObject(
        .endpointSlices, part.key, labels: labels,
        [
          "addressType": ImportPlanner.name(part.family), "ports": ports,
          "endpoints": .array(part.endpoints.map { Self.endpoint($0) }),
        ], owner: home.owner)
    }
  }

  private static func endpoint(_ endpoint: ServiceEndpoint) -> JSON {
    .object([
      "addresses": [.string("\(endpoint.address)")],
      "conditions": ["ready": .bool(endpoint.ready)],
      "hostname": endpoint.hostname.isEmpty ? nil : .string(endpoint.hostname),
    ])
  }

  // MARK: Parts

  /// As the cluster's own controller has it by default.
  private static let endpointsPerSlice = 100

  private struct Part {
    var key: ObjectKey
    var family: IPAddress.Family
    var endpoints: [ServiceEndpoint]
  }

  /// Endpoints stay in the slice that they are in, and new ones fill the first with room: a change
  /// costs the slices that it touches. At least one slice, so that the exporter shows.
  private func parts(of export: ServiceExport, isAside: Bool) -> [Part] {
    // Local Pods are reached as they are; those of others by their slice addresses.
    let all = export.cluster == cluster ? local ?? export.endpoints : export.endpoints
    var out: [Part] = []
    for family in Set(all.map(\.address.family)).union(all.isEmpty ? [.v4] : []).sorted() {
      let name = service.service.name
      let prefix =
        "\(name)-\(export.cluster)-\(family == .v4 ? "4" : "6")-\(isAside ? "x" : "")"
      let home = places(ofObjectsNamed: prefix)
      var parts: [Int: [ServiceEndpoint]] = [:]
      var homeless: [ServiceEndpoint] = []
      for endpoint in all where endpoint.address.family == family {
        if let index = home[endpoint.address] {
          parts[index, default: []].append(endpoint)
        } else {
          homeless.append(endpoint)
        }
      }
      var index = 0
      for endpoint in homeless {
        while parts[index]?.count ?? 0 >= Self.endpointsPerSlice { index += 1 }
        parts[index, default: []].append(endpoint)
      }
      if parts.isEmpty { parts[0] = [] }
      for (index, endpoints) in parts.sorted(by: { $0.key < $1.key }) {
        out.append(
          Part(
            key: ObjectKey(namespace: service.service.namespace, name: "\(prefix)\(index)"),
            family: family, endpoints: endpoints.sorted { $0.address < $1.address }))
      }
    }
    return out
  }

  /// In which of the objects each address is.
  private func places(ofObjectsNamed prefix: String) -> [IPAddress: Int] {
    var out: [IPAddress: Int] = [:]
    for id in index.made(for: service.service) where id.type == .endpointSlices {
      guard id.key.name.hasPrefix(prefix), let object = objects[id],
        let number = Int(id.key.name.dropFirst(prefix.count))
      else { continue }
      for item in object.json["endpoints"]?.array ?? [] {
        if let address = item["addresses"]?.array?.first?.string.flatMap({ IPAddress($0) }) {
          out[address] = number
        }
      }
    }
    return out
  }
}
