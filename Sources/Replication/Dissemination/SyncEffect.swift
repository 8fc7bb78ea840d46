public import Base

/// What dissemination, anti-entropy and apply tracking want done.
public enum SyncEffect: Hashable, Sendable {
  /// `reliable`: by stream; otherwise a datagram will do (it fits, and its loss is repaired).
  case send(to: NodeID, SyncMessage, reliable: Bool)
  /// Give these to the state: their signatures are not verified yet. What it then takes into a
  /// compared set comes back by `setChanged` and `accepted`.
  case deliver([Changeset], from: NodeID, Arrival)
  /// A member has the tracked changeset durably stored and visible.
  case confirmed(Digest, by: NodeID)
  case event(SyncEvent)
}

/// How a changeset came, and so how it goes on.
public enum Arrival: Hashable, Sendable {
  /// New: pushed on.
  case pushed
  /// One of a few that anti-entropy brought: announced.
  case reconciled
  /// One of many that anti-entropy brought, or of a whole set: others have them already, or find out by
  /// their digests, which is cheaper than a word about each.
  case bulk
}

/// Counted by the daemon, asserted by tests.
public enum SyncEvent: Hashable, Sendable {
  /// Pushed to us though we had it.
  case duplicate(Digest, from: NodeID)
  /// Sent on to so many neighbours.
  case forwarded(Digest, copies: Int)
  case grafted(Int, from: NodeID)
  /// Against a limit or a rule of the protocol; nothing changed.
  case refused(String, from: NodeID)
  /// The peer's byte budget is spent; what was to be sent waits or is announced instead.
  case overBudget(NodeID)
  case sessionStarted(Scope, with: NodeID, Reconciliation)
  case fellBack(Scope, with: NodeID, String)
  case sessionEnded(SessionReport)
}

public enum Reconciliation: String, Hashable, Sendable {
  case sketch
  case ranges
  case full
}

public struct SessionReport: Hashable, Sendable {
  public var scope: Scope
  public var peer: NodeID
  public var kind: Reconciliation
  public var outcome: Outcome
  /// This side began it, to learn all that differs; otherwise it only fetched what was offered.
  public var initiated: Bool
  /// Changesets that only the other side, and that only this side had.
  public var lacked: Int
  public var offered: Int
  /// Bytes of messages without the changesets, both ways, and bytes of changesets received.
  public var controlBytes: Int
  public var changesetBytes: Int
  public var rounds: Int
  public var duration: Duration

  public enum Outcome: String, Hashable, Sendable {
    case done
    case timedOut
    case redirected
    case peerGone
    case yielded
    case gaveUp
  }

  public init(
    scope: Scope, peer: NodeID, kind: Reconciliation, outcome: Outcome, initiated: Bool,
    lacked: Int, offered: Int, controlBytes: Int, changesetBytes: Int, rounds: Int,
    duration: Duration
  ) {
    self.scope = scope
    self.peer = peer
    self.kind = kind
    self.outcome = outcome
    self.initiated = initiated
    self.lacked = lacked
    self.offered = offered
    self.controlBytes = controlBytes
    self.changesetBytes = changesetBytes
    self.rounds = rounds
    self.duration = duration
  }
}

/// A member as this page sees it: who may hold a scope, and how far away it is.
public struct SyncPeer: Hashable, Sendable {
  public var id: NodeID
  /// Smoothed round trip, or the coordinates' estimate; `nil` where nothing is known yet.
  public var roundTrip: Duration?

  public init(id: NodeID, roundTrip: Duration? = nil) {
    self.id = id
    self.roundTrip = roundTrip
  }
}

/// Read access to the changesets held, given by the state with every call.
public protocol SyncSource {
  /// `nil` where it is not held. Only what may be relayed: its signature is verified.
  func changeset(_ id: Digest) -> Changeset?
  /// IDs of the compared set's changesets that carry grants, floors or root changes, in the order of
  /// (HLC, ID).
  func trust(in scope: Scope) -> [Digest]
}
