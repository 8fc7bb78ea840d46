public import Base

/// Keeps a cluster's record (`cluster/<c>/info`) so that all of its peers are in it: where each is, and
/// which CA vouches for it. Each peer puts itself in and leaves the others as they are, so peers that write
/// at the same time come to one record, and one that has nothing to add writes nothing.
public enum ClusterRecordReconciler {
  /// - Parameters:
  ///   - record: as it is; `nil`: there is none, or none that can be read.
  ///   - own: as this peer alone would write it: its own CA, and itself as the only peer.
  ///   - admitted: keys of the cluster's peers.
  /// - Returns: what it should be; the peers ascending by key.
  public static func desired(
    _ record: ClusterInfo?, own: ClusterInfo, admitted: Set<PublicKey>
  ) -> ClusterInfo {
    guard let record, var me = own.peers.first else { return own }
    me.certificateAuthority = own.certificateAuthority
    var peers = record.peers.filter { $0.key != me.key && admitted.contains($0.key) }
    for index in peers.indices {
      peers[index].certificateAuthority = record.certificateAuthority(of: peers[index].key)
    }
    peers = Array((peers + [me]).sorted { $0.key < $1.key }.prefix(ClusterInfo.peerLimit))
    var out = record
    // Gateways change their certificates when this does: only where nobody is left who has that CA.
    let isVouched = peers.contains { $0.certificateAuthority == record.certificateAuthority }
    if record.certificateAuthority.isEmpty || !isVouched {
      out.certificateAuthority = own.certificateAuthority
    }
    // A CA is in it once: the record of a cluster with one peer fits into a datagram, and has to, since
    // whoever does not have it yet takes no stream of that peer's for a member's.
    for index in peers.indices where peers[index].certificateAuthority == out.certificateAuthority {
      peers[index].certificateAuthority = []
    }
    out.peers = peers
    // One of them says what is the same for all; else two releases would undo one another's.
    if peers.first?.key == me.key {
      out.version = own.version
      out.ranges = own.ranges
    }
    return out
  }
}
