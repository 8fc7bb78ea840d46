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
    var endpoint: String?

    init(_ event: GatewayEvent) {
      switch event {
      case .reachability(let slice, let cluster, let reachable):
        self.event = "reachability"
        (self.slice, self.cluster, self.reachable) = (slice, cluster, reachable)
      case .established(let slice, let cluster, let replica):
        self.event = "established"
        (self.slice, self.cluster, self.replica) = (slice, cluster, replica)
      case .roamed(let slice, let cluster, let replica, let endpoint):
        self.event = "roamed"
        (self.slice, self.cluster, self.replica) = (slice, cluster, replica)
        self.endpoint = endpoint.description
      case .handshakeFailed(let slice, let cluster, let replica, let reason):
        self.event = "handshakeFailed"
        (self.slice, self.cluster, self.replica) = (slice, cluster, replica)
        self.reason = reason
      case .unreachable(let endpoint, let reason):
        self.event = "unreachable"
        (self.endpoint, self.reason) = (endpoint.description, reason)
      case .sliceFailed(let slice, let reason):
        self.event = "sliceFailed"
        (self.slice, self.reason) = (slice, reason)
      }
    }
  }

  static func line(_ event: GatewayEvent) -> String {
    encode(Event(event))
  }

  static func listening(_ status: GatewayStatus) -> String {
    encode(["event": "listening", "address": status.listen.description])
  }

  static func line(_ status: GatewayStatus, _ failures: [String: String]) -> String {
    String(decoding: GatewayStatusFile.json(status, failures: failures), as: UTF8.self)
  }

  private static func encode(_ value: some Encodable) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return (try? encoder.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
  }
}
