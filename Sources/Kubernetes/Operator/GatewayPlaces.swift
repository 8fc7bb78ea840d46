public import Base

/// Where the cluster's gateways run and how others reach them, by what the cluster says.
public struct GatewayPlaces: Sendable {
  public struct Pod: Hashable, Sendable {
    public var name: String
    public var replica: Int
    public var node: String
  }

  private let workloads: GatewayWorkloads
  /// Living Pods, ascending by key.
  public private(set) var pods: [ObjectKey: Pod] = [:]

  public init(_ workloads: GatewayWorkloads) {
    self.workloads = workloads
  }

  /// - Parameter changed: since the last time; `nil`: all may have.
  public mutating func update(_ objects: ClusterObjects, changed: Set<ObjectID>?) {
    let namespace = workloads.configuration.namespace
    let keys =
      changed.map { $0.filter { $0.type == .pods && $0.key.namespace == namespace }.map(\.key) }
      ?? (objects[.pods]?.keys ?? []).filter { $0.namespace == namespace }
    if changed == nil { pods = [:] }
    for key in keys { pods[key] = Self.pod(objects[ObjectID(.pods, key)]) }
  }

  private static func pod(_ object: KubernetesObject?) -> Pod? {
    guard let object, !object.isTerminating,
      object.labels[ObjectNames.component] == ObjectNames.gatewayComponent,
      let replica = object.labels[ObjectNames.gatewayReplica].flatMap({ Int($0) }),
      !["Succeeded", "Failed"].contains(object.status["phase"]?.string)
    else { return nil }
    return Pod(
      name: object.name, replica: replica, node: object.spec["nodeName"]?.string ?? "")
  }

  public func pod(_ replica: Int) -> Pod? {
    pods.filter { $0.value.replica == replica }.min { $0.key < $1.key }?.value
  }

  /// Where others reach a gateway, best first: what its Deployment's annotation says, the load balancer,
  /// the external address of its node, what others see it come from, the node's own address.
  ///
  /// - Parameters:
  ///   - advertised: by configuration; before all but the annotation.
  ///   - resolved: addresses of load balancers' host names.
  ///   - seen: addresses that remote gateways see this one come from.
  /// - Returns: `nil` while that is not known: what was published stays.
  public func endpoints(
    _ replica: Int, _ exposure: GatewayWorkloads.Exposure, in objects: ClusterObjects,
    advertised: [IPEndpoint] = [], resolved: [String: [IPAddress]] = [:], seen: [IPAddress] = []
  ) -> [IPEndpoint]? {
    if exposure == .hidden { return [] }
    let text = objects[workloads.id(.deployments, replica)]?.annotations[ObjectNames.advertise]
    let told = (text ?? "").split(separator: ",").compactMap {
      IPEndpoint(String($0.filter { $0 != " " }))
    }
    if !told.isEmpty { return told }
    if !advertised.isEmpty { return advertised }
    let service = objects[workloads.id(.services, replica)]
    if exposure == .loadBalancer {
      let ingress = service?.status.at("loadBalancer", "ingress")?.array ?? []
      let addresses = ingress.flatMap { entry -> [IPAddress] in
        if let address = entry["ip"]?.string.flatMap({ IPAddress($0) }) { return [address] }
        return entry["hostname"]?.string.flatMap { resolved[$0] } ?? []
      }
      let port = UInt16(clamping: workloads.configuration.port)
      if !addresses.isEmpty { return addresses.map { IPEndpoint($0, port: port) } }
    }
    return atNode(replica, exposure, service, objects, seen)
  }

  private func atNode(
    _ replica: Int, _ exposure: GatewayWorkloads.Exposure, _ service: KubernetesObject?,
    _ objects: ClusterObjects, _ seen: [IPAddress]
  ) -> [IPEndpoint]? {
    let open: Int64? =
      exposure == .hostPort
      ? Int64(workloads.configuration.port)
      : service?.spec["ports"]?.array?.first?["nodePort"]?.integer
    guard let open, (1...65535).contains(open), let pod = pod(replica), !pod.node.isEmpty,
      let node = objects[ObjectID(.nodes, ObjectKey(name: pod.node))]
    else { return nil }
    let listed = node.status["addresses"]?.array ?? []
    func addresses(_ type: String) -> [IPAddress] {
      listed.filter { $0["type"]?.string == type }
        .compactMap { $0["address"]?.string.flatMap { IPAddress($0) } }
    }
    let external = addresses("ExternalIP")
    var all = external
    if external.isEmpty { all = seen.sorted() + addresses("InternalIP") }
    var known: Set<IPAddress> = []
    let unique = all.filter { known.insert($0).inserted }
    return unique.isEmpty ? nil : unique.map { IPEndpoint($0, port: UInt16(open)) }
  }

  /// Host names of load balancers, to be looked up again and again.
  public func hostNames(_ replicas: some Sequence<Int>, in objects: ClusterObjects) -> Set<String> {
    Set(
      replicas.flatMap { replica in
        (objects[workloads.id(.services, replica)]?.status.at("loadBalancer", "ingress")?.array
          ?? []).compactMap { $0["hostname"]?.string }
      })
  }
}
