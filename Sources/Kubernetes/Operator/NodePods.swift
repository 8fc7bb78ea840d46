internal import Base

/// What is known of the Pods of each node, kept up with what changes.
struct NodePods: Sendable {
  struct Pod: Hashable, Sendable {
    var node: String
    var addresses: [IPAddress]
    /// It has no network of its own: its addresses are the node's.
    var usesHostNetwork: Bool
    var isOptedOut: Bool
    /// It is this replica of the cluster's gateway; of one slice where that is named.
    var gateway: Gateway?
  }

  struct Gateway: Hashable, Sendable {
    var replica: Int
    /// Empty: of all slices.
    var slice: String
  }

  /// What of Pods is read.
  static let keeps = [
    ["metadata", "labels", ObjectNames.optOut], ["metadata", "labels", ObjectNames.gatewayReplica],
    ["metadata", "labels", ObjectNames.podIndex], ["metadata", "labels", ObjectNames.slice],
    ["metadata", "labels", ObjectNames.component], ["spec", "nodeName"], ["spec", "hostNetwork"],
    ["status", "phase"], ["status", "podIP"], ["status", "podIPs"],
  ]

  /// Where gateways run.
  let namespace: String
  private var pods: [ObjectKey: Pod] = [:]
  private var byNode: [String: Set<ObjectKey>] = [:]
  /// Pods that are gateways, by key.
  private(set) var gateways: [ObjectKey: Pod] = [:]
  /// Where each address is; what nodes' own networks share is left out.
  private var places: [IPAddress: ObjectKey] = [:]

  init(namespace: String) {
    self.namespace = namespace
  }

  /// Ascending by key.
  func pods(on node: String) -> [(key: ObjectKey, pod: Pod)] {
    (byNode[node] ?? []).sorted().compactMap { key in pods[key].map { (key, $0) } }
  }

  /// The Pod with this address of its own, and the node that it is on.
  func place(of address: IPAddress) -> (pod: ObjectKey, node: String)? {
    places[address].flatMap { key in pods[key].map { (key, $0.node) } }
  }

  /// - Returns: the nodes that it touches.
  mutating func update(_ key: ObjectKey, _ object: KubernetesObject?) -> Set<String> {
    let old = pods[key]
    let new = object.flatMap { read($0) }
    guard old != new else { return [] }
    if let old {
      byNode[old.node]?.remove(key)
      for address in old.addresses where !old.usesHostNetwork { places[address] = nil }
    }
    pods[key] = new
    if let new {
      byNode[new.node, default: []].insert(key)
      for address in new.addresses where !new.usesHostNetwork { places[address] = key }
    }
    gateways[key] = new?.gateway == nil ? nil : new
    return Set([old?.node, new?.node].compactMap { $0 })
  }

  /// One that is over has given its addresses back: another Pod may have them by now.
  private func read(_ object: KubernetesObject) -> Pod? {
    guard let node = object.spec["nodeName"]?.string, !node.isEmpty,
      !["Succeeded", "Failed"].contains(object.status["phase"]?.string)
    else { return nil }
    return Pod(
      node: node, addresses: Self.addresses(of: object),
      usesHostNetwork: object.spec["hostNetwork"]?.bool ?? false,
      isOptedOut: object.isOptedOut, gateway: gateway(object))
  }

  /// Of both families, ascending; of each there is one at most.
  static func addresses(of pod: KubernetesObject) -> [IPAddress] {
    let listed = (pod.status["podIPs"]?.array ?? []).compactMap { $0["ip"]?.string }
    let texts = listed.isEmpty ? [pod.status["podIP"]?.string].compactMap { $0 } : listed
    return Set(texts.compactMap { IPAddress($0) }).sorted()
  }

  /// Nobody but whoever may make Pods beside the peers makes gateways.
  private func gateway(_ object: KubernetesObject) -> Gateway? {
    guard object.namespace == namespace, !object.isTerminating,
      object.labels[ObjectNames.component] == ObjectNames.gatewayComponent
    else { return nil }
    let index =
      object.labels[ObjectNames.gatewayReplica] ?? object.labels[ObjectNames.podIndex] ?? "0"
    guard let replica = Int(index), replica >= 0 else { return nil }
    return Gateway(replica: replica, slice: object.labels[ObjectNames.slice] ?? "")
  }
}
