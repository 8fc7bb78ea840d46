/// The well-known properties of a cluster in its ClusterSet (KEP-2149, `about.k8s.io`).
public enum ClusterProperties {
  static let clusterName = "cluster.clusterset.k8s.io"
  static let clusterSetName = "clusterset.k8s.io"

  /// - Parameter type: in the version that is served.
  public static func desired(
    cluster: String, clusterSet: String, _ type: ResourceType
  ) -> [DesiredObject] {
    [(clusterName, cluster), (clusterSetName, clusterSet)].map { name, value in
      DesiredObject(type, ObjectKey(name: name), ["spec": ["value": .string(value)]])
    }
  }
}
