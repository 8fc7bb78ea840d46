internal import Base

/// Tunnels as metrics, by slice and remote cluster.
enum TunnelMetrics {
  static func set(_ status: GatewayStatus, in registry: MetricsRegistry) {
    for tunnel in status.tunnels {
      let labels: KeyValuePairs = [
        "gateway": status.replica, "slice": tunnel.slice, "cluster": tunnel.cluster,
        "replica": tunnel.replica,
      ]
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
      count("relayed_packets_total", "Datagrams handed on to it.", tunnel.relayedPackets)
      count("relayed_bytes_total", "Bytes of them.", tunnel.relayedBytes)
      count("handshakes_total", "Full handshakes done.", tunnel.handshakes)
      count("failed_handshakes_total", "Handshakes that failed.", tunnel.failedHandshakes)
      count("rekeys_total", "Epochs begun.", tunnel.rekeys)
      show("epoch", "Epoch of the keys.", tunnel.epoch.map(Double.init))
      show("relayed", "1 where another gateway hands everything on.", tunnel.relay == nil ? 0 : 1)
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
      show(
        "translated", "1 where there is address translation in front of the gateway.",
        tunnel.isTranslated.map { $0 ? 1 : 0 })
      for kind in tunnel.classes {
        setClass(kind, of: tunnel, gateway: status.replica, in: registry)
      }
      for drop in tunnel.drops {
        registry.counter(
          "starling_tunnel_dropped_packets_total", help: "Packets dropped, by reason.",
          labels: [
            "gateway": status.replica, "slice": tunnel.slice, "cluster": tunnel.cluster,
            "replica": tunnel.replica, "reason": drop.reason,
          ]
        ).raise(to: drop.packets)
      }
    }
    for drop in status.drops {
      registry.counter(
        "starling_gateway_dropped_datagrams_total", help: "Datagrams of no tunnel, by reason.",
        labels: ["gateway": status.replica, "reason": drop.reason]
      ).raise(to: drop.packets)
    }
    for queue in status.queues { setQueue(queue, gateway: status.replica, in: registry) }
    for service in status.services {
      setService(service, gateway: status.replica, in: registry)
    }
  }

  private static func setClass(
    _ kind: ClassTraffic, of tunnel: TunnelStatus, gateway: String, in registry: MetricsRegistry
  ) {
    guard kind.figures.sentPackets > 0 || kind.figures.receivedPackets > 0 else { return }
    func count(_ name: String, _ help: String, _ value: UInt64) {
      registry.counter(
        "starling_tunnel_class_\(name)", help: help,
        labels: [
          "gateway": gateway, "slice": tunnel.slice, "cluster": tunnel.cluster,
          "replica": tunnel.replica, "class": kind.name,
        ]
      ).raise(to: value)
    }
    count("sent_packets_total", "Inner packets sent, by class.", kind.figures.sentPackets)
    count("sent_bytes_total", "Inner bytes sent, by class.", kind.figures.sentBytes)
    count(
      "received_packets_total", "Inner packets received, by class.", kind.figures.receivedPackets)
    count("received_bytes_total", "Inner bytes received, by class.", kind.figures.receivedBytes)
  }

  private static func setQueue(
    _ queue: QueueStatus, gateway: String, in registry: MetricsRegistry
  ) {
    func drop(_ reason: String, _ packets: UInt64) {
      registry.counter(
        "starling_tunnel_shaping_dropped_packets_total",
        help: "Packets dropped since their slice may send no more, by reason.",
        labels: [
          "gateway": gateway, "slice": queue.slice, "class": queue.className, "reason": reason,
        ]
      ).raise(to: packets)
    }
    drop("queue_limit", queue.refusedPackets)
    drop("queue_delay", queue.delayedPackets)
    drop("bad_inner_packet", queue.malformedPackets)
    registry.counter(
      "starling_tunnel_shaping_marked_packets_total",
      help: "Packets marked as congested (ECN) since their slice may send no more.",
      labels: ["gateway": gateway, "slice": queue.slice, "class": queue.className]
    ).raise(to: queue.markedPackets)
    registry.gauge(
      "starling_tunnel_shaping_queue_bytes", help: "Bytes that wait for their slice's rate.",
      labels: ["gateway": gateway, "slice": queue.slice, "class": queue.className]
    ).set(Double(queue.bytes))
  }

  private static func setService(
    _ service: ServiceTraffic, gateway: String, in registry: MetricsRegistry
  ) {
    let labels: KeyValuePairs = [
      "gateway": gateway, "slice": service.slice, "cluster": service.cluster,
      "exporter": service.exporter, "namespace": service.namespace, "service": service.name,
    ]
    func count(_ name: String, _ help: String, _ value: UInt64) {
      registry.counter("starling_service_\(name)", help: help, labels: labels).raise(to: value)
    }
    let figures = service.figures
    count("sent_packets_total", "Inner packets of a service sent.", figures.sentPackets)
    count("sent_bytes_total", "Inner bytes of a service sent.", figures.sentBytes)
    count("received_packets_total", "Inner packets of a service received.", figures.receivedPackets)
    count("received_bytes_total", "Inner bytes of a service received.", figures.receivedBytes)
  }
}
