/// A kind of object that an API server serves: group, version and the names it goes by.
public struct ResourceType: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// Empty for the core group.
  public var group: String
  public var version: String
  /// Lower case, as it stands in paths: `endpointslices`.
  public var plural: String
  public var kind: String
  public var isNamespaced: Bool

  public init(
    group: String = "", version: String = "v1", plural: String, kind: String,
    isNamespaced: Bool = true
  ) {
    self.group = group
    self.version = version
    self.plural = plural
    self.kind = kind
    self.isNamespaced = isNamespaced
  }

  /// `v1`, `discovery.k8s.io/v1`.
  public var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }

  /// `services`, `endpointslices.discovery.k8s.io`: what RBAC and people call it.
  public var description: String { group.isEmpty ? plural : "\(plural).\(group)" }

  public static func < (a: Self, b: Self) -> Bool {
    (a.group, a.plural, a.version) < (b.group, b.plural, b.version)
  }

  public static let namespaces = ResourceType(
    plural: "namespaces", kind: "Namespace", isNamespaced: false)
  public static let nodes = ResourceType(plural: "nodes", kind: "Node", isNamespaced: false)
  public static let pods = ResourceType(plural: "pods", kind: "Pod")
  public static let services = ResourceType(plural: "services", kind: "Service")
  public static let secrets = ResourceType(plural: "secrets", kind: "Secret")
  public static let resourceQuotas = ResourceType(plural: "resourcequotas", kind: "ResourceQuota")
  public static let configMaps = ResourceType(plural: "configmaps", kind: "ConfigMap")
  public static let endpointSlices = ResourceType(
    group: "discovery.k8s.io", plural: "endpointslices", kind: "EndpointSlice")
  public static let leases = ResourceType(
    group: "coordination.k8s.io", plural: "leases", kind: "Lease")
  public static let events = ResourceType(
    group: "events.k8s.io", plural: "events", kind: "Event")
  public static let networkPolicies = ResourceType(
    group: "networking.k8s.io", plural: "networkpolicies", kind: "NetworkPolicy")
  public static let deployments = ResourceType(
    group: "apps", plural: "deployments", kind: "Deployment")
  public static let podDisruptionBudgets = ResourceType(
    group: "policy", plural: "poddisruptionbudgets", kind: "PodDisruptionBudget")
  /// Of a cluster in its ClusterSet (KEP-2149).
  public static let clusterProperties = ResourceType(
    group: "about.k8s.io", version: "v1alpha1", plural: "clusterproperties",
    kind: "ClusterProperty", isNamespaced: false)
  public static let customResourceDefinitions = ResourceType(
    group: "apiextensions.k8s.io", plural: "customresourcedefinitions",
    kind: "CustomResourceDefinition", isNamespaced: false)
  /// Of the Multi-Cluster Services API, in the newer of its versions.
  public static let serviceExports = ResourceType(
    group: MCS.group, version: MCS.versions[0], plural: "serviceexports", kind: "ServiceExport")
  public static let serviceImports = ResourceType(
    group: MCS.group, version: MCS.versions[0], plural: "serviceimports", kind: "ServiceImport")

  /// This project's own: mirrors of what the peer sees, and changes that are handed in.
  public static let slices = own("slices", "Slice")
  public static let clusterPeers = own("clusterpeers", "ClusterPeer")
  public static let sliceGateways = own("slicegateways", "SliceGateway")
  public static let signedChangesets = own("signedchangesets", "SignedChangeset")
  /// What node agents are told.
  public static let nodeNetworks = own("nodenetworks", "NodeNetwork")

  private static func own(_ plural: String, _ kind: String) -> ResourceType {
    ResourceType(
      group: "starling.dev", version: "v1alpha1", plural: plural, kind: kind, isNamespaced: false)
  }

  /// The same objects in another served version.
  public func version(_ version: String) -> ResourceType {
    var out = self
    out.version = version
    return out
  }
}
