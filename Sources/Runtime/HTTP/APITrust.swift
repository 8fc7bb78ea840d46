public import Base
public import Replication

/// `GET /v1/grants`: the chains of grants and the floors on them.
public struct APIGrants: Codable, Hashable, Sendable {
  /// The root version in force comes first, then ascending by (HLC, ID).
  public var grants: [APIGrant]
  public var floors: [APIFloor]

  public init(grants: [APIGrant], floors: [APIFloor]) {
    self.grants = grants
    self.floors = floors
  }
}

public struct APIGrant: Codable, Hashable, Sendable {
  public enum State: String, Codable, Sendable {
    case valid
    /// Its not-after is over: what it signed before counts on.
    case expired
    /// A floor voids it, or one above it.
    case void
    /// Its chain has not arrived.
    case pending
    /// A root version that a later one replaced.
    case superseded
  }

  public var id: Digest
  /// The grant it hangs under; `nil` for the genesis.
  public var under: Digest?
  /// Whom it is for; `nil` for a root version, which has `rootKeys`.
  public var subject: PublicKey?
  public var rootKeys: [PublicKey]?
  public var rootThreshold: Int?
  public var capabilities: [Capability]
  public var notAfter: APITime?
  public var delegationDepth: Int
  public var author: PublicKey?
  public var hlc: HybridTime
  public var at: APITime
  public var message: String
  public var state: State
  /// Which floor voids it, or what else is the matter.
  public var detail: String
  /// Live changesets directly under it.
  public var changesets: Int

  public init(
    id: Digest, under: Digest?, subject: PublicKey?, rootKeys: [PublicKey]? = nil,
    rootThreshold: Int? = nil, capabilities: [Capability], notAfter: APITime? = nil,
    delegationDepth: Int, author: PublicKey?, hlc: HybridTime, message: String = "",
    state: State, detail: String = "", changesets: Int = 0
  ) {
    self.id = id
    self.under = under
    self.subject = subject
    self.rootKeys = rootKeys
    self.rootThreshold = rootThreshold
    self.capabilities = capabilities
    self.notAfter = notAfter
    self.delegationDepth = delegationDepth
    self.author = author
    self.hlc = hlc
    at = APITime(hlc)
    self.message = message
    self.state = state
    self.detail = detail
    self.changesets = changesets
  }
}

public struct APIFloor: Codable, Hashable, Sendable {
  /// The changeset that carries it.
  public var changeset: Digest
  public var grant: Digest
  public var author: PublicKey
  /// `ffffffffffffffff` is `max`.
  public var floor: HybridTime
  public var keep: [Digest]
  public var hlc: HybridTime
  public var at: APITime
  public var counting: Bool

  public init(
    changeset: Digest, grant: Digest, author: PublicKey, floor: HybridTime, keep: [Digest],
    hlc: HybridTime, counting: Bool
  ) {
    self.changeset = changeset
    self.grant = grant
    self.author = author
    self.floor = floor
    self.keep = keep
    self.hlc = hlc
    at = APITime(hlc)
    self.counting = counting
  }
}

/// `GET /v1/grants/{id}`: a grant and what lives under it, for `starling revoke`.
public struct APIGrantDetail: Codable, Hashable, Sendable {
  public var grant: APIGrant
  /// From the root version down to the grant's parent.
  public var chain: [APIGrant]
  /// Changesets directly under it that count and still show: newest first.
  public var live: [APIChangeset]
  /// Grants below it, however deep.
  public var subtree: [APIGrant]

  public init(
    grant: APIGrant, chain: [APIGrant], live: [APIChangeset], subtree: [APIGrant]
  ) {
    self.grant = grant
    self.chain = chain
    self.live = live
    self.subtree = subtree
  }
}
