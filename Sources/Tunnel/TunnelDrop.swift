/// Why a packet went no further. Counted by reason, never answered, never a trap.
public enum TunnelDrop: Int, CaseIterable, Hashable, Sendable {
  // Before any cryptography.
  case malformed
  case unknownSession
  case unknownLink
  case unknownLane
  case unknownEpoch
  case replayed
  case rateLimited
  case queueFull
  // After it.
  case forged
  case badSource
  case badDestination
  case badInnerPacket
  /// The path marked it as congested, and its sender would not understand the mark (RFC 6040).
  case congestion
  /// A relayed packet whose addressee has no direct session here, or that may not be handed on.
  case noRelay
  // On the way out.
  case noRoute
  case noSession
  case keyExhausted
  case keyExpired
  case tooBig
  case sendFailed
  case deviceFailed

  public static let count = allCases.count

  /// The metric label.
  public var name: String {
    switch self {
    case .malformed: "malformed"
    case .unknownSession: "unknown_session"
    case .unknownLink: "unknown_link"
    case .unknownLane: "unknown_lane"
    case .unknownEpoch: "unknown_epoch"
    case .replayed: "replayed"
    case .rateLimited: "rate_limited"
    case .queueFull: "queue_full"
    case .forged: "forged"
    case .badSource: "bad_source"
    case .badDestination: "bad_destination"
    case .badInnerPacket: "bad_inner_packet"
    case .congestion: "congestion"
    case .noRelay: "no_relay"
    case .noRoute: "no_route"
    case .noSession: "no_session"
    case .keyExhausted: "key_exhausted"
    case .keyExpired: "key_expired"
    case .tooBig: "too_big"
    case .sendFailed: "send_failed"
    case .deviceFailed: "device_failed"
    }
  }
}

/// Packets and bytes of one link in one direction, and what was dropped of them.
public struct TrafficCounters: Hashable, Sendable {
  /// By `TrafficClass.rawValue`.
  public internal(set) var classes = [TrafficCount](
    repeating: TrafficCount(), count: TrafficClass.count)
  /// Datagrams handed on for others, and their bytes.
  public internal(set) var relayedPackets: UInt64 = 0
  public internal(set) var relayedBytes: UInt64 = 0
  /// By `TunnelDrop.rawValue`.
  public internal(set) var drops = [UInt64](repeating: 0, count: TunnelDrop.count)

  public init() {}

  public var packets: UInt64 { classes.reduce(0) { $0 &+ $1.packets } }
  /// Inner bytes.
  public var bytes: UInt64 { classes.reduce(0) { $0 &+ $1.bytes } }

  public mutating func drop(_ reason: TunnelDrop, _ packets: Int = 1) {
    drops[reason.rawValue] &+= UInt64(packets)
  }
}
