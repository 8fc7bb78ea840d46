internal import Base

/// Members whose frames arrive while their datagrams do not, as where a firewall or a load balancer lets
/// TCP through alone. What would be a datagram goes to such a member over its stream as well: peers work,
/// if slower, until somebody opens the port.
struct DatagramSilence {
  /// How long a datagram, or a frame, counts as lately.
  static let patience: Duration = .seconds(5)

  private struct Member {
    var datagram: Instant?
    var frame: Instant?
    /// The first frame since datagrams came lately.
    var since: Instant = .zero
  }

  private var members: [NodeID: Member] = [:]

  mutating func frame(from node: NodeID, now: Instant) {
    let wasSilent = isSilent(node, now: now)
    members[node, default: Member()].frame = now
    if !wasSilent { members[node]?.since = now }
  }

  mutating func datagram(from node: NodeID, now: Instant) {
    members[node, default: Member()].datagram = now
  }

  mutating func retain(_ isMember: (NodeID) -> Bool) {
    members = members.filter { isMember($0.key) }
  }

  /// Whether frames came lately and no datagram did.
  func isSilent(_ node: NodeID, now: Instant) -> Bool { silence(of: node, now: now) != nil }

  /// For how long frames have come without datagrams; `nil` where datagrams come, or nothing does.
  func silence(of node: NodeID, now: Instant) -> Duration? {
    guard let member = members[node], let frame = member.frame, now - frame < Self.patience,
      member.datagram.map({ now - $0 >= Self.patience }) ?? true
    else { return nil }
    return now - member.since
  }
}
