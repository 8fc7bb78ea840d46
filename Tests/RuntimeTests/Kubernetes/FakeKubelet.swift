import Base
import Foundation
import Kubernetes

@testable import Runtime

/// Does for the gateways of one cluster what a controller, a scheduler and a kubelet do: a Pod for each
/// Deployment, each on a Node of its own. With `Wires`, Pods are network namespaces and their containers
/// processes.
actor FakeKubelet {
  struct Pod: Sendable {
    var name: String
    var replica: Int
    var address: String
    var node: String
    /// Its shared folder.
    var folder: String
  }

  private let lab: KubernetesLab
  private let index: Int
  private let wires: GatewayWires?
  /// On a real server the Pods are made by its controllers.
  private let isReal: Bool
  private(set) var pods: [Int: Pod] = [:]
  private var nodes: Set<String> = []
  private var generation = 0

  init(_ lab: KubernetesLab, _ index: Int, wires: GatewayWires? = nil) {
    self.lab = lab
    self.index = index
    self.wires = wires
    isReal = lab.clusters[index].fake == nil
  }

  private var api: APITransport { lab.clusters[index].api }

  private func list(_ type: ResourceType) async throws -> [KubernetesObject] {
    let answer = try await api.send(
      .list(
        type, namespace: lab.namespace, labelSelector: "app.kubernetes.io/component=gateway"))
    return (try JSON(parsing: answer.body)["items"]?.array ?? []).compactMap {
      KubernetesObject($0)
    }
  }

  /// Starts what is missing and ends what is too much; gives how many there are.
  func look() async throws -> Int {
    let wanted = try await list(.deployments).filter { !$0.isTerminating }
    let found = isReal ? try await list(.pods).filter { !$0.isTerminating } : []
    for deployment in wanted {
      guard let label = deployment.labels[ObjectNames.gatewayReplica], let replica = Int(label)
      else { continue }
      let made = found.first { $0.labels[ObjectNames.gatewayReplica] == label }
      if let pod = pods[replica] {
        guard isReal, made?.name != pod.name else { continue }
        try await end(replica)
      }
      if isReal, made == nil { continue }
      try await start(replica, deployment, made)
    }
    let replicas = Set(
      wanted.compactMap { $0.labels[ObjectNames.gatewayReplica].flatMap { Int($0) } })
    for replica in pods.keys where !replicas.contains(replica) { try await end(replica) }
    return pods.count
  }

  private func start(
    _ replica: Int, _ deployment: KubernetesObject, _ made: KubernetesObject?
  ) async throws {
    generation += 1
    let name = made?.name ?? "\(deployment.name)-\(generation)"
    let address = "198.51.100.\(10 + 20 * index + replica)"
    let node = "node\(index)-\(replica)"
    let folder = lab.clusters[index].directory.file("pod-\(index)-\(replica)-\(generation)")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let pod = Pod(name: name, replica: replica, address: address, node: node, folder: folder)
    pods[replica] = pod
    try await registerNode(node, address)
    let key = ObjectKey(namespace: lab.namespace, name: name)
    let template = deployment.spec["template"] ?? .empty
    if isReal {
      let binding: JSON = [
        "apiVersion": "v1", "kind": "Binding", "metadata": ["name": .string(name)],
        "target": ["apiVersion": "v1", "kind": "Node", "name": .string(node)],
      ]
      _ = try await api.send(
        APIRequest(
          .post, path: APIPath.object(ObjectID(.pods, key), subresource: "binding"), body: binding))
    } else {
      try await put(
        .pods, key, template.at("metadata", "labels")?.texts ?? [:],
        ["spec": ["nodeName": .string(node)]])
    }
    try await report(key, address)
    guard let wires else { return }
    let service = try await lab.get(.services, deployment.name, in: index)
    let port = service?.spec["ports"]?.array?.first?["nodePort"]?.integer ?? 0
    try await wires.start(
      pod, containers: template.at("spec", "containers")?.array ?? [], nodePort: Int(port),
      kubeconfig: lab.kubeconfig(index), namespace: lab.namespace)
  }

  func registerNode(_ name: String, _ address: String) async throws {
    nodes.insert(name)
    try await put(.nodes, ObjectKey(name: name), [:], [:])
    try await status(
      .nodes, ObjectKey(name: name),
      ["addresses": [["type": "InternalIP", "address": .string(address)]]])
  }

  /// A Pod that was started elsewhere, as the API shows it.
  func registerPod(
    _ key: ObjectKey, labels: [String: String] = [:], node: String, address: String
  ) async throws {
    try await put(
      .pods, key, labels,
      [
        "spec": [
          "nodeName": .string(node), "containers": [["name": "main", "image": "main"]],
        ]
      ])
    try await report(key, address)
  }

  private func report(_ key: ObjectKey, _ address: String) async throws {
    try await status(
      .pods, key,
      [
        "phase": "Running", "podIP": .string(address), "podIPs": [["ip": .string(address)]],
        "conditions": [["type": "Ready", "status": "True"]],
      ])
  }

  /// Takes away what the Pods left on this machine, and the Nodes of real servers.
  func clear() async {
    for pod in pods.values { try? FileManager.default.removeItem(atPath: pod.folder) }
    guard isReal else { return }
    for node in nodes {
      _ = try? await api.send(.delete(ObjectID(.nodes, ObjectKey(name: node)), uid: ""))
    }
  }

  /// The Pod is gone at once, as after `kubectl delete pod --force`; the next look makes another.
  func end(_ replica: Int) async throws {
    guard let pod = pods.removeValue(forKey: replica) else { return }
    await wires?.stop(pod)
    try? FileManager.default.removeItem(atPath: pod.folder)
    let id = ObjectID(.pods, ObjectKey(namespace: lab.namespace, name: pod.name))
    var request = APIRequest.delete(id, uid: "")
    if isReal { request.target += "?gracePeriodSeconds=0" }
    _ = try await api.send(request)
  }

  private func put(
    _ type: ResourceType, _ key: ObjectKey, _ labels: [String: String], _ members: [String: JSON?]
  ) async throws {
    var object = KubernetesObject(type, key, members)
    object.json["metadata"]?["labels"] = .texts(labels)
    _ = try await api.send(.create(object, type))
  }

  private func status(_ type: ResourceType, _ key: ObjectKey, _ status: JSON) async throws {
    let answer = try await api.send(
      .apply(
        KubernetesObject(type, key, ["status": status]), type, subresource: "status",
        manager: "kubelet"))
    guard answer.isSuccess else { throw answer.failure }
  }
}

extension KubernetesLab {
  func kubeconfig(_ index: Int) -> String {
    index < Self.kubeconfigs.count && clusters[index].fake == nil
      ? Self.kubeconfigs[index] : clusters[index].directory.file("kubeconfig")
  }
}
