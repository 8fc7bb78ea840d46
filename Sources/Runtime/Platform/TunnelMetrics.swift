internal import Base

/// Tunnels as metrics, by slice and remote cluster.
enum TunnelMetrics {
  static func set(_ status: GatewayStatus, in registry: MetricsRegistry) {
    for tunnel in status.tunnels {
      let labels: KeyValuePairs = ["slice": tunnel.slice, "cluster": tunnel.cluster]
      func count(_ name: String, _ help: String, _ value: UInt64) {
        registry.counter("starling_tunnel_\(name)", help: help, labels: labels).raise(to: value)
      }
      func show(_ name: String, _ help: String, _ value: Double?) {
        guard let value else { return }
        registry.gauge("starling_tunnel_\(name)", help: help, labels: labels).set(value)
      }
      count("sent_packets_total", "Inner packets sent.", tunnel.sentPackets)
      count("sent_bytes_total", "Inner bytes sent.", tunnel.sentBytes)
      count("received_packets_total", "Inner packets received.", tunnel.receivedPackets)
      count("received_bytes_total", "Inner bytes received.", tunnel.receivedBytes)
      count("handshakes_total", "Full handshakes done.", tunnel.handshakes)
      count("failed_handshakes_total", "Handshakes that failed.", tunnel.failedHandshakes)
      count("rekeys_total", "Epochs begun.", tunnel.rekeys)
      show("up", "1 while it carries traffic.", tunnel.state == .established ? 1 : 0)
      show(
        "rtt_seconds", "Round trip of probes.", tunnel.roundTripTime.map { $0.milliseconds / 1e3 })
      show("jitter_seconds", "Jitter of probes.", tunnel.jitter.map { $0.milliseconds / 1e3 })
      show("loss_ratio", "Share of probes without an answer.", tunnel.loss)
      show(
        "path_size_bytes", "Largest datagram that the path carries.",
        tunnel.pathSize.map(Double.init))
      show("key_age_seconds", "Age of the keys.", tunnel.keyAge.map { $0.milliseconds / 1e3 })
      show(
        "certificate_expiry_timestamp_seconds", "End of the local leaf.",
        tunnel.localCertificateExpiry.map(Double.init))
      for drop in tunnel.drops {
        registry.counter(
          "starling_tunnel_dropped_packets_total", help: "Packets dropped, by reason.",
          labels: ["slice": tunnel.slice, "cluster": tunnel.cluster, "reason": drop.reason]
        ).raise(to: drop.packets)
      }
    }
    for drop in status.drops {
      registry.counter(
        "starling_gateway_dropped_datagrams_total", help: "Datagrams of no tunnel, by reason.",
        labels: ["reason": drop.reason]
      ).raise(to: drop.packets)
    }
  }
}
