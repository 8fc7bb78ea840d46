import Base
import Kubernetes
import Testing

@testable import Nodes

@Suite struct NodePlanTests {
  private func document(_ overlay: String = "service") throws -> NodeDocument {
    try NodeDocument([
      "role": "node", "underlay": "192.0.2.11",
      "slices": [
        [
          "name": "blue", "overlay": .string(overlay), "cidr": "10.11.0.0/16",
          "block": "10.11.16.0/20", "nodeAddress": "10.11.16.40", "network": 5,
          "gateways": [
            ["address": "10.11.16.1", "underlay": "192.0.2.2"],
            ["address": "10.11.16.2", "underlay": "192.0.2.3"],
          ],
          "nodes": [
            ["address": "10.11.16.41", "underlay": "192.0.2.12", "behind": ["10.11.16.77/32"]]
          ],
          "sources": ["10.100.0.2"],
          "endpoints": [
            [
              "address": "10.11.16.78", "target": "10.100.0.3",
              "ports": [["transport": "TCP", "port": 80]],
            ]
          ],
        ]
      ],
    ])
  }

  private func plan(_ dead: [String] = []) throws -> NodePlan {
    NodePlan(
      try document(), nodeMTU: 1500, dead: ["blue": Set(dead.compactMap { IPAddress($0) })],
      attachments: [])
  }

  private func hops(_ plan: NodePlan) -> [[String]] {
    plan.items.compactMap {
      if case .route(let to, let hops, _) = $0, to.description == "10.11.0.0/16" {
        hops.map(\.description)
      } else {
        nil
      }
    }
  }

  @Test func aDeadGatewayIsNoHop() throws {
    #expect(try hops(plan()) == [["10.11.16.1", "10.11.16.2"]])
    #expect(try hops(plan(["10.11.16.1"])) == [["10.11.16.2"]])
    // While none answers, all stay.
    #expect(try hops(plan(["10.11.16.1", "10.11.16.2"])).first?.count == 2)
  }

  @Test func threeQuestionsWithoutAnswerMakeDead() throws {
    let key = GatewayProbes.Key(slice: "blue", gateway: try #require(IPAddress("10.11.16.1")))
    var probes = GatewayProbes()
    probes.expect([key])
    for _ in 0..<3 {
      #expect(probes.ask() == [key])
      #expect(probes.dead.isEmpty)
    }
    _ = probes.ask()
    #expect(probes.dead == ["blue": [key.gateway]])
    probes.answered(key)
    #expect(probes.dead.isEmpty)
  }

  @Test func nothingIsDoneTwice() throws {
    let plan = try plan()
    #expect(
      KernelPlan.commands(desired: plan.items, observed: plan.items, namespace: "s").isEmpty)
    let all = KernelPlan.commands(desired: plan.items, observed: [], namespace: "s")
    #expect(all.first?.arguments.hasPrefix("link add sx-blue netns s mtu 1420") == true)
    #expect(all.first?.isInside == false)
  }

  /// A gateway that is asked over another one would seem dead with it.
  @Test func neighboursAreMetStraight() throws {
    let lines = KernelPlan.commands(desired: try plan().items, observed: [], namespace: "s")
      .map(\.arguments)
    let direct = lines.filter { $0.hasSuffix("proto 83 dev sx-blue") }
    #expect(
      direct
        == ["10.11.16.1", "10.11.16.2", "10.11.16.41"].map {
          "route replace \($0)/32 proto 83 dev sx-blue"
        })
    // IPv6 refuses a hop before there is a route to it.
    let behind = try #require(lines.firstIndex { $0.contains("10.11.16.77") })
    #expect(lines.lastIndex { direct.contains($0) }.map { $0 < behind } == true)
  }

  /// A hop that changes is replaced in one step; what is no longer wanted goes.
  @Test func changesAreSmall() throws {
    let before = try plan().items
    let after = try plan(["10.11.16.1"]).items
    let commands = KernelPlan.commands(desired: after, observed: before, namespace: "s")
    #expect(
      commands.map(\.arguments) == [
        "route replace 10.11.0.0/16 proto 83 via 10.11.16.2 dev sx-blue onlink"
      ])
    let gone = KernelPlan.commands(desired: [], observed: before, namespace: "s")
    #expect(gone.map(\.arguments) == ["link del sx-blue"])
  }

  @Test func rulesLetPassWhatIsNamedOnly() throws {
    let rules = try plan().rules
    #expect(rules.contains("priority filter; policy drop"))
    #expect(rules.contains("10.11.16.78 : 10.100.0.3"))
    #expect(rules.contains("10.100.0.3 . tcp . 80"))
    #expect(rules.contains("size set 1380"))
    let pod = NodePlan(try document("pod"), nodeMTU: 1400, dead: [:], attachments: [])
    #expect(pod.mtu == ["blue": 1350])
    #expect(pod.rules.contains("iifname . ip saddr @pods-blue"))
  }

  @Test func brokenDocumentsAreRefused() throws {
    for text in [
      "{}", #"{"underlay":"x","slices":[]}"#, #"{"underlay":"192.0.2.1","slices":[{}]}"#,
      #"{"underlay":"192.0.2.1","role":"x","slices":[]}"#,
    ] {
      let json = try JSON(parsing: text)
      #expect(throws: NodeDocument.Problem.self) { try NodeDocument(json) }
    }
  }

  @Test func thePluginIsChainedOnce() throws {
    let list: JSON = ["name": "net", "plugins": [["type": "bridge"]]]
    let chained = try #require(
      PluginChain.adding(to: list, agentSocket: "/s", stateFolder: "/f"))
    #expect(chained["plugins"]?.array?.count == 2)
    #expect(PluginChain.adding(to: chained, agentSocket: "/s", stateFolder: "/f") == nil)
    #expect(PluginChain.removing(from: chained) == list)
    #expect(PluginChain.removing(from: list) == nil)
  }
}
