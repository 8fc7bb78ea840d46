import Base
import Foundation
import Kubernetes
import Replication
import Slices
import Testing

@testable import Runtime

/// Gateways that the operator makes: from the slice to Pods, plans, registers and back.
@Suite(.serialized) struct KubernetesGatewayTests {
  @Test func gatewaysComeAndGoWithTheSlice() async throws {
    try await GatewayClusters.with { world in
      let lab = world.lab
      #expect(try await eventually { try await world.isSettled() })
      let first = try #require(try await world.plan(0, 0))
      #expect(first.cluster == "c0" && first.replica == "0" && first.plan.slices.count == 1)
      // Each is told where the other cluster's nodes are open, and what key is there.
      let other = try #require(try await world.plan(1, 1))
      let link = try #require(first.plan.peers.first { $0.replica == "1" })
      #expect(link.staticKey == Gateway.publicKey(of: other.staticKey))
      let service = try #require(
        try await lab.get(.services, GatewayWorkloads.name(1), in: 1))
      let port = try #require(service.spec["ports"]?.array?.first?["nodePort"]?.integer)
      #expect(link.endpoints.map(\.description) == ["198.51.100.31:\(port)"])
      // Somebody deletes a Deployment and spoils a plan.
      try await lab.delete(.deployments, GatewayWorkloads.name(0), in: 0)
      #expect(
        try await eventually {
          try await lab.get(.deployments, GatewayWorkloads.name(0), in: 0) != nil
        })
      try await lab.write([
        RegisterWrite(path: SlicePath.member(slice: "blue", cluster: "c0").text, value: nil)
      ])
      #expect(
        try await eventually {
          for (type, name) in [
            (ResourceType.secrets, GatewayWorkloads.name(0)),
            (.deployments, GatewayWorkloads.name(1)), (.services, GatewayWorkloads.name(1)),
            (.podDisruptionBudgets, GatewayWorkloads.budgetName),
          ] {
            guard try await lab.get(type, name, in: 0) == nil else { return false }
          }
          return true
        })
    }
  }

  @Test func whatGatewaysSayDecidesWhatIsReachable() async throws {
    try await GatewayClusters.with { world in
      let (lab, kubelets) = (world.lab, world.kubelets)
      #expect(try await eventually { try await world.isSettled() })
      let platform = try #require(lab.clusters[0].host.current?.platform)
      #expect(platform.reachableClusters?["blue"] == ["c1"])
      func say(_ state: TunnelReport.State, _ replica: Int) async throws {
        let pod = try #require(await kubelets[0].pods[replica])
        let report = SliceGatewayReport(
          slice: "blue", gateway: "\(replica)", pod: pod.name, listen: "0.0.0.0:7900",
          tunnels: [TunnelReport(remote: "c1", replica: "0", state: state)],
          reported: "2026-01-01T00:00:00Z")
        let object = KubernetesObject(
          .sliceGateways, ObjectKey(name: "blue.\(replica)"),
          ["status": report.status(over: nil, now: 0)])
        let answer = try await lab.clusters[0].api.send(
          .apply(object, .sliceGateways, subresource: "status", manager: "starling-gateway"))
        guard answer.isSuccess else { throw answer.failure }
      }
      try await say(.established, 0)
      try await say(.unreachable, 1)
      #expect(
        await eventually {
          platform.gatewayStatuses.map(\.replica) == ["0", "1"]
            && platform.reachableClusters?["blue"] == ["c1"]
        })
      #expect(try await lab.clusters[0].host.tunnels().count == 2)
      try await say(.unreachable, 0)
      #expect(await eventually { platform.reachableClusters?["blue"] == [] })
      try await say(.established, 1)
      #expect(await eventually { platform.reachableClusters?["blue"] == ["c1"] })
    }
  }

  @Test func whoComesToActChangesNothing() async throws {
    try await GatewayClusters.with { world in
      let lab = world.lab
      #expect(try await eventually { try await world.isSettled() })
      let host = lab.clusters[0].host
      let engine = try #require(host.engine)
      let view = try #require(host.current?.platform?.latest).view
      var secrets: [Int: KubernetesObject] = [:]
      for replica in 0..<2 {
        secrets[replica] = try await lab.get(
          .secrets, GatewayWorkloads.name(replica), in: 0)
      }
      let old = try #require(try await world.plan(0, 0))
      let state = GatewayReconciler.desired(view, cluster: "c0").state
      func successor(_ authorities: [ClusterCA]) -> GatewayPlans {
        GatewayPlans(
          GatewayPlans.Configuration(
            cluster: "c0", clusterSet: engine.identity.genesis.id,
            listen: IPEndpoint(IPAddress(v4: 0), port: 7900)),
          authorities: authorities, makeKey: { _ in [UInt8](repeating: 1, count: 32) })
      }
      func read(_ outcome: GatewayPlans.Outcome) throws -> GatewayPlanFile {
        try GatewayPlanFile(json: try #require(outcome.plans[0] ?? nil))
      }
      // Another peer, whose own key and CA would be others.
      var now = WallClock.now
      var other = successor([])
      var outcome = other.plan(state, view, replicas: [0, 1], secrets: secrets, now: now)
      #expect(try read(outcome) == old)
      #expect(outcome.problem == nil)
      // When the leaf is due it needs the CA; without it the old one serves on.
      now.wallMilliseconds = try #require(outcome.nextMilliseconds)
      outcome = other.plan(state, view, replicas: [0, 1], secrets: secrets, now: now)
      #expect(try read(outcome) == old)
      #expect(outcome.problem != nil)
      var same = successor([engine.identity.authority])
      outcome = same.plan(state, view, replicas: [0, 1], secrets: secrets, now: now)
      let renewed = try read(outcome)
      #expect(renewed.staticKey == old.staticKey && renewed.plan.peers == old.plan.peers)
      #expect(renewed.plan.slices[0].identity != old.plan.slices[0].identity)
      // Once more before the Secret has it: no other leaf.
      #expect(
        try read(same.plan(state, view, replicas: [0, 1], secrets: secrets, now: now)) == renewed)
      // What somebody spoiled is made anew, with a leaf of the published CA.
      var spoilt = try #require(secrets[0])
      spoilt.json["data"] = [GatewayWorkloads.planKey: "bm8="]
      secrets[0] = spoilt
      outcome = same.plan(state, view, replicas: [0, 1], secrets: secrets, now: now)
      #expect(try read(outcome).plan.slices.count == 1)
    }
  }

  @Test func whoKnowsNothingYetTakesNothingAway() async throws {
    try await GatewayClusters.with { world in
      let lab = world.lab
      #expect(try await eventually { try await world.isSettled() })
      let engine = try #require(lab.clusters[0].host.engine)
      let view = try #require(lab.clusters[0].host.current?.platform?.latest).view
      let workloads = GatewayWorkloads(.init(namespace: lab.namespace))
      var objects = ClusterObjects()
      objects[.podDisruptionBudgets] = ObjectStore()
      for type in [ResourceType.deployments, .services, .secrets] {
        let object = try await lab.get(type, GatewayWorkloads.name(0), in: 0)
        objects.put(try #require(object), type)
      }
      let fresh = GatewayOperator(
        GatewayOperator.Configuration(cluster: "c0", replicas: 2), workloads,
        GatewayPlans(
          GatewayPlans.Configuration(
            cluster: "c0", clusterSet: engine.identity.genesis.id,
            listen: IPEndpoint(IPAddress(v4: 0), port: 7900)),
          authorities: [], makeKey: { _ in nil }))
      var gateways = fresh
      var now = WallClock.now
      func actions(_ view: ClustersetView) -> [ObjectDiffer.Action.Kind] {
        gateways.observe(objects, view, changed: nil, now: now)
        return gateways.actions(view, objects, now: now).map(\.kind)
      }
      // A peer that lost its volume knows of no slice yet.
      #expect(actions(ClustersetView()).isEmpty)
      // It learns, and then a slice that goes is one that goes.
      #expect(!actions(view).contains(.delete))
      #expect(Set(actions(ClustersetView())) == [.delete])
      // What nobody tells it of in time has gone while it was away.
      gateways = fresh
      #expect(actions(ClustersetView()).isEmpty)
      now.instant = now.instant + GatewayOperator.learning
      #expect(Set(actions(ClustersetView())) == [.delete])
    }
  }

  @Test(.enabled(if: GatewayWires() != nil))
  func tunnelsStandWhateverIsAway() async throws {
    try await tunnels(kubeconfigs: [])
  }

  @Test(.enabled(if: GatewayWires() != nil && KubernetesLab.kubeconfigs.count >= 2))
  func tunnelsStandOnRealServers() async throws {
    try await tunnels(kubeconfigs: KubernetesLab.kubeconfigs)
  }

  private func tunnels(kubeconfigs: [String]) async throws {
    let wires = try #require(GatewayWires())
    try await GatewayClusters.with(kubeconfigs: kubeconfigs, wires: wires) { world in
      let (lab, kubelets) = (world.lab, world.kubelets)
      #expect(try await eventually { try await world.isSettled() })
      let (here, there) = (await kubelets[0].pods, await kubelets[1].pods)
      let own = try #require(try await world.plan(0, 0))
      let platform = try #require(lab.clusters[0].host.current?.platform)
      let isTold = await eventually {
        platform.gatewayStatuses.count == 2
          && platform.gatewayStatuses.allSatisfy { status in
            status.tunnels.count == 2 && status.tunnels.allSatisfy { $0.state == .established }
          }
      }
      #expect(isTold, "\(platform.gatewayStatuses)")
      #expect(platform.gatewayProblem == nil)
      let (first, second) = (try #require(here[0]), try #require(here[1]))
      /// What the gateway says that is still heard.
      func heard() -> GatewayStatus? {
        platform.gatewayStatuses.first { $0.replica == "\(second.replica)" }
      }
      // A dead feed withdraws nothing.
      await wires.kill("feed", of: first)
      #expect(platform.reachableClusters?["blue"] == ["c1"])
      // Nor does an API server that is away, nor one that is back.
      if let fake = lab.clusters[0].fake {
        await fake.stop()
        #expect(platform.reachableClusters?["blue"] == ["c1"])
        try await fake.start(port: fake.lastPort)
        let before = heard()?.tunnels.first?.keyAge
        let isHeard = await eventually {
          heard()?.tunnels.first?.keyAge != before
            || platform.reachableClusters?["blue"] != ["c1"]
        }
        #expect(isHeard, "\(wires.logs(second))")
        #expect(platform.reachableClusters?["blue"] == ["c1"])
      }
      // The other cluster is cut off: who still speaks says so.
      for pod in there.values { try await wires.cut(pod, true) }
      let start = ContinuousClock.now
      let isOut = await eventually {
        heard()?.tunnels.allSatisfy { $0.state != .established } == true
      }
      #expect(isOut, "\(wires.logs(second))")
      print("a cut-off cluster was told of after \(ContinuousClock.now - start)")
      for pod in there.values { try await wires.cut(pod, false) }
      #expect(
        await eventually { heard()?.tunnels.contains { $0.state == .established } == true })
      // Another peer would continue what stands there: nothing of it is made anew.
      let later = try #require(try await world.plan(0, 0))
      #expect(later.staticKey == own.staticKey)
      #expect(later.plan.slices == own.plan.slices)
    }
  }
}
