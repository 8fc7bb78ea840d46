public import Kubernetes

/// How a node agent fares: a file beside its document, by which others tell the cluster. The file's time
/// says that the agent is there.
public struct NodeStatus: Hashable, Sendable {
  /// Why the kernel is not as the document says; empty: it is.
  public var problem: String
  /// Slices that cannot be served here, and why.
  public var unserved: [String: String]

  /// An agent that left its file alone for longer is not there.
  public static let silenceSeconds = 60
  /// Of the file, in bytes.
  public static let limit = 1 << 18

  public static func path(forDocument path: String) -> String { path + ".status" }

  public init(problem: String = "", unserved: [String: String] = [:]) {
    self.problem = String(problem.prefix(Condition.messageLimit))
    self.unserved = unserved
  }

  public init(_ json: JSON) {
    self.init(
      problem: json["problem"]?.string ?? "", unserved: json["unserved"]?.texts ?? [:])
  }

  public var json: JSON { ["problem": .string(problem), "unserved": .texts(unserved)] }

  /// For people; empty where all is as it should be.
  public var text: String {
    let slices = unserved.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
    return ([problem].filter { !$0.isEmpty } + slices).joined(separator: "; ")
  }

  /// Why a NodeNetwork is `Ready`, or is not.
  public enum Reason: String, CaseIterable, Sendable {
    case applied = "Applied"
    case notApplied = "NotApplied"
    case notServed = "NotServed"
    case agentSilent = "AgentSilent"
  }

  /// Condition `Ready` of a NodeNetwork.
  ///
  /// - Parameter status: `nil`: the agent says nothing.
  public static func condition(_ status: Self?) -> Condition {
    guard let status else {
      return condition(
        .agentSilent, "starling-node says nothing: what it made stays, and nothing follows changes")
    }
    if !status.problem.isEmpty { return condition(.notApplied, status.text) }
    return condition(status.unserved.isEmpty ? .applied : .notServed, status.text)
  }

  private static func condition(_ reason: Reason, _ message: String) -> Condition {
    Condition(ready, reason == .applied, reason: reason.rawValue, message: message)
  }

  private static let ready = "Ready"

  /// How many nodes fare how; `nil`: nobody has said anything of them.
  public static func counts(_ networks: [KubernetesObject]) -> [Reason?: Int] {
    networks.reduce(into: [:]) { counts, network in
      let ready = network.status["conditions"]?.array?.first { $0["type"]?.string == Self.ready }
      counts[ready?["reason"]?.string.flatMap { Reason(rawValue: $0) }, default: 0] += 1
    }
  }
}
