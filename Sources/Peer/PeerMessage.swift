public import Membership
public import Replication

/// Everything that one peer can say to another. The transport has authenticated who says it.
public enum PeerMessage: Sendable {
  case membership(Membership.Message)
  case sync(SyncMessage)

  // Streams only.

  /// "Are you there?", asked over the stream transport when datagrams got no answer.
  case streamPing(UInt32)
  case streamPong(UInt32)
  /// "This is who I am": the changesets that prove the sender's admission, from the root's grants
  /// down to its cluster's record. To and from peers that may not know one another yet.
  case introduce([Changeset])
  /// The sentence says why and what to do.
  case refused(String)

  /// Changesets in an introduction: chains of grants are short.
  public static let introductionLimit = 64
}
