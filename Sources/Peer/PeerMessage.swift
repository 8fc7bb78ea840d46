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
  /// From a peer that is not admitted yet: the grants above its token, its enrolment, its record.
  case enrol([Changeset])
  /// The sentence says why and what to do.
  case enrolRefused(String)

  /// Changesets that an `enrol` may bring: a chain of grants and the peer's own.
  public static let enrolmentLimit = 64
}
