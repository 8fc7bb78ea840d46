import Base
import Foundation
import Runtime

/// Events and status as lines of JSON, for whoever runs the process.
enum GatewayReport {
  private struct Event: Encodable {
    var event: String
    var slice: String?
    var cluster: String?
    var replica: String?
    var reachable: Bool?
    var reason: String?

    init(_ event: GatewayEvent) {
      switch event {
      case .reachability(let slice, let cluster, let reachable):
        self.event = "reachability"
        (self.slice, self.cluster, self.reachable) = (slice, cluster, reachable)
      case .established(let slice, let cluster, let replica):
        self.event = "established"
        (self.slice, self.cluster, self.replica) = (slice, cluster, replica)
      case .handshakeFailed(let slice, let cluster, let replica, let reason):
        self.event = "handshakeFailed"
        (self.slice, self.cluster, self.replica) = (slice, cluster, replica)
        self.reason = reason
      case .sliceFailed(let slice, let reason):
        self.event = "sliceFailed"
        (self.slice, self.reason) = (slice, reason)
      }
    }
  }

  private struct Status: Encodable {
    var event = "status"
    var listen: String
    var tunnels: [Tunnel]
    var queues: [Queue]
    var services: [Service]
    var drops: [String: UInt64]
  }

  private struct Traffic: Encodable {
    var sentPackets: UInt64
    var sentBytes: UInt64
    var receivedPackets: UInt64
    var receivedBytes: UInt64

    init(_ figures: TrafficFigures) {
      sentPackets = figures.sentPackets
      sentBytes = figures.sentBytes
      receivedPackets = figures.receivedPackets
      receivedBytes = figures.receivedBytes
    }
  }

  private struct Queue: Encodable {
    var slice: String
    var className: String
    var bytes: Int
    var refused: UInt64
    var delayed: UInt64
    var malformed: UInt64
    var marked: UInt64
  }

  private struct Service: Encodable {
    var slice: String
    var cluster: String
    var exporter: String
    var service: String
    var traffic: Traffic
  }

  private struct Tunnel: Encodable {
    var slice: String
    var cluster: String
    var replica: String
    var state: String
    var endpoint: String?
    var epoch: UInt64?
    var rekeys: UInt64
    var handshakes: UInt64
    var failedHandshakes: UInt64
    var roundTripMicroseconds: Double?
    var loss: Double?
    var pathSize: Int?
    var sentPackets: UInt64
    var sentBytes: UInt64
    var receivedPackets: UInt64
    var receivedBytes: UInt64
    var classes: [String: Traffic]
    var drops: [String: UInt64]
    var lastError: String?
  }

  static func line(_ event: GatewayEvent) -> String {
    encode(Event(event))
  }

  static func listening(_ status: GatewayStatus) -> String {
    encode(["event": "listening", "address": status.listen.description])
  }

  static func line(_ status: GatewayStatus) -> String {
    encode(
      Status(
        listen: status.listen.description, tunnels: status.tunnels.map(tunnel),
        queues: status.queues.map {
          Queue(
            slice: $0.slice, className: $0.className, bytes: $0.bytes, refused: $0.refusedPackets,
            delayed: $0.delayedPackets, malformed: $0.malformedPackets, marked: $0.markedPackets)
        },
        services: status.services.map {
          Service(
            slice: $0.slice, cluster: $0.cluster, exporter: $0.exporter,
            service: "\($0.namespace)/\($0.name)", traffic: Traffic($0.figures))
        },
        drops: drops(status.drops)))
  }

  private static func tunnel(_ status: TunnelStatus) -> Tunnel {
    Tunnel(
      slice: status.slice, cluster: status.cluster, replica: status.replica,
      state: status.state.rawValue, endpoint: status.endpoint?.description, epoch: status.epoch,
      rekeys: status.rekeys, handshakes: status.handshakes,
      failedHandshakes: status.failedHandshakes,
      roundTripMicroseconds: status.roundTripTime.map { Double($0.nanoseconds) / 1e3 },
      loss: status.loss, pathSize: status.pathSize, sentPackets: status.sentPackets,
      sentBytes: status.sentBytes,
      receivedPackets: status.receivedPackets, receivedBytes: status.receivedBytes,
      classes: Dictionary(
        status.classes.map { ($0.name, Traffic($0.figures)) }, uniquingKeysWith: { a, _ in a }),
      drops: drops(status.drops), lastError: status.lastError)
  }

  private static func drops(_ counts: [DropCount]) -> [String: UInt64] {
    Dictionary(counts.map { ($0.reason, $0.packets) }, uniquingKeysWith: +)
  }

  private static func encode(_ value: some Encodable) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return (try? encoder.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
  }
}
