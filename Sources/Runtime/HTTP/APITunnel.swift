/// One tunnel of `GET /v1/tunnels`, ascending by slice, cluster, replica, gateway.
public struct APITunnel: Codable, Hashable, Sendable {
  public enum State: String, Codable, Sendable {
    case waiting
    case connecting
    case established
    case unreachable
  }

  public var slice: String
  public var cluster: String
  public var replica: String
  public var state: State
  /// Which gateway of this cluster has it.
  public var gateway: String?
  /// The local and the remote UDP address.
  public var listen: String?
  public var endpoint: String?
  /// The cluster whose gateway hands everything on, where there is no direct path.
  public var relay: String?
  /// Our own address as the far side sees it.
  public var observed: String?
  /// That is another one than ours: there is address translation in front of us.
  public var isTranslated: Bool?
  /// The largest datagram that the path carries, without UDP and IP headers.
  public var pathSize: Int?
  /// Handshake and data cipher.
  public var cipher: String?
  public var epoch: UInt64?
  public var keyAgeMilliseconds: UInt64?
  public var sessionAgeMilliseconds: UInt64?
  public var roundTripMilliseconds: Double?
  public var jitterMilliseconds: Double?
  /// Share of unanswered probes, 0 to 1.
  public var loss: Double?
  public var sentPackets: UInt64
  public var sentBytes: UInt64
  public var receivedPackets: UInt64
  public var receivedBytes: UInt64
  /// Packets dropped, by reason.
  public var drops: [String: UInt64]
  /// Datagrams handed on to it for other gateways.
  public var relayedPackets: UInt64?
  public var handshakes: UInt64
  public var failedHandshakes: UInt64
  public var rekeys: UInt64
  public var localCertificateExpiresAt: APITime?
  public var remoteCertificateExpiresAt: APITime?
  public var lastError: String?

  public init(
    slice: String, cluster: String, replica: String, state: State, gateway: String? = nil,
    listen: String? = nil,
    endpoint: String? = nil, relay: String? = nil, observed: String? = nil,
    isTranslated: Bool? = nil, pathSize: Int? = nil,
    cipher: String? = nil, epoch: UInt64? = nil,
    keyAgeMilliseconds: UInt64? = nil, sessionAgeMilliseconds: UInt64? = nil,
    roundTripMilliseconds: Double? = nil, jitterMilliseconds: Double? = nil, loss: Double? = nil,
    sentPackets: UInt64 = 0, sentBytes: UInt64 = 0, receivedPackets: UInt64 = 0,
    receivedBytes: UInt64 = 0, drops: [String: UInt64] = [:],
    relayedPackets: UInt64? = nil, handshakes: UInt64 = 0,
    failedHandshakes: UInt64 = 0, rekeys: UInt64 = 0, localCertificateExpiresAt: APITime? = nil,
    remoteCertificateExpiresAt: APITime? = nil, lastError: String? = nil
  ) {
    self.slice = slice
    self.cluster = cluster
    self.replica = replica
    self.state = state
    self.gateway = gateway
    self.listen = listen
    self.endpoint = endpoint
    self.relay = relay
    self.observed = observed
    self.isTranslated = isTranslated
    self.pathSize = pathSize
    self.cipher = cipher
    self.epoch = epoch
    self.keyAgeMilliseconds = keyAgeMilliseconds
    self.sessionAgeMilliseconds = sessionAgeMilliseconds
    self.roundTripMilliseconds = roundTripMilliseconds
    self.jitterMilliseconds = jitterMilliseconds
    self.loss = loss
    self.sentPackets = sentPackets
    self.sentBytes = sentBytes
    self.receivedPackets = receivedPackets
    self.receivedBytes = receivedBytes
    self.drops = drops
    self.relayedPackets = relayedPackets
    self.handshakes = handshakes
    self.failedHandshakes = failedHandshakes
    self.rekeys = rekeys
    self.localCertificateExpiresAt = localCertificateExpiresAt
    self.remoteCertificateExpiresAt = remoteCertificateExpiresAt
    self.lastError = lastError
  }
}

/// `GET /v1/explain`: the chain from the signed change to the packet, in that order. Steps after the
/// first that failed are `skipped` where they could not be looked at.
public struct APIExplanation: Codable, Hashable, Sendable {
  public enum Verdict: String, Codable, Sendable {
    case ok
    case failed
    /// It works, and something is not as it should be.
    case degraded
  }

  /// What was asked: `name web.shop.svc.slice.local`.
  public var subject: String
  public var verdict: Verdict
  /// One sentence.
  public var summary: String
  public var steps: [APIExplainStep]

  public init(subject: String, verdict: Verdict, summary: String, steps: [APIExplainStep]) {
    self.subject = subject
    self.verdict = verdict
    self.summary = summary
    self.steps = steps
  }
}

public struct APIExplainStep: Codable, Hashable, Sendable {
  public enum Outcome: String, Codable, Sendable {
    case ok
    case warning
    case failed
    case skipped
  }

  public var title: String
  public var outcome: Outcome
  public var detail: String
  /// What to do; empty where all is well.
  public var fix: String

  public init(title: String, outcome: Outcome, detail: String, fix: String = "") {
    self.title = title
    self.outcome = outcome
    self.detail = detail
    self.fix = fix
  }
}

/// What `GET /v1/explain?name=|slice=|tunnel=` asks about.
public enum APIExplainSubject: Hashable, Sendable {
  case name(String)
  case slice(String)
  /// A cluster, or `slice/cluster`.
  case tunnel(String)
}
