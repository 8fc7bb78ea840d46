internal import Base
internal import Kubernetes

extension TunnelReport {
  init(_ tunnel: TunnelStatus) {
    self.init(remote: tunnel.cluster, replica: tunnel.replica, state: State(tunnel.state))
    texts[.endpoint] = tunnel.endpoint?.description
    texts[.relay] = tunnel.relay
    texts[.observed] = tunnel.observed?.description
    texts[.cipher] = tunnel.cipher
    texts[.lastError] = tunnel.lastError
    isTranslated = tunnel.isTranslated
    figures[.epoch] = tunnel.epoch.map { Int64(clamping: $0) }
    figures[.keyAgeSeconds] = tunnel.keyAge.map { $0.nanoseconds / 1_000_000_000 }
    figures[.roundTripMicroseconds] = tunnel.roundTripTime.map { $0.nanoseconds / 1000 }
    figures[.jitterMicroseconds] = tunnel.jitter.map { $0.nanoseconds / 1000 }
    figures[.lossPermille] = tunnel.loss.map { Int64(min(max($0, 0), 1) * 1000) }
    figures[.pathSize] = tunnel.pathSize.map { Int64($0) }
    figures[.localCertificateExpiry] = tunnel.localCertificateExpiry
    figures[.remoteCertificateExpiry] = tunnel.remoteCertificateExpiry
    let counts: KeyValuePairs<Figure, UInt64> = [
      .sentPackets: tunnel.sentPackets, .sentBytes: tunnel.sentBytes,
      .receivedPackets: tunnel.receivedPackets, .receivedBytes: tunnel.receivedBytes,
      .handshakes: tunnel.handshakes, .failedHandshakes: tunnel.failedHandshakes,
      .rekeys: tunnel.rekeys,
    ]
    for (figure, count) in counts { figures[figure] = Int64(clamping: count) }
  }

  func status(of slice: String) -> TunnelStatus {
    func count(_ figure: Figure) -> UInt64 { UInt64(clamping: figures[figure] ?? 0) }
    func time(_ figure: Figure, _ unit: Int64) -> Duration? {
      figures[figure].map { .nanoseconds(min($0, 1 << 50) * unit) }
    }
    return TunnelStatus(
      slice: slice, cluster: remote, replica: replica, state: TunnelStatus.State(state),
      endpoint: texts[.endpoint].flatMap { IPEndpoint($0) }, relay: texts[.relay],
      observed: texts[.observed].flatMap { IPEndpoint($0) }, isTranslated: isTranslated,
      cipher: texts[.cipher], epoch: figures[.epoch].map { UInt64(clamping: $0) },
      keyAge: figures[.keyAgeSeconds].map { .seconds(min($0, 1 << 32)) },
      roundTripTime: time(.roundTripMicroseconds, 1000), jitter: time(.jitterMicroseconds, 1000),
      loss: figures[.lossPermille].map { Double(min($0, 1000)) / 1000 },
      pathSize: figures[.pathSize].map { Int(clamping: $0) }, sentPackets: count(.sentPackets),
      sentBytes: count(.sentBytes), receivedPackets: count(.receivedPackets),
      receivedBytes: count(.receivedBytes), classes: [], drops: [],
      localCertificateExpiry: figures[.localCertificateExpiry],
      remoteCertificateExpiry: figures[.remoteCertificateExpiry],
      handshakes: count(.handshakes), failedHandshakes: count(.failedHandshakes),
      rekeys: count(.rekeys), lastError: texts[.lastError])
  }
}

extension TunnelReport.State {
  init(_ state: TunnelStatus.State) {
    switch state {
    case .waiting: self = .waiting
    case .connecting: self = .connecting
    case .established: self = .established
    case .unreachable: self = .unreachable
    }
  }
}

extension TunnelStatus.State {
  init(_ state: TunnelReport.State) {
    switch state {
    case .waiting: self = .waiting
    case .connecting: self = .connecting
    case .established: self = .established
    case .unreachable: self = .unreachable
    }
  }
}

extension GatewayStatus {
  /// One for each gateway, ascending.
  static func list(_ reports: [SliceGatewayReport]) -> [GatewayStatus] {
    Dictionary(grouping: reports, by: \.gateway).sorted { $0.key < $1.key }.map { gateway, own in
      GatewayStatus(
        replica: gateway,
        listen: own.lazy.compactMap { IPEndpoint($0.listen) }.first
          ?? IPEndpoint(IPAddress(v4: 0), port: 0),
        tunnels: own.flatMap { report in report.tunnels.map { $0.status(of: report.slice) } },
        drops: [], queues: [], services: [])
    }
  }
}
