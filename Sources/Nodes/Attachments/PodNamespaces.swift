public import Kubernetes

/// Which namespaces of this node's cluster are in a slice of overlay `pod`, as the agent last knew.
/// With it the plugin lets all other Pods pass while the agent is away.
public struct PodNamespaces: Hashable, Sendable {
  /// By namespace, the slice.
  public var slices: [String: String]

  public static let fileName = "namespaces.json"

  public init(slices: [String: String] = [:]) { self.slices = slices }

  public var json: JSON { .object(["namespaces": .texts(slices)]) }

  public init?(_ json: JSON) {
    guard let map = json["namespaces"], map.members != nil else { return nil }
    slices = map.texts
  }
}
