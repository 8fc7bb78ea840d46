internal import Base
internal import Replication

extension Reports {
  public static func grant(_ detail: APIGrantDetail, style: TextStyle, now: APITime) -> String {
    let grant = detail.grant
    var out = Description()
    out.field("Grant", grant.id.hex, .strong)
    out.field("State", grant.state.rawValue, Tables.tone(grant.state))
    out.field("Detail", grant.detail)
    out.field("Subject", grant.subject?.hex)
    out.field("Fingerprint", grant.subject.map { Enrolments.fingerprint($0) })
    out.field("Root keys", grant.rootKeys?.map(\.hex).joined(separator: ", "))
    out.field("Threshold", grant.rootThreshold.map { String($0) })
    out.field("Capabilities", ChangesetSummary.capabilities(grant.capabilities))
    out.field(
      "Ends", grant.notAfter.map { "\($0) (\(Age.text($0, now: now)))" } ?? "never")
    out.field("Delegates", "\(grant.delegationDepth)")
    out.field("Given", "\(grant.at) by \(grant.author?.short ?? "the genesis")")
    out.field("Message", grant.message)
    out.field(
      "Chain", (detail.chain.map(\.id.short) + [grant.id.short]).joined(separator: " > "))
    out.table("Under it", Revocation(detail).table(keeping: .all, now: now), style: style)
    return out.text(style: style)
  }

  public static func tunnel(_ tunnel: APITunnel, style: TextStyle) -> String {
    var out = Description()
    out.field("Tunnel", "\(tunnel.slice)/\(tunnel.cluster) (\(tunnel.replica))", .strong)
    out.field("State", tunnel.state.rawValue, Tables.tone(tunnel.state))
    out.field("Gateway", tunnel.gateway)
    out.field("Endpoint", tunnel.endpoint)
    out.field("Through", tunnel.relay)
    out.field("Listen", tunnel.listen)
    let translation = tunnel.isTranslated == true ? " (through address translation)" : ""
    out.field("Seen as", tunnel.observed.map { $0 + translation })
    out.field("Path", tunnel.pathSize.map { "\($0) bytes" })
    out.field("Cipher", tunnel.cipher)
    out.field("Epoch", tunnel.epoch.map { String($0) })
    out.field("Key age", tunnel.keyAgeMilliseconds.map { "\($0 / 1000) s" })
    out.field("Round trip", Age.text(tunnel.roundTripMilliseconds))
    out.field("Jitter", Age.text(tunnel.jitterMilliseconds))
    out.field("Loss", tunnel.loss.map { "\(Int(($0 * 100).rounded())) %" })
    out.field("Sent", "\(tunnel.sentPackets) packets, \(tunnel.sentBytes) bytes")
    out.field("Received", "\(tunnel.receivedPackets) packets, \(tunnel.receivedBytes) bytes")
    out.field(
      "Drops",
      tunnel.drops.filter { $0.value > 0 }.sorted { $0.key < $1.key }
        .map { "\($0.key) \($0.value)" }.joined(separator: ", "))
    out.field(
      "Handshakes",
      "\(tunnel.handshakes), \(tunnel.failedHandshakes) failed, \(tunnel.rekeys) rekeys")
    out.field("Certificate ends", tunnel.localCertificateExpiresAt.map { "\($0)" })
    out.field("Theirs ends", tunnel.remoteCertificateExpiresAt.map { "\($0)" })
    out.field("Last error", tunnel.lastError, .bad)
    return out.text(style: style)
  }
}
