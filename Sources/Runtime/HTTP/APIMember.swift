public import Base

/// One peer of `GET /v1/members`, ascending by cluster, then node.
public struct APIMember: Codable, Hashable, Sendable {
  public enum State: String, Codable, Sendable {
    case alive
    /// Answers are lost more often than not: used last.
    case degraded
    case suspect
    case dead
    /// It left on purpose.
    case left
    /// Admitted, never heard of.
    case unknown
  }

  public var cluster: String
  public var node: NodeID
  public var key: PublicKey
  public var isSelf: Bool
  public var state: State
  /// When it entered that state, as this peer saw it.
  public var since: APITime?
  public var addresses: [String]
  /// `nil` where never measured.
  public var roundTripMilliseconds: Double?
  /// Share of unanswered probes, 0 to 1.
  public var loss: Double?
  public var bootEpoch: UInt64
  public var incarnation: UInt32
  public var version: String?
  public var labels: [String: String]
  public var latitude: Double?
  public var longitude: Double?
  /// Whether the digests of all shared scopes were equal when last compared.
  public var synced: Bool?

  public init(
    cluster: String, node: NodeID, key: PublicKey, isSelf: Bool, state: State,
    since: APITime? = nil, addresses: [String] = [], roundTripMilliseconds: Double? = nil,
    loss: Double? = nil, bootEpoch: UInt64 = 0, incarnation: UInt32 = 0, version: String? = nil,
    labels: [String: String] = [:], latitude: Double? = nil, longitude: Double? = nil,
    synced: Bool? = nil
  ) {
    self.cluster = cluster
    self.node = node
    self.key = key
    self.isSelf = isSelf
    self.state = state
    self.since = since
    self.addresses = addresses
    self.roundTripMilliseconds = roundTripMilliseconds
    self.loss = loss
    self.bootEpoch = bootEpoch
    self.incarnation = incarnation
    self.version = version
    self.labels = labels
    self.latitude = latitude
    self.longitude = longitude
    self.synced = synced
  }
}

/// `GET /v1/members/events`: server-sent events named `member`, one per change of state.
public struct APIMemberEvent: Codable, Hashable, Sendable {
  public var at: APITime
  public var member: APIMember
  public var previous: APIMember.State?

  public init(at: APITime, member: APIMember, previous: APIMember.State?) {
    self.at = at
    self.member = member
    self.previous = previous
  }
}
