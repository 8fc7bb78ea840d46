internal import Base
internal import Foundation

/// A gateway's status as one line of JSON: what a gateway process writes beside its plan and prints
/// when asked, and what `starlingd` reads. Times are milliseconds; fields that are not known are left
/// out.
public enum GatewayStatusFile {
  /// The status of every tunnel that one gateway may have fits.
  public static let limit = 8 << 20

  /// Where a gateway process with its plan at `path` says how it is.
  public static func path(forPlan path: String) -> String { path + ".status" }

  public static func json(_ status: GatewayStatus, failures: [String: String] = [:]) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let text = Text(
      replica: status.replica, listen: status.listen.description,
      tunnels: status.tunnels.map(Text.Tunnel.init),
      drops: counts(status.drops), queues: status.queues.map(Text.Queue.init),
      services: status.services.map(Text.Service.init), failures: failures)
    return (try? encoder.encode(text)).map { Array($0) } ?? Array("{}".utf8)
  }

  /// The status, and by slice why it is not served. The sentence says what is wrong.
  public static func read(
    _ json: [UInt8]
  ) throws(GatewayError) -> (status: GatewayStatus, failures: [String: String]) {
    let text: Text
    do {
      text = try JSONDecoder().decode(Text.self, from: Data(json))
    } catch {
      throw .refused("the gateway's status is not what this version writes: \(error)")
    }
    guard let listen = IPEndpoint(text.listen) else {
      throw .refused("the gateway's status: \"\(text.listen)\" is no address")
    }
    let status = GatewayStatus(
      replica: text.replica ?? GatewayStatus.first, listen: listen,
      tunnels: text.tunnels.map(\.status), drops: list(text.drops),
      queues: text.queues.map(\.status), services: text.services.map(\.status))
    return (status, text.failures ?? [:])
  }

  fileprivate static func counts(_ drops: [DropCount]) -> [String: UInt64] {
    Dictionary(drops.map { ($0.reason, $0.packets) }, uniquingKeysWith: { $0 + $1 })
  }

  fileprivate static func list(_ drops: [String: UInt64]) -> [DropCount] {
    drops.sorted { $0.key < $1.key }.map { DropCount(reason: $0.key, packets: $0.value) }
  }

  fileprivate struct Text: Codable {
    /// For who reads it among other lines.
    var event: String? = "status"
    var replica: String?
    var listen: String
    var tunnels: [Tunnel]
    var drops: [String: UInt64]
    var queues: [Queue]
    var services: [Service]
    var failures: [String: String]?
  }
}

