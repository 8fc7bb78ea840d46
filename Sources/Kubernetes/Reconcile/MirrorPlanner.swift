public import Slices

/// Objects that show in `kubectl get` what this cluster's peer sees. Written by it alone; nothing is
/// read from them.
public enum MirrorPlanner {
  /// What membership knows of one cluster.
  public struct PeerFacts: Hashable, Sendable {
    public var cluster: String
    /// Of its best peer: `Unknown`, `Alive`, `Degraded`, `Suspect`, `Dead`, `Left`.
    public var phase: String
    /// With its unit; empty where it was not measured. Rounded, so that it does not change always.
    public var roundTrip: String
    public var version: String
    public var addresses: [String]
    /// Node IDs in hexadecimal digits with their phases.
    public var nodes: [(node: String, phase: String, acts: Bool)]

    public init(
      cluster: String, phase: String, roundTrip: String = "", version: String = "",
      addresses: [String] = [], nodes: [(node: String, phase: String, acts: Bool)] = []
    ) {
      self.cluster = cluster
      self.phase = phase
      self.roundTrip = roundTrip
      self.version = version
      self.addresses = addresses
      self.nodes = nodes
    }

    public static func == (a: Self, b: Self) -> Bool { a.json == b.json }
    public func hash(into hasher: inout Hasher) { hasher.combine(json) }

    fileprivate var json: JSON {
      .object([
        "phase": .string(phase), "roundTrip": roundTrip.isEmpty ? nil : .string(roundTrip),
        "version": version.isEmpty ? nil : .string(version),
        "addresses": .array(addresses.map { .string($0) }),
        "peers": .array(
          nodes.map {
            ["node": .string($0.node), "phase": .string($0.phase), "acting": .bool($0.acts)]
          }),
      ])
    }
  }

  public static let managed: [ResourceType] = [.slices, .clusterPeers]
  static let problemLimit = 256

  /// - Parameter peers: of all admitted clusters, each once.
  public static func desired(
    _ view: ClustersetView, peers: [PeerFacts], cluster: String, _ objects: ClusterObjects,
    now milliseconds: UInt64
  ) -> [DesiredObject] {
    let slices = view.slices(of: cluster).map { slice in
      DesiredObject(
        .slices, ObjectKey(name: slice.name),
        status: status(
          slice, cluster, objects[ObjectID(.slices, ObjectKey(name: slice.name))], milliseconds))
    }
    let members = peers.sorted { $0.cluster < $1.cluster }.map { facts -> DesiredObject in
      let key = ObjectKey(name: facts.cluster)
      let observed = objects[ObjectID(.clusterPeers, key)]
      let isHeard = facts.phase == "Alive" || facts.phase == "Degraded"
      var status = facts.json
      status["conditions"] = [
        Condition(
          "Ready", isHeard, reason: facts.phase,
          message: isHeard ? "the cluster's peer is heard" : "the cluster's peer is not heard")
      ].json(over: observed?.status["conditions"], generation: 1, now: milliseconds)
      return DesiredObject(.clusterPeers, key, status: status)
    }
    return slices + members
  }

  private static func status(
    _ slice: SliceView, _ cluster: String, _ observed: KubernetesObject?, _ milliseconds: UInt64
  ) -> JSON {
    let ready: Condition
    if slice.isActive(cluster) {
      ready = Condition(
        "Ready", true, reason: "Active", message: "this cluster is an active member")
    } else {
      let problem = slice.problems.first
      ready = Condition(
        "Ready", false, reason: problem?.reason.rawValue ?? "NotActive",
        message: problem?.message ?? "this cluster is held")
    }
    let members = slice.members.map { member -> JSON in
      .object([
        "cluster": .string(member.cluster),
        "namespaces": .array(member.namespaces.map { .string($0) }),
        "block": member.block.map { .string("\($0)") }, "active": .bool(member.isActive),
      ])
    }
    let problems = slice.problems.prefix(problemLimit).map { problem -> JSON in
      [
        "path": .string(problem.path), "reason": .string(problem.reason.rawValue),
        "message": .string(String(problem.message.prefix(1024))),
      ]
    }
    return .object([
      "cidr": slice.network?.cidr.map { .string("\($0)") },
      "overlay": slice.network.map { .string($0.overlay.rawValue) },
      "topology": slice.network.map { .string($0.topology.mode) },
      "maxClusters": slice.network.map { .integer(Int64($0.maxClusters)) },
      "memberCount": .integer(Int64(slice.members.count)),
      "serviceCount": .integer(Int64(slice.services.count)), "members": .array(members),
      "problems": .array(problems),
      "conditions": [ready].json(
        over: observed?.status["conditions"], generation: observed?.generation ?? 1,
        now: milliseconds),
    ])
  }
}
