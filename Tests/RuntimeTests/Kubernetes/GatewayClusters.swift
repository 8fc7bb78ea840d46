import Kubernetes

@testable import Runtime

/// Two clusters whose operators make gateways, and what runs their Pods.
struct GatewayClusters: Sendable {
  let lab: KubernetesLab
  let kubelets: [FakeKubelet]

  /// Leaves nothing behind, whatever the body does.
  static func with(
    kubeconfigs: [String] = [], wires: GatewayWires? = nil,
    _ body: (GatewayClusters) async throws -> Void
  ) async throws {
    try await RealServers.inTurn(kubeconfigs) {
      let lab = try await KubernetesLab(
        2, kubeconfigs: kubeconfigs, flags: ["gateway.listen": "0.0.0.0:7900"])
      let world = GatewayClusters(
        lab: lab, kubelets: (0..<2).map { FakeKubelet(lab, $0, wires: wires) })
      do {
        try await body(world)
      } catch {
        await world.end(wires)
        throw error
      }
      await world.end(wires)
    }
  }

  private func end(_ wires: GatewayWires?) async {
    await wires?.clear()
    for kubelet in kubelets { await kubelet.clear() }
    await lab.stop()
  }

  func plan(_ index: Int, _ replica: Int) async throws -> GatewayPlanFile? {
    let secret = try await lab.get(.secrets, GatewayWorkloads.name(replica), in: index)
    return try secret?.json.at("data", GatewayWorkloads.planKey)?.string
      .flatMap { Base64.decode($0) }.map { try GatewayPlanFile(json: $0) }
  }

  func isSettled() async throws -> Bool {
    // Both before either: each is told of the other's.
    let counts = [try await kubelets[0].look(), try await kubelets[1].look()]
    guard counts == [2, 2] else { return false }
    for index in 0..<2 {
      for replica in 0..<2 {
        guard try await plan(index, replica)?.plan.peers.count == 2 else { return false }
      }
    }
    return true
  }
}
