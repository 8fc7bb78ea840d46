/// The Multi-Cluster Services API (KEP-1645, `multicluster.x-k8s.io`): its names.
public enum MCS {
  public static let group = "multicluster.x-k8s.io"
  /// Preferred first; what is served is used.
  public static let versions = ["v1beta1", "v1alpha1"]

  /// On EndpointSlices: the imported service, and the cluster that the endpoints are in.
  public static let serviceNameLabel = "multicluster.kubernetes.io/service-name"
  public static let sourceClusterLabel = "multicluster.kubernetes.io/source-cluster"
  /// Of a built-in EndpointSlice: its Service.
  public static let localServiceLabel = "kubernetes.io/service-name"
  /// Who keeps an EndpointSlice. Ours is no name that a built-in controller acts on.
  public static let managedByLabel = "endpointslice.kubernetes.io/managed-by"
  public static let manager = "starling.dev"
  /// On a derived Service and on everything else that is made here: which import it is for.
  public static let derivedFrom = "multicluster.kubernetes.io/derived-from"
}
