/// The Multi-Cluster Services API (KEP-1645, `multicluster.x-k8s.io`): its names.
public enum MCS {
  public static let group = "multicluster.x-k8s.io"
  /// Preferred first; what is served is used.
  public static let versions = ["v1beta1", "v1alpha1"]

  /// On EndpointSlices: the imported service, and the cluster that the endpoints are in.
  public static let serviceNameLabel = "multicluster.kubernetes.io/service-name"
  public static let sourceClusterLabel = "multicluster.kubernetes.io/source-cluster"
}

/// Names of our own that objects in a cluster carry.
public enum ObjectNames {
  /// Of an EndpointSlice: the Service whose endpoints these are, for kube-proxy.
  public static let serviceName = "kubernetes.io/service-name"
  /// Who keeps an EndpointSlice. Ours is no name that a built-in controller acts on.
  public static let endpointSliceManager = "endpointslice.kubernetes.io/managed-by"
  public static let endpointSliceManagerName = "starling.dev"
  /// On everything that is made here; what does not carry it is never deleted.
  public static let managedBy = "app.kubernetes.io/managed-by"
  public static let manager = "starling"
  /// On everything that is made for a slice; on a Namespace: the local consent to take part in it.
  public static let slice = "starling.dev/slice"
  /// Digest of what was applied last: tells a field that is no longer wanted from a foreign one.
  public static let applied = "starling.dev/applied"
  /// On a ServiceExport: which clusters' endpoints are preferred, and names besides its own.
  public static let affinity = "starling.dev/affinity"
  public static let aliases = "starling.dev/aliases"
  /// On a Pod, with any value but `false`: it stays out of the slice of its namespace.
  public static let optOut = "starling.dev/opt-out"
  /// Of a Pod in the peers' namespace: what it is there for.
  public static let component = "app.kubernetes.io/component"
  public static let gatewayComponent = "gateway"
  /// On a gateway's Pod: its number. A StatefulSet's own label does as well; without both it is 0.
  public static let gatewayReplica = "starling.dev/gateway-replica"
  public static let podIndex = "apps.kubernetes.io/pod-index"
  /// On a gateway's Deployment: where other clusters reach it, `address:port` separated by commas.
  public static let advertise = "starling.dev/advertise"
}
