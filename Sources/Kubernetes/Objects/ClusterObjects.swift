/// What this cluster's API server holds, type by type, as far as it is watched.
public struct ClusterObjects: Sendable {
  private var stores: [ResourceType: ObjectStore] = [:]
  /// Types that are not served.
  private var unserved: Set<ResourceType> = []

  public init() {}

  public subscript(type: ResourceType) -> ObjectStore? {
    get { stores[type] }
    set { stores[type] = newValue }
  }

  public subscript(id: ObjectID) -> KubernetesObject? { stores[id.type]?[id.key] }

  /// Ascending by key; empty where the type is not watched.
  public func all(_ type: ResourceType) -> [KubernetesObject] { stores[type]?.objects ?? [] }

  public func isServed(_ type: ResourceType) -> Bool { !unserved.contains(type) }

  public mutating func setServed(_ type: ResourceType, _ isServed: Bool) {
    if isServed { unserved.remove(type) } else { unserved.insert(type) }
  }

  /// Whether absence of an object of this type means that it does not exist.
  public func isComplete(_ type: ResourceType) -> Bool {
    stores[type].map { !$0.isTruncated } ?? false
  }

  /// Puts an object in as a watch would, for planning ahead of the watch and for tests.
  public mutating func put(_ object: KubernetesObject, _ type: ResourceType) {
    _ = stores[type, default: ObjectStore()].put(object, bytes: 0)
  }

  public mutating func remove(_ id: ObjectID) {
    stores[id.type]?.remove(id.key)
  }
}
