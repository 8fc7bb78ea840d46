public import Base
public import Replication

/// One changeset: of `GET /v1/log`, newest first, and of `GET /v1/changesets/{id}`.
public struct APIChangeset: Codable, Hashable, Sendable {
  public enum State: String, Codable, Sendable {
    case counting
    /// A floor on its grant, or above, voids it.
    case void
    /// Its author may not write that.
    case unauthorized
    /// Waits for its grant chain.
    case pending
    /// Its HLC is ahead of the local clock.
    case held
    /// Never stored: `reason` says why.
    case refused
    /// It made a consumer fail.
    case quarantined
  }

  public var id: Digest
  public var state: State
  /// Why it does not count; empty where it does.
  public var reason: String
  public var scope: Scope
  public var under: Digest
  public var author: PublicKey
  public var hlc: HybridTime
  public var at: APITime
  /// When this peer got it.
  public var receivedAt: APITime?
  public var message: String
  public var writes: [APIWrite]
  public var grant: APIGivenGrant?
  public var floors: [APIGivenFloor]
  public var rootKeys: [PublicKey]?
  public var rootThreshold: Int?
  /// Keys whose signatures were verified.
  public var endorsedBy: [PublicKey]
  public var bytes: Int
  /// The signed Protobuf message, hexadecimal; only of `/v1/changesets/{id}`.
  public var raw: String?

  public init(
    id: Digest, state: State, reason: String = "", scope: Scope, under: Digest, author: PublicKey,
    hlc: HybridTime, receivedAt: APITime? = nil, message: String = "", writes: [APIWrite] = [],
    grant: APIGivenGrant? = nil, floors: [APIGivenFloor] = [], rootKeys: [PublicKey]? = nil,
    rootThreshold: Int? = nil, endorsedBy: [PublicKey] = [], bytes: Int, raw: String? = nil
  ) {
    self.id = id
    self.state = state
    self.reason = reason
    self.scope = scope
    self.under = under
    self.author = author
    self.hlc = hlc
    at = APITime(hlc)
    self.receivedAt = receivedAt
    self.message = message
    self.writes = writes
    self.grant = grant
    self.floors = floors
    self.rootKeys = rootKeys
    self.rootThreshold = rootThreshold
    self.endorsedBy = endorsedBy
    self.bytes = bytes
    self.raw = raw
  }

  /// What the changeset itself says.
  public init(
    _ changeset: Changeset, state: State, reason: String = "", receivedAt: APITime? = nil,
    bytes: Int, raw: [UInt8]? = nil
  ) {
    self.init(
      id: changeset.id, state: state, reason: reason, scope: changeset.scope,
      under: changeset.under, author: changeset.author, hlc: changeset.time,
      receivedAt: receivedAt, message: changeset.message,
      writes: changeset.writes.map(APIWrite.init), grant: changeset.grant.map(APIGivenGrant.init),
      floors: changeset.floors.map(APIGivenFloor.init),
      rootKeys: changeset.rootChange?.root.keys,
      rootThreshold: changeset.rootChange?.root.threshold,
      endorsedBy: changeset.endorsements.map(\.key), bytes: bytes, raw: raw?.hex)
  }
}

public struct APIWrite: Codable, Hashable, Sendable {
  public var path: String
  public var deletes: Bool
  public var value: Value?
  public var counter: UInt64
  public var context: VersionVector

  public init(_ write: Write) {
    path = write.path
    deletes = write.value == nil
    value = write.value
    counter = write.counter
    context = write.context
  }
}

/// A grant as a changeset gives it.
public struct APIGivenGrant: Codable, Hashable, Sendable {
  public var subject: PublicKey
  public var capabilities: [Capability]
  public var notAfter: APITime?
  public var delegationDepth: Int

  public init(_ grant: Grant) {
    subject = grant.subject
    capabilities = grant.capabilities
    notAfter = grant.notAfterMilliseconds.map(APITime.init(milliseconds:))
    delegationDepth = grant.delegationDepth
  }
}

public struct APIGivenFloor: Codable, Hashable, Sendable {
  public var grant: Digest
  public var floor: HybridTime
  public var keep: [Digest]

  public init(_ floor: Floor) {
    grant = floor.grant
    self.floor = floor.time
    keep = floor.keep
  }
}

/// What `GET /v1/log` asks for.
public struct APILogQuery: Hashable, Sendable {
  /// 1...1000.
  public var limit: Int
  /// Only changesets that write at or below this path.
  public var path: String?
  /// Refused, pending and held ones instead of those in the log.
  public var rejected: Bool
  public static let maximumLimit = 1000

  public init(limit: Int = 50, path: String? = nil, rejected: Bool = false) {
    self.limit = limit
    self.path = path
    self.rejected = rejected
  }
}

/// `POST /v1/changesets`: one result per changeset, in the order in which they were sent.
public struct APIPushAnswer: Codable, Hashable, Sendable {
  public var results: [APIPushResult]

  public init(results: [APIPushResult]) {
    self.results = results
  }
}

public struct APIPushResult: Codable, Hashable, Sendable {
  public enum Outcome: String, Codable, Sendable {
    /// Durable here, counting, on its way.
    case accepted
    /// Durable here; waits for its grant chain.
    case pending
    /// Its HLC is ahead of this peer's clock; counts when the clock gets there.
    case held
    case duplicate
    case refused
  }

  /// `nil` where the bytes could not be read.
  public var id: Digest?
  public var outcome: Outcome
  /// One sentence; empty where accepted.
  public var reason: String
  public var fix: String

  public init(id: Digest?, outcome: Outcome, reason: String = "", fix: String = "") {
    self.id = id
    self.outcome = outcome
    self.reason = reason
    self.fix = fix
  }
}

/// `GET /v1/changesets/{id}/progress`: server-sent events `expected` first, `confirmed` per cluster,
/// `done` last.
public enum APIProgress: Hashable, Sendable {
  case expected(APIProgressExpected)
  case confirmed(APIProgressConfirmed)
  case done(APIProgressDone)
}

/// The clusters that replicate its scope, ascending; those known dead are not waited for.
public struct APIProgressExpected: Codable, Hashable, Sendable {
  public var clusters: [String]
  public var dead: [String]

  public init(clusters: [String], dead: [String]) {
    self.clusters = clusters
    self.dead = dead
  }
}

public struct APIProgressConfirmed: Codable, Hashable, Sendable {
  public var cluster: String
  /// Since this peer accepted the changeset.
  public var elapsedMilliseconds: Double
  public var confirmed: Int
  public var total: Int

  public init(cluster: String, elapsedMilliseconds: Double, confirmed: Int, total: Int) {
    self.cluster = cluster
    self.elapsedMilliseconds = elapsedMilliseconds
    self.confirmed = confirmed
    self.total = total
  }
}

public struct APIProgressDone: Codable, Hashable, Sendable {
  public var confirmed: Int
  public var total: Int
  public var elapsedMilliseconds: Double
  /// Clusters that did not confirm in time, ascending.
  public var missing: [String]

  public init(confirmed: Int, total: Int, elapsedMilliseconds: Double, missing: [String]) {
    self.confirmed = confirmed
    self.total = total
    self.elapsedMilliseconds = elapsedMilliseconds
    self.missing = missing
  }
}
