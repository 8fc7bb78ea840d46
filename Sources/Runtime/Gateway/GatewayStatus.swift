public import Base
internal import Tunnel

/// A gateway at one moment: what `starling status --tunnels`, the API and `/metrics` show.
public struct GatewayStatus: Hashable, Sendable {
  /// Which of its cluster's gateways it is.
  public var replica = GatewayStatus.first
  /// The bound UDP address.
  public var listen: IPEndpoint
  public var tunnels: [TunnelStatus]
  /// Datagrams that belonged to no tunnel, by reason (`TunnelDrop` names), sorted by name.
  public var drops: [DropCount]
  /// What slices with a rate hold back, by slice and class.
  public var queues: [QueueStatus]
  /// Services that had traffic.
  public var services: [ServiceTraffic]

  /// A single gateway's name.
  static let first = "0"
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
  /// The cluster whose gateway hands everything on, where there is no direct path.
  public var relay: String?
  /// Our own address as the far side sees it.
  public var observed: IPEndpoint?
  /// That is another one than ours: there is address translation in front of us.
  public var isTranslated: Bool?
  /// The TLS 1.3 suite, `TLS_AES_256_GCM_SHA384`; packets are sealed with its AES-256-GCM.
  public var cipher: String?
  public var epoch: UInt64?
  public var keyAge: Duration?
  public var roundTripTime: Duration?
  public var jitter: Duration?
  /// Share of the last probes that got no answer, 0 to 1.
  public var loss: Double?
  /// The largest datagram that the path carries, without UDP and IP headers.
  public var pathSize: Int?
  public var sentPackets: UInt64
  public var sentBytes: UInt64
  public var receivedPackets: UInt64
  public var receivedBytes: UInt64
  /// The same by what inner packets asked for.
  public var classes: [ClassTraffic]
  /// Sorted by reason; reasons with no packet are left out.
  public var drops: [DropCount]
  /// Datagrams handed on to it for other gateways.
  public var relayedPackets: UInt64 = 0
  public var relayedBytes: UInt64 = 0
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

extension DropCount {
  /// The reasons that occurred, sorted by name.
  static func list(_ counters: [TrafficCounters]) -> [DropCount] {
    TunnelDrop.allCases.compactMap { reason in
      let packets = counters.reduce(0) { $0 + $1.drops[reason.rawValue] }
      return packets == 0 ? nil : DropCount(reason: reason.name, packets: packets)
    }.sorted { $0.reason < $1.reason }
  }
}

extension TunnelStatus {
  init(
    _ link: LinkStatus, received: TrafficCounters, sent: TrafficCounters, localExpiry: Int64?,
    isTranslated: Bool?
  ) {
    slice = link.id.slice
    cluster = link.id.cluster
    replica = link.id.replica
    switch link.state {
    case .waiting: state = .waiting
    case .connecting: state = .connecting
    case .established: state = .established
    case .unreachable: state = .unreachable
    }
    endpoint = link.endpoint
    relay = link.relay?.cluster
    observed = link.observed
    self.isTranslated = isTranslated
    cipher = link.peer?.cipher
    epoch = link.epoch
    keyAge = link.keyAge
    roundTripTime = link.roundTripTime
    jitter = link.jitter
    loss = link.loss
    pathSize = link.pathSize
    sentPackets = sent.packets
    sentBytes = sent.bytes
    receivedPackets = received.packets
    receivedBytes = received.bytes
    classes = ClassTraffic.list(sent: sent, received: received)
    drops = DropCount.list([received, sent])
    relayedPackets = sent.relayedPackets
    relayedBytes = sent.relayedBytes
    localCertificateExpiry = link.peer?.localExpiry ?? localExpiry
    remoteCertificateExpiry = link.peer?.remoteExpiry
    sessionAge = link.sessionAge
    handshakes = link.handshakes
    failedHandshakes = link.failedHandshakes
    rekeys = link.rekeys
    lastError = link.lastError
  }
}
