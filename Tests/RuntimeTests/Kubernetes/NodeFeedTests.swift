import Base
import Foundation
import Kubernetes
import Logging
import Nodes
import ServiceLifecycle
import Slices
import Synchronization
import Testing

@testable import Runtime

/// From Nodes and Pods at the API server to the document of a node's agent.
@Suite(.serialized) struct NodeFeedTests {
  private func put(
    _ type: ResourceType, _ name: String, in namespace: String = "", _ members: [String: JSON?],
    _ lab: KubernetesLab
  ) async throws {
    let key = ObjectKey(namespace: namespace, name: name)
    let api = lab.clusters[0].api
    let status = members["status"] ?? nil
    _ = try await api.send(.create(KubernetesObject(type, key, members), type))
    guard let status else { return }
    var request = APIRequest.apply(
      KubernetesObject(type, key, ["status": status]), type, subresource: "status")
    request.target = request.target.replacing("fieldManager=starling", with: "fieldManager=kubelet")
    let answer = try await api.send(request)
    guard answer.isSuccess else { throw answer.failure }
  }

  private func pod(_ name: String, _ address: String, _ lab: KubernetesLab) async throws {
    try await put(
      .pods, name, in: lab.namespace,
      [
        "spec": ["nodeName": "node0"],
        "status": ["phase": "Running", "podIPs": [["ip": .string(address)]]],
      ], lab)
  }

  private func sources(_ path: String) -> [String]? {
    guard let data = FileManager.default.contents(atPath: path),
      let document = try? NodeDocument(try JSON(parsing: Array(data)))
    else { return nil }
    return document.slices.first?.sources.map(\.description)
  }

  @Test func theAgentIsToldWhatTheClusterHas() async throws {
    let lab = try await KubernetesLab(1)
    let fake = try #require(lab.clusters[0].fake)
    for number in 0..<2 {
      try await put(
        .nodes, "node\(number)",
        [
          "status": [
            "addresses": [["type": "InternalIP", "address": .string("192.0.2.1\(number)")]]
          ]
        ], lab)
    }
    try await pod("client", "10.100.0.2", lab)
    let path = lab.clusters[0].directory.file("node.json")
    let kubeconfig = lab.clusters[0].directory.file("kubeconfig")
    let feed = try NodeFeed(
      .node("node0"), document: path, kubeconfig: kubeconfig,
      logger: Logger(label: "feed") { _ in SwiftLogNoOpLogHandler() })
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: [.init(service: feed)],
        logger: Logger(label: "feed") { _ in SwiftLogNoOpLogHandler() }))
    let task = Task { try await group.run() }
    #expect(await eventually(within: .seconds(60)) { sources(path) == ["10.100.0.2"] })
    try await pod("second", "10.100.0.3", lab)
    #expect(
      await eventually(within: .seconds(60)) { sources(path) == ["10.100.0.2", "10.100.0.3"] })
    // The feed tells how the agent fares, and the peer counts it.
    func say(_ status: NodeStatus) throws {
      try Data(status.json.bytes).write(
        to: URL(fileURLWithPath: NodeStatus.path(forDocument: path)), options: .atomic)
    }
    func told(_ reason: String) async -> Bool {
      await eventually(within: .seconds(60)) {
        let node = fake.edit { $0.store.all(.nodeNetworks).first { $0.name == "node0" } }
        let ready = node?.status["conditions"]?.array?.first
        return ready?["reason"]?.string == reason
      }
    }
    try say(NodeStatus(unserved: ["blue": "no IPv6"]))
    #expect(await told("NotServed"))
    try say(NodeStatus())
    #expect(await told("Applied"))
    let platform = try #require(lab.clusters[0].host.current?.platform as? KubernetesPlatform)
    let isCounted = await eventually {
      platform.state.withLock { $0.nodes } == [.applied: 1, nil: 1]
    }
    #expect(isCounted)
    // It goes with its node, and nobody else writes it again and again.
    let owner = fake.edit { api in
      api.store.all(.nodeNetworks).first?.metadata["ownerReferences"]?.array?.first
    }
    #expect(owner?["name"] == "node0")
    _ = try await lab.clusters[0].api.send(
      .delete(ObjectID(.nodes, ObjectKey(name: "node0")), uid: ""))
    #expect(
      await eventually(within: .seconds(60)) {
        fake.edit { $0.store.all(.nodeNetworks).map(\.name) } == ["node1"]
      })
    // No news: what is in force stays.
    #expect(sources(path) == ["10.100.0.2", "10.100.0.3"])
    await group.triggerGracefulShutdown()
    _ = try? await task.value
    await lab.stop()
  }
}
