public import Base

/// What peers say to one another about changesets. Stateless to serve: every answer depends on the
/// request and on the set held, so that a lost or repeated message does no harm.
public enum SyncMessage: Hashable, Sendable {
  // Dissemination (Plumtree's gossip, IHave, Graft and Prune).

  /// New changesets, sent on at once.
  case push([Changeset])
  /// IDs that the sender holds and has not pushed on this link.
  case announce([Digest])
  /// Send me these: I heard of them and nobody pushed them.
  case graft([Digest])
  /// Announce, do not push, changesets of this scope on this link.
  case prune(Scope)

  // Who has applied it.

  /// Tell me when these are durably stored and visible with you.
  case track([Digest])
  case applied([Digest])

  // Anti-entropy.

  /// Set digests of scopes that both hold. With `answer`, the receiver sends back its own of
  /// those that differ; equal digests cost nothing further.
  case digests([ScopeDigest], answer: Bool)
  case symbolsRequest(SymbolsRequest)
  case symbols(SymbolsWindow)
  case rangesRequest(RangesRequest)
  case ranges(RangesReply)
  /// Changesets that the receiver seems to lack; it asks for those that it wants.
  case have(Scope, Names)
  case want(Want)
  case delivery(Delivery)
  /// Too many full syncs here, or out of budget: ask others, or again later.
  case redirect(Redirect)
}

public struct ScopeDigest: Hashable, Sendable {
  public var scope: Scope
  public var digest: SetDigest

  public init(scope: Scope, digest: SetDigest) {
    self.scope = scope
    self.digest = digest
  }
}

/// Asks for the coded symbols `offset..<offset + count` of a scope.
public struct SymbolsRequest: Hashable, Sendable {
  public var scope: Scope
  public var offset: Int
  public var count: Int
  /// The asking side's: where it equals the answering side's, that answers with its digest only.
  public var digest: SetDigest

  public init(scope: Scope, offset: Int, count: Int, digest: SetDigest) {
    self.scope = scope
    self.offset = offset
    self.count = count
    self.digest = digest
  }
}

/// A window of coded symbols of the sender's set.
public struct SymbolsWindow: Hashable, Sendable {
  public var scope: Scope
  public var offset: Int
  /// Of the whole set: windows fit together only while it stays the same.
  public var digest: SetDigest
  /// How many changesets the set has; the counts of the symbols are packed relative to it.
  public var setCount: Int
  /// `SymbolCoding`'s form.
  public var packed: [UInt8]

  public init(scope: Scope, offset: Int, digest: SetDigest, setCount: Int, packed: [UInt8]) {
    self.scope = scope
    self.offset = offset
    self.digest = digest
    self.setCount = setCount
    self.packed = packed
  }
}

/// Asks what lies in these ranges.
public struct RangesRequest: Hashable, Sendable {
  public var scope: Scope
  /// Ascending, each once.
  public var ranges: [RangePrefix]

  public init(scope: Scope, ranges: [RangePrefix]) {
    self.scope = scope
    self.ranges = ranges
  }
}

public struct RangesReply: Hashable, Sendable {
  public var scope: Scope
  public var ranges: [RangeContent]

  public init(scope: Scope, ranges: [RangeContent]) {
    self.scope = scope
    self.ranges = ranges
  }
}

/// What a peer holds in one range: the 16 parts of a large one, the IDs of a small one.
public struct RangeContent: Hashable, Sendable {
  public var range: RangePrefix
  public var content: Content

  public enum Content: Hashable, Sendable {
    /// The parts that are not empty, ascending by digit.
    case parts([Part])
    /// All IDs, ascending.
    case ids([Digest])
  }

  public struct Part: Hashable, Sendable {
    /// 0...15: the next hexadecimal digit.
    public var digit: Int
    public var count: Int
    public var digest: SetDigest

    public init(digit: Int, count: Int, digest: SetDigest) {
      self.digit = digit
      self.count = count
      self.digest = digest
    }
  }

  public init(range: RangePrefix, content: Content) {
    self.range = range
    self.content = content
  }
}

/// Changesets by name: the leading 8 bytes of the ID as a sketch recovers them, or the whole ID.
public enum Names: Hashable, Sendable {
  case words([UInt64])
  case ids([Digest])

  public var count: Int {
    switch self {
    case .words(let words): words.count
    case .ids(let ids): ids.count
    }
  }
}

/// Asks for changesets; answered by one `Delivery`, or a `Redirect`. The asking side sets the pace.
public struct Want: Hashable, Sendable {
  public var scope: Scope
  /// Chosen by the asking side, echoed in the answer.
  public var request: UInt32
  public var part: Part

  public enum Part: Hashable, Sendable {
    case names(Names)
    /// What is in a range, ascending by ID, beyond `after`.
    case range(RangePrefix, after: Digest?)
    /// Changesets with grants, floors and root changes, in the order of their HLC, from an index
    /// on: what a joining peer needs before it can judge the rest.
    case trust(from: Int)
  }

  public init(scope: Scope, request: UInt32, part: Part) {
    self.scope = scope
    self.request = request
    self.part = part
  }
}

public struct Delivery: Hashable, Sendable {
  public var scope: Scope
  public var request: UInt32
  public var changesets: [Changeset]
  /// How much of the request this answers: names served (found or not), or for the other kinds the
  /// changesets served.
  public var served: Int
  /// How much of the request is left after it.
  public var remaining: Int

  public init(
    scope: Scope, request: UInt32, changesets: [Changeset], served: Int, remaining: Int
  ) {
    self.scope = scope
    self.request = request
    self.changesets = changesets
    self.served = served
    self.remaining = remaining
  }
}

public struct Redirect: Hashable, Sendable {
  public var scope: Scope
  /// Other members of the scope, ascending.
  public var peers: [NodeID]
  /// Before that, asking here again is no use.
  public var retryMilliseconds: UInt32

  public init(scope: Scope, peers: [NodeID], retryMilliseconds: UInt32) {
    self.scope = scope
    self.peers = peers
    self.retryMilliseconds = retryMilliseconds
  }
}
