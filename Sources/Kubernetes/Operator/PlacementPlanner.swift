public import Slices

/// What slices want their namespaces to carry here: labels, and a ResourceQuota each. Both go when the
/// namespace leaves the slice.
public enum PlacementPlanner {
  /// - Parameter namespaces: the slice of each namespace that takes part.
  public static func desired(
    _ view: ClustersetView, namespaces: [String: String], _ objects: ClusterObjects
  ) -> [DesiredObject] {
    objects.all(.namespaces).flatMap { namespace -> [DesiredObject] in
      let slice = namespaces[namespace.name].flatMap { view.slices[$0] }
      return labels(slice, namespace) + quota(slice, namespace)
    }
  }

  private static func labels(
    _ slice: SliceView?, _ namespace: KubernetesObject
  ) -> [DesiredObject] {
    let labels = slice?.placement.labels ?? [:]
    // Those without labels of ours are nobody's business.
    guard !labels.isEmpty || namespace.annotations[ObjectNames.applied] != nil else { return [] }
    return [DesiredObject(.namespaces, namespace.key, labels: labels, extent: .fields)]
  }

  private static func quota(
    _ slice: SliceView?, _ namespace: KubernetesObject
  ) -> [DesiredObject] {
    guard let slice, !slice.placement.quotas.isEmpty else { return [] }
    let hard: [String: JSON?] = slice.placement.quotas.mapValues { .string($0.description) }
    return [
      DesiredObject(
        .resourceQuotas,
        ObjectKey(namespace: namespace.name, name: NetworkPolicyPlanner.name(of: slice.name)),
        labels: [ObjectNames.slice: slice.name], ["spec": ["hard": .object(hard)]])
    ]
  }
}
