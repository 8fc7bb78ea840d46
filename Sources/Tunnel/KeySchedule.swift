internal import Base

/// Key and initialisation vector of one direction, lane and epoch.
public struct LaneKey: Hashable, Sendable {
  /// AES-256.
  public var key: [UInt8]
  public var iv: PacketIV

  public init(key: [UInt8], iv: PacketIV) {
    self.key = key
    self.iv = iv
  }
}

/// From the TLS exporter to packet keys: one secret an epoch, from it one key for each direction and
/// lane, so that no two sending threads share a counter.
enum KeySchedule {
  static let exporterLabel = "EXPORTER-starling-tunnel-v1"

  /// Exporter context: slice ‖ both ids ‖ both session numbers ‖ version, initiator first.
  static func context(
    slice: String, initiator: GatewayName, responder: GatewayName, initiatorIndex: UInt32,
    responderIndex: UInt32
  ) -> [UInt8] {
    var writer = ByteWriter(reserving: 128)
    writer.text(slice)
    writer.raw(initiator.encoded)
    writer.raw(responder.encoded)
    writer.u32(initiatorIndex)
    writer.u32(responderIndex)
    writer.u8(PacketHeader.version)
    return writer.bytes
  }

  /// Keys of the packets that `sender` sends: one for each data lane, the control lane last.
  static func lanes(
    _ secret: [UInt8], sender: TLSRole, lanes: Int, crypto: TunnelCrypto
  ) -> [LaneKey] {
    (0...lanes).compactMap { index in
      let lane = index == lanes ? TunnelLimits.controlLane : UInt8(index)
      let direction: UInt8 = sender == .client ? 0 : 1
      let info = Array("starling-tunnel-v1 key".utf8) + [direction, lane]
      let material = crypto.derive(secret, [], info, 44)
      guard let iv = PacketIV(material.suffix(12)) else { return nil }
      return LaneKey(key: Array(material.prefix(32)), iv: iv)
    }
  }

  /// Next secret = HKDF(previous secret, X25519 share), bound to the epoch and both shares.
  static func next(
    _ secret: [UInt8], shared: [UInt8], epoch: UInt64, initiatorShare: [UInt8],
    responderShare: [UInt8], crypto: TunnelCrypto
  ) -> [UInt8] {
    var info = ByteWriter(reserving: 128)
    info.raw("starling-tunnel-v1 next".utf8)
    info.u64(epoch)
    info.raw(initiatorShare)
    info.raw(responderShare)
    return crypto.derive(secret, shared, info.bytes, 32)
  }
}
