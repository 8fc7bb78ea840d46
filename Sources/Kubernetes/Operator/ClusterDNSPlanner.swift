internal import Base

/// Makes the cluster's own DNS hand our zones on to the peers, and undoes it.
public enum ClusterDNSPlanner {
  /// How the cluster's DNS is configured.
  public enum Adapter: String, CaseIterable, Hashable, Sendable {
    /// It is left alone; what was edited is undone.
    case none
    /// `kube-system/coredns`, key `Corefile`.
    case coredns
    /// `kube-system/coredns-custom`, a key of our own (AKS, k3s).
    case custom = "coredns-custom"
  }

  public static let namespace = "kube-system"
  /// Of NodeLocal DNSCache, which Pods ask first where it is there. It asks the cluster's DNS for the
  /// cluster's own domain alone, so it is told of our zones as well.
  static let nodeLocal = ObjectID(
    .configMaps, ObjectKey(namespace: namespace, name: "node-local-dns"))
  static let key = "starling.server"
  /// The Service in the peers' namespace at whose ClusterIP names are answered. Without it, or while it
  /// is being deleted, the cluster's DNS is left as it was before.
  public static let serviceName = "starling-dns"

  static func configMap(_ adapter: Adapter) -> ObjectID {
    ObjectID(
      .configMaps,
      ObjectKey(namespace: namespace, name: adapter == .custom ? "coredns-custom" : "coredns"))
  }

  /// Where names are answered: the Service's addresses; none where there is no such Service.
  public static func servers(_ objects: ClusterObjects, namespace: String) -> [String] {
    let key = ObjectKey(namespace: namespace, name: serviceName)
    guard let service = objects[ObjectID(.services, key)], !service.isTerminating else { return [] }
    return (service.spec["clusterIPs"]?.array ?? []).compactMap(\.string)
      .filter { IPAddress($0) != nil }
  }

  /// A patch with the version that it was made from: who edits at the same time is not overwritten.
  public static func actions(
    _ adapter: Adapter, zones: [String], servers: [String], _ objects: ClusterObjects
  ) -> [ObjectDiffer.Action] {
    [
      edit(configMap(.coredns), adapter == .coredns ? servers : [], zones, objects),
      edit(nodeLocal, adapter == .none ? [] : servers, zones, objects),
      custom(adapter, zones, servers, objects),
    ].compactMap { $0 }
  }

  /// - Parameter servers: none: the edit is undone.
  private static func edit(
    _ id: ObjectID, _ servers: [String], _ zones: [String], _ objects: ClusterObjects
  ) -> ObjectDiffer.Action? {
    guard let map = objects[id], let text = map.json.at("data", "Corefile")?.string else {
      return nil
    }
    let old = Corefile(text)
    let new = old.serving(zones, at: servers)
    return new == old ? nil : patch(map, id, ["Corefile": .string(new.text)])
  }

  private static func custom(
    _ adapter: Adapter, _ zones: [String], _ servers: [String], _ objects: ClusterObjects
  ) -> ObjectDiffer.Action? {
    let id = configMap(.custom)
    let map = objects[id]
    let old = map?.json.at("data", key)?.string
    let wanted =
      adapter == .custom && !servers.isEmpty
      ? Corefile("").serving(zones, at: servers).text : nil
    guard old != wanted else { return nil }
    guard let map else {
      guard let wanted else { return nil }
      let object = KubernetesObject(.configMaps, id.key, ["data": [key: .string(wanted)]])
      return ObjectDiffer.Action(
        id: id, kind: .create, request: .create(object, .configMaps), resourceVersion: "")
    }
    return patch(map, id, [key: wanted.map { .string($0) } ?? .null])
  }

  private static func patch(
    _ map: KubernetesObject, _ id: ObjectID, _ data: JSON
  ) -> ObjectDiffer.Action {
    ObjectDiffer.Action(
      id: id, kind: .update,
      request: .mergePatch(
        id,
        ["metadata": ["resourceVersion": .string(map.resourceVersion)], "data": data]),
      resourceVersion: map.resourceVersion)
  }
}
