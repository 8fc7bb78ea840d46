internal import Base
internal import Foundation
internal import Kubernetes
internal import Logging
internal import Nodes

/// Says in the status of a node's NodeNetwork how the node's agent fares, when that is another than it
/// says already: all feeds of the cluster see every change of these objects.
struct NodeReporter: Sendable {
  let node: String
  /// Of the agent.
  let document: String
  let transport: APITransport
  let watch: ClusterWatch
  let logger: Logger

  static let manager = "starling-node"
  /// Between two looks; what two in a row show is told.
  static let interval: Duration = .seconds(2)
  /// After a report, taken or not. Random up to this before the first: agents of all nodes may start at
  /// once.
  static let pause: Duration = .seconds(10)

  func run() async {
    let start = WallClock.now.instant
    let silent = start + Duration.seconds(NodeStatus.silenceSeconds)
    var next = start + Duration.nanoseconds(Int64.random(in: 0...Self.pause.nanoseconds))
    var last: Condition?
    var complaint = ""
    while !Task.isCancelled {
      try? await Task.sleep(for: Self.interval)
      let now = WallClock.now
      let status = NodeStatus.read(forDocument: document)
      // The agent may be about to start as well.
      guard status != nil || now.instant >= silent else { continue }
      let condition = NodeStatus.condition(status)
      let isSettled = condition == last
      last = condition
      guard isSettled, now.instant >= next, let objects = await watch.objects,
        let observed = objects[ObjectID(.nodeNetworks, ObjectKey(name: node))]
      else { continue }
      let before = observed.status["conditions"]
      let conditions = [condition].json(over: before, generation: 1, now: now.wallMilliseconds)
      guard conditions != before else { continue }
      next = now.instant + Self.pause
      let problem = await write(conditions) ?? ""
      if !problem.isEmpty, problem != complaint {
        logger.warning("no report", metadata: ["node": "\(node)", "why": "\(problem)"])
      }
      complaint = problem
    }
  }

  private func write(_ conditions: JSON) async -> String? {
    let object = KubernetesObject(
      .nodeNetworks, ObjectKey(name: node), ["status": ["conditions": conditions]])
    do throws(TransportFailure) {
      let answer = try await transport.send(
        .apply(object, .nodeNetworks, subresource: "status", manager: Self.manager),
        timeout: .seconds(5))
      return answer.isSuccess || answer.failure.isNotFound ? nil : "\(answer.failure)"
    } catch {
      return "\(error)"
    }
  }
}

extension NodeStatus {
  /// `nil` where the agent says nothing, or nothing any more.
  static func read(forDocument document: String) -> Self? {
    let path = path(forDocument: document)
    guard
      let date = (try? FileManager.default.attributesOfItem(atPath: path))?[.modificationDate]
        as? Date, abs(date.timeIntervalSinceNow) < Double(silenceSeconds),
      let content = try? PrivateFile.read(path, limit: limit),
      let json = try? JSON(parsing: content.bytes)
    else { return nil }
    return Self(json)
  }
}
