import Foundation
import Kubernetes
import Testing

@testable import Runtime

/// The whole way of a Pod's packet: name, node agent, gateway, tunnel, gateway, node agent, Pod. Nodes,
/// Pods and gateways are network namespaces, everything in them are the real processes.
@Suite(.serialized) struct KubernetesPodTests {
  @Test(.enabled(if: GatewayWires() != nil))
  func podsReachServicesOfTheOtherCluster() async throws {
    try await podsReachServices(kubeconfigs: [])
  }

  @Test(.enabled(if: GatewayWires() != nil && KubernetesLab.kubeconfigs.count >= 2))
  func podsReachServicesOnRealServers() async throws {
    try await podsReachServices(kubeconfigs: KubernetesLab.kubeconfigs)
  }

  private func podsReachServices(kubeconfigs: [String]) async throws {
    let wires = try #require(GatewayWires())
    try await GatewayClusters.with(kubeconfigs: kubeconfigs, wires: wires) { world in
      let lab = world.lab
      let stranger = lab.stranger
      let made = try await lab.clusters[0].api.send(
        .create(KubernetesObject(.namespaces, ObjectKey(name: stranger)), .namespaces))
      #expect(made.isSuccess)
      var near = try await FakeNode(lab, world.kubelets[0], 0, wires: wires)
      var far = try await FakeNode(lab, world.kubelets[1], 1, wires: wires)
      let client = try await near.pod("client", in: lab.namespace)
      let outsider = try await near.pod("outsider", in: stranger)
      let optedOut = try await near.pod(
        "debug", in: lab.namespace, labels: [ObjectNames.optOut: "true"])
      // Its address is the client's, in the other cluster.
      let web = try await far.pod("web", in: lab.namespace)
      #expect(web.address == client.address)
      for port in [8080, 8081] {
        try await wires.serve(
          "c1", port: port, in: web, log: lab.clusters[1].directory.file("web-\(port).log"))
      }
      #expect(try await eventually { try await world.isSettled() })

      func address(of name: String) async throws -> String? {
        let full = "\(name).\(lab.namespace).svc.clusterset.local"
        return try GatewayWires.resolve(full, at: lab.clusters[0].dns).first
      }
      func answers(_ address: String, from pod: FakeNode.Pod) async -> String? {
        await wires.fetch(address, port: 8080, from: pod)
      }
      try await lab.service("web", pods: [web.address], spec: ["clusterIP": "None"], in: 1)
      #expect(try await address(of: "web") == nil)
      try await lab.export("web", in: 1)
      #expect(try await eventually { try await address(of: "web") != nil })
      let target = try #require(try await address(of: "web"))
      #expect(target.hasPrefix("10.11."))
      let isReached = try await eventually(within: .seconds(30)) {
        _ = try await world.isSettled()
        return await answers(target, from: client) == "c1"
      }
      let gateways = await world.kubelets[0].pods
      let gateway = try #require(gateways[0])
      #expect(isReached, "\(wires.logs(gateway))")
      #expect(try await gatewaysReachOneAnother(world, wires))
      // A port that is not exported stays closed, and nobody enforces a policy here but the agents.
      #expect(await wires.fetch(target, port: 8081, from: client) == nil)
      #expect(await answers(target, from: outsider) == nil)
      #expect(await answers(target, from: optedOut) == nil)

      // The cluster that exports it counts what of it crosses.
      let exporters = await world.kubelets[1].pods.values
      let isCounted = await eventually {
        // What went by before the gateway was told of the service is not counted.
        _ = await answers(target, from: client)
        return exporters.contains { pod in
          let path = GatewayStatusFile.path(forPlan: "\(pod.folder)/plan.json")
          guard let text = FileManager.default.contents(atPath: path),
            let (status, _) = try? GatewayStatusFile.read(Array(text))
          else { return false }
          return status.services.contains {
            $0.name == "web" && $0.namespace == lab.namespace && $0.cluster == "c0"
              && $0.exporter == "c1" && $0.figures.sentBytes > 0 && $0.figures.receivedBytes > 0
          }
        }
      }
      #expect(isCounted)

      // From the export to the first connection, everything else being there.
      for run in 0..<5 {
        let name = "late-\(run)"
        try await lab.service(name, pods: [web.address], spec: ["clusterIP": "None"], in: 1)
        #expect(try await address(of: name) == nil)
        let start = ContinuousClock.now
        try await lab.export(name, in: 1)
        let isConnected = try await eventually {
          guard let late = try await address(of: name) else { return false }
          return await answers(late, from: client) == "c1"
        }
        #expect(isConnected)
        print("the first connection came \(ContinuousClock.now - start) after the export")
      }

      // Nobody brings plans any more, and there is no API server: traffic goes on.
      for pod in await world.kubelets[0].pods.values { await wires.kill("feed", of: pod) }
      #expect(await answers(target, from: client) == "c1")
      if let fake = lab.clusters[0].fake {
        await fake.stop()
        #expect(await answers(target, from: client) == "c1")
        try await fake.start(port: fake.lastPort)
      }

      // The other cluster is gone altogether: this one goes on by itself.
      for pod in await world.kubelets[1].pods.values { try await wires.cut(pod, true) }
      let neighbour = try await near.pod("neighbour", in: lab.namespace)
      try await wires.serve(
        "c0", port: 8080, in: neighbour, log: lab.clusters[0].directory.file("near.log"))
      try await lab.service("near", pods: [neighbour.address], spec: ["clusterIP": "None"], in: 0)
      try await lab.export("near", in: 0)
      let isLocal = try await eventually {
        guard let near = try await address(of: "near") else { return false }
        return await answers(near, from: client) == "c0"
      }
      #expect(isLocal)
      #expect(await answers(target, from: outsider) == nil)
    }
  }

  /// By their own addresses, whichever gateway a flow takes on its way there and back.
  private func gatewaysReachOneAnother(
    _ world: GatewayClusters, _ wires: GatewayWires
  ) async throws -> Bool {
    func address(_ cluster: Int, _ replica: Int) async throws -> String {
      let plan = try #require(try await world.plan(cluster, replica)).plan
      return "\(try #require(plan.slices.first?.addresses.first).address)"
    }
    for (near, far) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
      let pod = try #require(await world.kubelets[0].pods[near])
      let (source, target) = (try await address(0, near), try await address(1, far))
      let answers = try await eventually {
        _ = try await world.isSettled()
        return await wires.pings(from: pod, source, target)
      }
      guard answers else { return false }
    }
    return true
  }
}