extension GatewayStatusFile.Text {
  fileprivate struct Tunnel: Codable {
    var slice: String
    var cluster: String
    var replica: String
    var state: String
    var endpoint: String?
    var relay: String?
    var observed: String?
    var translated: Bool?
    var cipher: String?
    var epoch: UInt64?
    var keyAge: Double?
    var sessionAge: Double?
    var roundTripMicroseconds: Double?
    var jitterMicroseconds: Double?
    var loss: Double?
    var pathSize: Int?
    var classes: [String: TrafficFigures]
    var sentPackets: UInt64
    var sentBytes: UInt64
    var receivedPackets: UInt64
    var receivedBytes: UInt64
    var relayedPackets: UInt64
    var relayedBytes: UInt64
    var drops: [String: UInt64]
    var localCertificateExpiry: Int64?
    var remoteCertificateExpiry: Int64?
    var handshakes: UInt64
    var failedHandshakes: UInt64
    var rekeys: UInt64
    var lastError: String?

    init(_ status: TunnelStatus) {
      slice = status.slice
      cluster = status.cluster
      replica = status.replica
      state = status.state.rawValue
      endpoint = status.endpoint?.description
      relay = status.relay
      observed = status.observed?.description
      translated = status.isTranslated
      cipher = status.cipher
      epoch = status.epoch
      keyAge = status.keyAge?.milliseconds
      sessionAge = status.sessionAge?.milliseconds
      roundTripMicroseconds = status.roundTripTime.map { Double($0.nanoseconds) / 1e3 }
      jitterMicroseconds = status.jitter.map { Double($0.nanoseconds) / 1e3 }
      loss = status.loss
      pathSize = status.pathSize
      classes = Dictionary(
        status.classes.map { ($0.name, $0.figures) }, uniquingKeysWith: { first, _ in first })
      sentPackets = status.sentPackets
      sentBytes = status.sentBytes
      receivedPackets = status.receivedPackets
      receivedBytes = status.receivedBytes
      relayedPackets = status.relayedPackets
      relayedBytes = status.relayedBytes
      drops = GatewayStatusFile.counts(status.drops)
      localCertificateExpiry = status.localCertificateExpiry
      remoteCertificateExpiry = status.remoteCertificateExpiry
      handshakes = status.handshakes
      failedHandshakes = status.failedHandshakes
      rekeys = status.rekeys
      lastError = status.lastError
    }

    /// Durations of a file may be anything: bounded before they become numbers.
    private static func duration(_ nanoseconds: Double?) -> Duration? {
      nanoseconds.map { .nanoseconds(Int64(min(max(0, $0.isNaN ? 0 : $0), 1e18))) }
    }

    var status: TunnelStatus {
      TunnelStatus(
        slice: slice, cluster: cluster, replica: replica,
        state: TunnelStatus.State(rawValue: state) ?? .waiting,
        endpoint: endpoint.flatMap { IPEndpoint($0) }, relay: relay,
        observed: observed.flatMap { IPEndpoint($0) }, isTranslated: translated, cipher: cipher,
        epoch: epoch,
        keyAge: Self.duration(keyAge.map { $0 * 1e6 }),
        roundTripTime: Self.duration(roundTripMicroseconds.map { $0 * 1e3 }),
        jitter: Self.duration(jitterMicroseconds.map { $0 * 1e3 }), loss: loss,
        pathSize: pathSize, sentPackets: sentPackets, sentBytes: sentBytes,
        receivedPackets: receivedPackets, receivedBytes: receivedBytes,
        classes: classes.sorted { $0.key < $1.key }.map {
          ClassTraffic(name: $0.key, figures: $0.value)
        },
        drops: GatewayStatusFile.list(drops), relayedPackets: relayedPackets,
        relayedBytes: relayedBytes, localCertificateExpiry: localCertificateExpiry,
        remoteCertificateExpiry: remoteCertificateExpiry,
        sessionAge: Self.duration(sessionAge.map { $0 * 1e6 }), handshakes: handshakes,
        failedHandshakes: failedHandshakes, rekeys: rekeys, lastError: lastError)
    }
  }
}

extension GatewayStatusFile.Text {
  fileprivate struct Queue: Codable {
    var slice: String
    var className: String
    var bytes: Int
    var refused: UInt64
    var delayed: UInt64
    var malformed: UInt64
    var marked: UInt64

    init(_ status: QueueStatus) {
      slice = status.slice
      className = status.className
      bytes = status.bytes
      refused = status.refusedPackets
      delayed = status.delayedPackets
      malformed = status.malformedPackets
      marked = status.markedPackets
    }

    var status: QueueStatus {
      QueueStatus(
        slice: slice, className: className, bytes: bytes, refusedPackets: refused,
        delayedPackets: delayed, malformedPackets: malformed, markedPackets: marked)
    }
  }

  fileprivate struct Service: Codable {
    var slice: String
    var cluster: String
    var exporter: String
    var namespace: String
    var name: String
    var traffic: TrafficFigures

    init(_ status: ServiceTraffic) {
      slice = status.slice
      cluster = status.cluster
      exporter = status.exporter
      namespace = status.namespace
      name = status.name
      traffic = status.figures
    }

    var status: ServiceTraffic {
      ServiceTraffic(
        slice: slice, cluster: cluster, exporter: exporter, namespace: namespace, name: name,
        figures: traffic)
    }
  }
}
