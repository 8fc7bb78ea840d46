import Kubernetes
import Testing

@testable import Nodes

@Suite struct NodeStatusTests {
  @Test func reasonsFollowFromWhatTheAgentSays() {
    func condition(_ status: NodeStatus?) -> [String] {
      let condition = NodeStatus.condition(status)
      return ["\(condition.status)", condition.reason, condition.message]
    }
    #expect(condition(NodeStatus()) == ["true", "Applied", ""])
    #expect(condition(NodeStatus(problem: "nft: no")) == ["false", "NotApplied", "nft: no"])
    let unserved = NodeStatus(unserved: ["red": "no IPv6", "blue": "no room"])
    #expect(condition(unserved) == ["false", "NotServed", "blue: no room; red: no IPv6"])
    #expect(condition(nil).prefix(2) == ["false", "AgentSilent"])
  }

  @Test func theFileIsReadAsItWasWritten() throws {
    let status = NodeStatus(problem: "p", unserved: ["blue": "why"])
    #expect(NodeStatus(try JSON(parsing: status.json.bytes)) == status)
    let long = NodeStatus(problem: String(repeating: "x", count: 1 << 20))
    #expect(long.json.bytes.count < NodeStatus.limit)
    #expect(NodeStatus(["problem": 7, "unserved": ["no"]]) == NodeStatus())
  }

  @Test func nodesAreCountedByWhatIsSaidOfThem() {
    func network(_ conditions: JSON?) -> KubernetesObject {
      KubernetesObject(
        .nodeNetworks, ObjectKey(name: "n"),
        ["status": conditions.map { ["conditions": $0] }])
    }
    func said(_ status: NodeStatus?) -> KubernetesObject {
      network([NodeStatus.condition(status)].json(over: nil, generation: 1, now: 0))
    }
    let counts = NodeStatus.counts([
      said(NodeStatus()), said(NodeStatus()), said(nil), network(nil), network([["type": "Ready"]]),
      network([["type": "Ready", "reason": "Other"]]),
    ])
    #expect(counts == [.applied: 2, .agentSilent: 1, nil: 3])
  }
}
