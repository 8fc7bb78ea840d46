public import Slices

/// What a cluster has besides the objects of single services: policies, labels and quotas of namespaces,
/// the DNS hand-over, properties.
/// Planned again only when something that it depends on has changed.
public struct OperatorPlanner: Sendable {
  public struct Configuration: Hashable, Sendable {
    public var cluster: String
    public var clusterSet: String
    /// The peers' namespace.
    public var namespace: String
    public var dns: ClusterDNSPlanner.Adapter
    /// That are handed on to the peers.
    public var zones: [String]

    public init(
      cluster: String, clusterSet: String, namespace: String,
      dns: ClusterDNSPlanner.Adapter = .none, zones: [String] = []
    ) {
      self.cluster = cluster
      self.clusterSet = clusterSet
      self.namespace = namespace
      self.dns = dns
      self.zones = zones
    }
  }

  public let configuration: Configuration
  /// What holds now and people should know, of the last `plan`; `nil` where nothing was planned.
  public private(set) var statements: Set<EventRecorder.Statement>?

  private var kept: [ObjectDiffer.Action] = []
  private var namespaces: [String: String] = [:]
  private var isStale = true

  public init(_ configuration: Configuration) {
    self.configuration = configuration
  }

  /// Types that are watched for it.
  public static let watched: [ResourceType] = [
    .networkPolicies, .resourceQuotas, .clusterProperties, .configMaps,
  ]

  /// - Parameters:
  ///   - changed: objects since the last time; `nil`: all may have.
  ///   - isViewChanged: in more than services.
  public mutating func plan(
    _ view: ClustersetView, _ objects: ClusterObjects, changed: Set<ObjectID>?,
    isViewChanged: Bool, services: ServicePlanner
  ) -> [ObjectDiffer.Action] {
    let isConcerned =
      changed.map { changed in
        changed.contains {
          Self.watched.contains($0.type) || $0.type == .namespaces
            || ($0.type == .services && $0.key.name == ClusterDNSPlanner.serviceName)
        }
      } ?? true
    statements = nil
    guard
      isStale || isConcerned || isViewChanged || !services.readdressed.isEmpty
        || services.namespaces != namespaces
    else { return kept }
    isStale = false
    namespaces = services.namespaces
    var desired = NetworkPolicyPlanner.desired(
      view, namespaces: namespaces, addresses: services.addresses)
    desired += PlacementPlanner.desired(view, namespaces: namespaces, objects)
    desired += ClusterProperties.desired(
      cluster: configuration.cluster, clusterSet: configuration.clusterSet, .clusterProperties)
    kept = ObjectDiffer.actions(
      desired.filter { objects.isServed($0.id.type) }, observed: objects,
      managed: objects.isComplete(.namespaces)
        ? [.networkPolicies, .resourceQuotas, .clusterProperties] : [])
    kept += ClusterDNSPlanner.actions(
      configuration.dns, zones: configuration.zones,
      servers: ClusterDNSPlanner.servers(objects, namespace: configuration.namespace), objects)
    statements = findings(view, objects)
    return kept
  }

  private func findings(
    _ view: ClustersetView, _ objects: ClusterObjects
  ) -> Set<EventRecorder.Statement> {
    var out: Set<EventRecorder.Statement> = []
    for policy in NetworkPolicyPlanner.widening(objects, view, namespaces: namespaces) {
      out.insert(
        EventRecorder.Statement(
          policy, .networkPolicies, isWarning: true, reason: "IsolationWidened",
          note: "this policy lets everybody into or out of a namespace of the isolated slice "
            + "\(namespaces[policy.namespace] ?? "")"))
    }
    for (namespace, slice) in namespaces {
      guard let object = objects[ObjectID(.namespaces, ObjectKey(name: namespace))] else {
        continue
      }
      out.insert(
        EventRecorder.Statement(
          object, .namespaces, reason: "Onboarded", note: "takes part in slice \(slice)"))
    }
    for slice in view.slices(of: configuration.cluster) {
      guard let object = objects[ObjectID(.slices, ObjectKey(name: slice.name))] else { continue }
      for problem in slice.problems.prefix(MirrorPlanner.problemLimit) {
        out.insert(
          EventRecorder.Statement(
            object, .slices, isWarning: true, reason: problem.reason.rawValue,
            note: "\(problem.path): \(problem.message)"))
      }
    }
    return out
  }
}
