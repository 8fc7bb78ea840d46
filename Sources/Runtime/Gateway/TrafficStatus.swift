internal import Tunnel

/// Inner packets in both directions.
public struct TrafficFigures: Codable, Hashable, Sendable {
  public var sentPackets: UInt64 = 0
  public var sentBytes: UInt64 = 0
  public var receivedPackets: UInt64 = 0
  public var receivedBytes: UInt64 = 0

  init(sent: TrafficCount, received: TrafficCount) {
    sentPackets = sent.packets
    sentBytes = sent.bytes
    receivedPackets = received.packets
    receivedBytes = received.bytes
  }
}

/// The part of a tunnel's traffic that asked for one class (`standard`, `background`, `assured`,
/// `expedited`).
public struct ClassTraffic: Hashable, Sendable {
  public var name: String
  public var figures: TrafficFigures

  /// All classes, in the order of their numbers.
  static func list(sent: TrafficCounters, received: TrafficCounters) -> [ClassTraffic] {
    TrafficClass.allCases.map { kind in
      ClassTraffic(
        name: kind.name,
        figures: TrafficFigures(
          sent: sent.classes[kind.rawValue], received: received.classes[kind.rawValue]))
    }
  }
}

/// What a slice holds back of one class. Only of slices with a rate, or on a link with one.
public struct QueueStatus: Hashable, Sendable {
  public var slice: String
  public var className: String
  /// What waits now.
  public var bytes: Int
  /// Packets (segments) without room, and those dropped since the queue stood too long.
  public var refusedPackets: UInt64
  public var delayedPackets: UInt64
  public var malformedPackets: UInt64
  /// Packets marked as congested instead of dropped.
  public var markedPackets: UInt64

  static func list(_ slice: String, _ queues: [QueueFigures]) -> [QueueStatus] {
    zip(TrafficClass.allCases, queues).map { kind, queue in
      QueueStatus(
        slice: slice, className: kind.name, bytes: queue.bytes, refusedPackets: queue.refused,
        delayedPackets: queue.delayed, malformedPackets: queue.malformed,
        markedPackets: queue.marked)
    }
  }
}

/// The traffic of one service with one remote cluster.
public struct ServiceTraffic: Hashable, Sendable {
  public var slice: String
  /// The cluster at the tunnel's other end.
  public var cluster: String
  /// The cluster that exports the service: that one, or this gateway's.
  public var exporter: String
  public var namespace: String
  public var name: String
  public var figures: TrafficFigures
}
