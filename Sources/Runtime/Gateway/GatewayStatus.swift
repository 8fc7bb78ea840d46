public import Base

/// A gateway at one moment: what `starling status --tunnels`, the API and `/metrics` show.
public struct GatewayStatus: Hashable, Sendable {
  /// The bound UDP address.
  public var listen: IPEndpoint
  public var tunnels: [TunnelStatus]
  /// Datagrams that belonged to no tunnel, by reason (`TunnelDrop` names), sorted by name.
  public var drops: [DropCount]
}

/// Packets dropped for one reason.
public struct DropCount: Hashable, Sendable {
  /// The reason as a metric label, for example `replayed`.
  public var reason: String
  public var packets: UInt64
}

/// One tunnel: a slice's link to one remote gateway.
public struct TunnelStatus: Hashable, Sendable {
  public enum State: String, Hashable, Sendable {
    /// No session, none being made: the next attempt waits for its time.
    case waiting
    /// No session yet; a handshake is under way.
    case connecting
    /// Carries traffic.
    case established
    /// Has a session, but the far side stopped answering.
    case unreachable
  }

  public var slice: String
  public var cluster: String
  public var replica: String
  public var state: State
  /// The remote address in use.
  public var endpoint: IPEndpoint?
  /// For example `TLS_AES_256_GCM_SHA384`, data `AES-256-GCM`.
  public var cipher: String?
  public var epoch: UInt64?
  public var keyAge: Duration?
  public var roundTripTime: Duration?
  public var jitter: Duration?
  /// Share of the last probes that got no answer, 0 to 1.
  public var loss: Double?
  public var sentPackets: UInt64
  public var sentBytes: UInt64
  public var receivedPackets: UInt64
  public var receivedBytes: UInt64
  /// Sorted by reason; reasons with no packet are left out.
  public var drops: [DropCount]
  /// End of the validity of our leaf and of theirs, seconds since 1970.
  public var localCertificateExpiry: Int64?
  public var remoteCertificateExpiry: Int64?
  /// How long ago the session in use was made by a full handshake.
  public var sessionAge: Duration?
  public var handshakes: UInt64
  public var failedHandshakes: UInt64
  public var rekeys: UInt64
  /// Why the last handshake failed, as a sentence; `nil` once one succeeded.
  public var lastError: String?
}
