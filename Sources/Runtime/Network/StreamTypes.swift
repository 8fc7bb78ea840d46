public import Base

/// Names a connection for as long as it lasts.
public typealias StreamID = UInt64

/// Who is at the far end.
public enum StreamIdentity: Hashable, Sendable {
  /// A peer that the signed state admits, proved by TLS and its cluster's CA.
  case peer(NodeID, cluster: String)
  /// Anyone else. What it says of itself is not proved.
  case unadmitted

  public var node: NodeID? {
    if case .peer(let id, _) = self { id } else { nil }
  }
}

public enum StreamDirection: Hashable, Sendable {
  case inbound
  case outbound
}

/// Decides who presented a certificate chain (X.509 DER, leaf first) by the state as it is now.
/// `PeerAuthenticator` is the one of the daemon.
public typealias StreamAuthenticator = @Sendable ([[UInt8]]) async -> StreamIdentity

/// What happens on streams. All come on the transport's event loop, in order of each connection; the
/// receiver's time in the handler holds back reading.
public enum StreamEvent: Sendable {
  case opened(StreamID, StreamIdentity, StreamDirection, remote: IPEndpoint)
  /// After `trustChanged`: a connection of an unadmitted peer is one of a member now.
  case identified(StreamID, StreamIdentity)
  case frame(StreamID, StreamIdentity, [UInt8])
  /// Only after `opened`.
  case closed(StreamID, StreamIdentity, StreamClosure)
  /// No connection to it came about, or none is tried until its back-off ends; its frames are lost.
  case unreachable(NodeID, reason: String, frames: Int)
  /// The same for `contact`.
  case addressUnreachable(String, reason: String)
  /// A frame above a bound of the queue was dropped.
  case dropped(NodeID, bytes: Int)
  /// A connection that came to nothing, or was ended for what it did.
  case refused(StreamRefusal, source: IPEndpoint?)
}

public enum StreamClosure: Hashable, Sendable {
  /// The far end closed it.
  case remote
  case idle
  /// The far end is no member any more, or its certificate is no longer good.
  case untrusted
  /// A newer connection has taken its place.
  case replaced
  case refused(StreamRefusal)
  case failed(String)
  case shutdown
}

/// Why a connection was refused or ended.
public enum StreamRefusal: UInt8, Hashable, Sendable, CaseIterable {
  case tooManyConnections
  case tooManyFromSource
  /// It connects more often than anybody needs to.
  case tooOften
  case tooManyUnadmitted
  case tooManyOfPeer
  /// No TLS, no certificate, or no end to the handshake.
  case handshakeFailed
  case handshakeTimeout
  /// Somebody else answered than the peer that was called.
  case wrongPeer
  /// It may not have more while it is not admitted.
  case unadmittedLimit
  case badFrame

  /// For metric labels: `bad_frame`.
  public var label: String {
    switch self {
    case .tooManyConnections: "too_many_connections"
    case .tooManyFromSource: "too_many_from_source"
    case .tooOften: "too_often"
    case .tooManyUnadmitted: "too_many_unadmitted"
    case .tooManyOfPeer: "too_many_of_peer"
    case .handshakeFailed: "handshake_failed"
    case .handshakeTimeout: "handshake_timeout"
    case .wrongPeer: "wrong_peer"
    case .unadmittedLimit: "unadmitted_limit"
    case .badFrame: "bad_frame"
    }
  }
}

/// Bounds of the stream transport.
public struct StreamLimits: Sendable {
  public var connections = 1_024
  /// Inbound, before the far end is known or where it is not admitted.
  public var unknownPerSource = 16
  public var handshakes = 64
  /// New inbound connections of one source: many peers may share an address behind one gateway.
  public var acceptsBurst = 128.0
  public var acceptsPerSecond = 32.0
  public var unadmitted = 16
  /// Of one peer; two may come about when both sides connect at once.
  public var perPeer = 2
  /// What an unadmitted client may send in all; its token, grants and record fit several times.
  public var unadmittedBytes = 256 << 10
  public var unadmittedFrames = 32
  public var unadmittedLifetime: Duration = .seconds(60)
  public var handshakeTimeout: Duration = .seconds(5)
  public var connectTimeout: Duration = .seconds(3)
  public var idleTimeout: Duration = .seconds(60)
  /// How often idle connections are looked for.
  public var sweepInterval: Duration = .seconds(5)
  /// Bytes that wait for one peer, connected or not, and for all together.
  public var queuedBytes = 8 << 20
  public var queuedBytesInAll = 64 << 20
  /// Full jitter: after the n-th failure, anything up to `min(firstDelay · 2^n, lastDelay)`.
  public var firstDelay: Duration = .milliseconds(250)
  public var lastDelay: Duration = .seconds(5)

  public init() {}
}
