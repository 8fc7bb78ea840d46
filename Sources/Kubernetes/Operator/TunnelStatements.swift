internal import Base

/// What people should know of a gateway's tunnels, as Events on its SliceGateway.
public enum TunnelStatements {
  /// - Parameters:
  ///   - report: the gateway's last words of one slice.
  ///   - object: its SliceGateway.
  public static func of(
    _ report: SliceGatewayReport, on object: KubernetesObject
  ) -> Set<EventRecorder.Statement> {
    func statement(_ reason: String, isWarning: Bool, _ note: String) -> EventRecorder.Statement {
      EventRecorder.Statement(
        object, .sliceGateways, isWarning: isWarning, reason: reason, note: note)
    }
    // Of tunnels nothing is known then.
    if report.isSilent {
      return [statement("GatewaySilent", isWarning: true, "the gateway's process says nothing")]
    }
    var out: Set<EventRecorder.Statement> = []
    if !report.failure.isEmpty {
      out.insert(statement("SliceNotServed", isWarning: true, report.failure))
    }
    for (remote, tunnels) in Dictionary(grouping: report.tunnels, by: \.remote) {
      if tunnels.contains(where: { $0.state == .established }) {
        out.insert(
          statement("TunnelEstablished", isWarning: false, "cluster \(remote) can be reached"))
      } else if tunnels.contains(where: { $0.state == .unreachable }) {
        out.insert(
          statement("TunnelUnreachable", isWarning: true, "no tunnel to cluster \(remote) answers"))
      }
    }
    // Told whenever the certificate is another one.
    if let expiry = report.tunnels.compactMap({ $0.figures[.localCertificateExpiry] }).min() {
      let time = CivilDate.rfc3339(UInt64(max(0, expiry)) &* 1000)
      out.insert(
        statement("CertificateInUse", isWarning: false, "its certificate is valid until \(time)"))
    }
    return out
  }
}
