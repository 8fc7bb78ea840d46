public import Base

/// What became of a changeset that was handed to the state.
public enum IngestOutcome: Hashable, Sendable {
  /// It counts.
  case accepted
  /// It is held and may count later, when what stands against it does not count any more.
  case notCounting(NotCounting)
  /// The grant that it acts under is not known yet.
  case pending(missing: Digest)
  /// Taken when the local wall clock reaches this; at once after a restart from the store.
  case held(untilMilliseconds: UInt64, HoldReason)
  case duplicate
  /// Nothing of it is left: the same author has written over all of it under the same grant.
  case superseded
  /// Nothing was stored.
  case refused(Refusal)

  /// Whether it is known by now, so that there is no reason to ask for it again.
  public var isKnown: Bool {
    switch self {
    case .accepted, .notCounting, .duplicate, .superseded, .held: true
    case .pending, .refused: false
    }
  }

  /// Whether a person who sent it would want to know.
  public var isWorthReporting: Bool {
    switch self {
    case .accepted, .duplicate, .superseded: false
    case .notCounting, .pending, .held, .refused: true
    }
  }

  public var sentence: String { description }
}

public enum HoldReason: Hashable, Sendable {
  /// Its HLC is ahead of the local wall clock.
  case future
  /// Its author sends faster than its grant allows.
  case rate
}

/// Why a held changeset does not count.
public enum NotCounting: Hashable, Sendable {
  /// The floor that this changeset carries is above it and does not keep it.
  case void(floor: Digest)
  /// The grant that it acts under does not count.
  case grantVoid(grant: Digest)
  /// A root change of the same version with a smaller ID, or one that does not keep it.
  case rootChanged(by: Digest)
  /// The token was used more than once and is not sealed.
  case rivalEnrolment(token: Digest)
  /// Its cluster is not a member of the slice.
  case notMember(slice: String, cluster: String)
}

/// Why a changeset was not taken.
public enum Refusal: Hashable, Sendable {
  case malformed(Malformation)
  case unsupportedFormat(Int)
  case otherClusterSet(Digest)
  case badSignature
  case tooFewSignatures(valid: Int, needed: Int)
  case unauthorised(Unauthorised)
  /// Of a slice that the local cluster is not in.
  case scopeNotHeld(Scope)
  case overQuota(Exceeded)
}

/// A rule that needs nothing but the changeset itself.
public enum Malformation: Hashable, Sendable {
  case empty
  case tooLarge
  case tooManyWrites
  case path(String)
  case repeatedPath(String)
  /// The counter is not one more than what the context has for the author.
  case counter(path: String)
  case context(path: String)
  case keepOrder
  case capabilities
  case delegationDepth
  case rootKeys
  /// A root change stands alone; a changeset makes one grant at most.
  case mixedTrust
  /// Trust is said in the scope `clusterset`; in a slice's scope only floors on the own grant.
  case trustOutsideClusterSet
  case message
  case signatures
}

/// A limit of the grant's quota.
public enum Exceeded: Hashable, Sendable {
  case registers(Int)
  case bytes(Int)
}

extension IngestOutcome: CustomStringConvertible {
  public var description: String {
    switch self {
    case .accepted: "accepted"
    case .notCounting(let reason): "stored, but it does not count: \(reason)"
    case .pending(let grant):
      "waits for the grant \(grant.short), which is not known here yet"
    case .held(_, .future):
      "held: its time is more than 10 s ahead of this peer's clock; check both clocks"
    case .held(_, .rate): "held: its author sends more changesets a minute than its grant allows"
    case .duplicate: "known already"
    case .superseded: "superseded: its author has written over all of it"
    case .refused(let reason): "refused: \(reason)"
    }
  }
}

extension NotCounting: CustomStringConvertible {
  public var description: String {
    switch self {
    case .void(let floor): "revoked or compacted by \(floor.short)"
    case .grantVoid(let grant): "the grant \(grant.short) that it acts under is void"
    case .rootChanged(let change): "the root change \(change.short) does not keep it"
    case .rivalEnrolment(let token):
      "the join token \(token.short) was used more than once; seal the right enrolment"
    case .notMember(let slice, let cluster):
      "the cluster \(cluster) is not a member of the slice \(slice)"
    }
  }
}

extension Refusal: CustomStringConvertible {
  public var description: String {
    switch self {
    case .malformed(let what): "\(what)"
    case .unsupportedFormat(let version):
      "its format version is \(version); this release knows version 1"
    case .otherClusterSet(let id): "it belongs to the ClusterSet \(id.short), not to this one"
    case .badSignature: "its signature does not fit its bytes and its author's key"
    case .tooFewSignatures(let valid, let needed):
      "it has \(valid) of the \(needed) root signatures it needs; collect more with cosign"
    case .unauthorised(let why): "\(why)"
    case .scopeNotHeld(let scope): "this cluster has no part in \(scope)"
    case .overQuota(.registers(let limit)):
      "its author's grant allows \(limit) registers and they are in use"
    case .overQuota(.bytes(let limit)):
      "its author's grant allows \(limit) bytes and they are in use"
    }
  }
}

extension Malformation: CustomStringConvertible {
  public var description: String {
    switch self {
    case .empty: "it says nothing"
    case .tooLarge: "it is larger than \(Changeset.maximumBytes) bytes"
    case .tooManyWrites: "it has more than \(Changeset.maximumWrites) writes or floors"
    case .path(let path): "\(path.debugDescription) is no register path"
    case .repeatedPath(let path): "it writes \(path) twice"
    case .counter(let path): "the counter of its write to \(path) does not follow its context"
    case .context(let path): "the context of its write to \(path) has too many authors"
    case .keepOrder: "a keep list is not in ascending order or is too long"
    case .capabilities: "its grant's capabilities are none, too many or not in ascending order"
    case .delegationDepth: "its grant's delegation depth is not 0...\(StateLimits.delegationDepth)"
    case .rootKeys: "its root keys are not in ascending order or the threshold does not fit them"
    case .mixedTrust: "a root change cannot carry anything else"
    case .trustOutsideClusterSet:
      "in a slice's scope a changeset carries writes and floors on its own grant only"
    case .message: "its message is longer than \(StateLimits.messageBytes) bytes"
    case .signatures: "it has no signature by its author, or too many"
    }
  }
}
