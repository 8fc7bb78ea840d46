/// Every bound of the tunnel, in one place.
public enum TunnelLimits {
  /// Links of one gateway: remote gateways times slices.
  public static let links = 1_024
  /// Session slots of one gateway. A link has one, and for a short while a second one during a full
  /// handshake and a third that drains.
  public static let sessions = 4_096
  public static let sessionsPerLink = 4
  /// Relays that are asked at once.
  public static let relays = 3
  /// Addresses of one remote gateway.
  public static let endpoints = 8
  /// Blocks of one cluster in one slice.
  public static let blocks = 16
  /// Data lanes (sending threads) of one session; the control lane comes on top.
  public static let lanes = 16
  /// Lane number of session messages: probes, rekeys, closes.
  public static let controlLane: UInt8 = 255
  /// A handshake datagram, with everything: fits any path that carries IPv6.
  public static let handshakeDatagram = 1_200
  /// Bytes of TLS flights in one datagram.
  public static let fragment = 1_024
  /// Bytes of TLS flights of one side in one handshake.
  public static let flightBytes = 32_768
  /// Fragments that wait for an earlier one.
  public static let pendingFragments = 32
  /// A session message, without header, tag and padding.
  public static let sessionMessage = 1_024
  /// Slices of one gateway, each with a device.
  public static let devices = 256
  /// Inner MTU where nothing else is said.
  public static let innerMTU = 1_420
  /// Text of a refusal.
  public static let reason = 200
  /// Names of slices, clusters and replicas.
  public static let name = 253
  /// Counts behind the lane number: 56 bits.
  public static let counter: UInt64 = (1 << 56) - 1
  /// Payload of the segments that packets are cut into or merged from: below this a 64 KiB packet
  /// would be thousands of them.
  public static let leastSegment = 32
  /// Packets under one key: asks for the next epoch, and stops (`tunnel.md`).
  public static let softPackets: UInt64 = 1 << 27
  public static let hardPackets: UInt64 = 1 << 28
  /// AES blocks under one key. 2^34.5 blocks keep the advantage of a distinguisher below 2^-57
  /// (RFC 9147 appendix B derives its 2^24.5 records of 2^14 bytes from the same bound).
  public static let softBlocks: UInt64 = 1 << 33
  public static let hardBlocks: UInt64 = 1 << 34
  /// A full handshake comes long before the 16 epoch bits of the header could repeat.
  public static let epochs: UInt64 = 60_000
}

/// Times of the tunnel; the defaults are those of `tunnel.md`.
public struct TunnelTiming: Sendable {
  public var probeInterval: Duration = .milliseconds(300)
  /// While an answer is missing, probes come faster, so that one lost packet in ten does not look
  /// like a dead gateway.
  public var fastProbeInterval: Duration = .milliseconds(60)
  public var missedProbes = 3
  public var rekeyAfter: Duration = .seconds(120)
  public var rekeyJitter: Duration = .seconds(12)
  public var hardStopAfter: Duration = .seconds(180)
  /// A rekey that has not come through by then is helped by a full handshake.
  public var handshakeAfterStalledRekey: Duration = .seconds(150)
  /// Least time between two epochs: packets sealed before a switch leave the machine within it.
  public var epochSpacing: Duration = .milliseconds(100)
  public var previousEpochLeast: Duration = .seconds(10)
  public var previousEpochMost: Duration = .seconds(60)
  public var sessionLifetime: Duration = .seconds(3_600)
  /// How long the session before stays open for receiving once the next one carries traffic.
  public var sessionOverlap: Duration = .seconds(10)
  /// The side that is not to initiate waits this long for the other.
  public var initiativeDelay: Duration = .milliseconds(300)
  public var handshakeTimeout: Duration = .seconds(8)
  public var helloInterval: Duration = .milliseconds(100)
  public var helloIntervalMost: Duration = .seconds(2)
  public var retransmitAfter: Duration = .milliseconds(200)
  public var retransmitMost: Duration = .milliseconds(1_600)
  public var retryAfter: Duration = .milliseconds(250)
  public var retryMost: Duration = .seconds(5)
  /// How long the far side's own addresses are tried alone before relays are.
  public var relayAfter: Duration = .seconds(1)
  /// How often, and how long, a relayed link is tried directly again.
  public var directEvery: Duration = .seconds(60)
  public var directFor: Duration = .seconds(3)
  /// Least time for a challenge of a path to be answered.
  public var challengeLeast: Duration = .milliseconds(300)
  /// How often a path's size is looked at again, and how often a larger one is tried (RFC 8899
  /// section 5.1.1: PMTU_RAISE_TIMER).
  public var pathCheck: Duration = .seconds(30)
  public var pathRaise: Duration = .seconds(600)

  public init() {}
}
