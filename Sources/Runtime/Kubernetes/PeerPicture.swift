internal import Base
internal import Kubernetes
internal import Membership
internal import Peer
internal import Replication
internal import Slices

/// What the peer knows beside registers, taken on its loop for whoever plans elsewhere.
struct PeerPicture: Sendable {
  struct Member: Sendable {
    var id: NodeID
    var cluster: String
    var addresses: [String]
    var phase: String
    var isHeard: Bool
    var roundTrip: Duration?
  }

  /// Admitted peers, ascending.
  var members: [Member]
  var zones: [String]
  /// A member is suspect: time alone may change who is heard.
  var isUnsure: Bool
  /// The peer has learned nothing yet, or not again.
  var isBare: Bool

  init(_ peer: Peer, now: Instant) {
    zones = peer.configuration.genesis.zones
    isUnsure = peer.membership.count(.suspect) > 0
    isBare = peer.isBare
    members = peer.admitted.values.map { admitted in
      let state = peer.membership.state(of: admitted.id)
      let isSelf = admitted.id == peer.id
      return Member(
        id: admitted.id, cluster: admitted.cluster, addresses: admitted.addresses,
        phase: isSelf ? "Alive" : Self.name(of: state), isHeard: peer.hears(admitted.id, now: now),
        roundTrip: peer.membership.rtt(to: admitted.id))
    }.sorted { $0.id < $1.id }
  }

  /// Clusters of which a peer is heard.
  var heard: Set<String> { Set(members.filter(\.isHeard).map(\.cluster)) }

  private static func name(of state: MemberState) -> String {
    switch state {
    case .unknown: "Unknown"
    case .alive: "Alive"
    case .degraded: "Degraded"
    case .suspect: "Suspect"
    case .dead: "Dead"
    case .left: "Left"
    }
  }
}

extension MirrorPlanner.PeerFacts {
  /// All admitted clusters as this peer sees them, ascending.
  ///
  /// - Parameter holder: who acts for the own cluster.
  static func all(
    _ picture: PeerPicture, view: ClustersetView, cluster own: String, holder: String
  ) -> [Self] {
    let admitted = Dictionary(grouping: picture.members, by: \.cluster)
    return view.clusters.keys.sorted().map { cluster in
      let members = admitted[cluster] ?? []
      let states = members.map(\.phase)
      let rtt = members.compactMap(\.roundTrip).min()
      return Self(
        cluster: cluster, phase: best(states), roundTrip: rtt.map(rounded) ?? "",
        version: view.clusters[cluster]?.info?.version ?? "",
        addresses: Array(Set(members.flatMap(\.addresses)).sorted().prefix(256)),
        nodes: members.prefix(16).map {
          ($0.id.hex, $0.phase, cluster == own && $0.id.hex == holder)
        })
    }
  }

  private static func best(_ states: [String]) -> String {
    let order = ["Alive", "Degraded", "Suspect", "Unknown", "Dead", "Left"]
    return order.first { states.contains($0) } ?? "Unknown"
  }
}
