internal import Base

/// A handshake datagram: everything of a handshake travels in these, sealed under a key that only
/// the two gateways can derive from their static X25519 keys. What does not open never reaches TLS.
///
/// ```
/// 0      kind(4) | version(4)
/// 1-3    zero
/// 4-11   tag of the link and direction
/// 12-27  salt of the sender, random for each attempt
/// 28-35  counter under that salt
/// 36-    AES-256-GCM, the first 36 bytes authenticated; ends with the 16-byte tag
/// ```
/// The key is HKDF(link key of the direction, salt), the nonce the counter: a salt is used by one
/// attempt only, so no nonce repeats, whatever restarts.
struct HandshakeDatagram {
  static let headerSize = 36
  static let saltSize = 16

  var tag: UInt64
  var salt: [UInt8]
  var counter: UInt64
  var sealed: [UInt8]

  /// The link's tag, read before anything is allocated; `nil` where the bytes cannot be a handshake
  /// datagram.
  static func tag(of packet: UnsafeRawBufferPointer) -> UInt64? {
    guard packet.count >= headerSize + PacketHeader.tagSize + HandshakeMessage.leastSize,
      packet.count <= TunnelLimits.handshakeDatagram,
      PacketHeader.kind(of: packet[0]) == .handshake, packet[1] | packet[2] | packet[3] == 0
    else { return nil }
    return UInt64(bigEndian: packet.loadUnaligned(fromByteOffset: 4, as: UInt64.self))
  }

  init(_ bytes: [UInt8]) throws(WireError) {
    guard bytes.count <= TunnelLimits.handshakeDatagram else { throw .overLimit("datagram") }
    var reader = ByteReader(bytes)
    guard try reader.u32() == Self.firstWord else { throw .malformed("handshake header") }
    tag = try reader.u64()
    salt = try reader.bytes(Self.saltSize)
    counter = try reader.u64()
    sealed = try reader.bytes(reader.remaining)
  }

  private static let firstWord =
    UInt32(PacketKind.handshake.rawValue << 4 | PacketHeader.version) << 24

  private static func header(tag: UInt64, salt: [UInt8], counter: UInt64) -> [UInt8] {
    var writer = ByteWriter(reserving: TunnelLimits.handshakeDatagram)
    writer.u32(firstWord)
    writer.u64(tag)
    writer.raw(salt)
    writer.u64(counter)
    return writer.bytes
  }

  private static func nonce(_ counter: UInt64) -> [UInt8] {
    PacketIV(high: 0, low: counter).bytes
  }

  /// `nil` where it was not sealed under this key.
  func open(_ key: [UInt8], _ crypto: TunnelCrypto) -> [UInt8]? {
    crypto.open(
      key, Self.nonce(counter), Self.header(tag: tag, salt: salt, counter: counter), sealed)
  }

  static func seal(
    _ text: [UInt8], tag: UInt64, salt: [UInt8], counter: UInt64, key: [UInt8],
    _ crypto: TunnelCrypto
  ) -> [UInt8] {
    let header = header(tag: tag, salt: salt, counter: counter)
    return header + crypto.seal(key, nonce(counter), header, text)
  }
}

/// The keys of a link that come from the static X25519 keys, one pair for each direction.
struct LinkKeys: Sendable {
  var sendTag: UInt64
  var receiveTag: UInt64
  private var sendKey: [UInt8]
  private var receiveKey: [UInt8]

  /// `nil` where the far side's static key is no usable X25519 key.
  init?(
    privateKey: [UInt8], publicKey: [UInt8], slice: String, local: GatewayName,
    remote: GatewayName, crypto: TunnelCrypto
  ) {
    guard let shared = crypto.agree(privateKey, publicKey) else { return nil }
    func derive(_ purpose: String, _ sender: GatewayName, _ receiver: GatewayName, _ count: Int)
      -> [UInt8]
    {
      var info = ByteWriter()
      info.text("starling-tunnel-v1 \(purpose)")
      info.text(slice)
      info.raw(sender.encoded)
      info.raw(receiver.encoded)
      return crypto.derive(shared, [], info.bytes, count)
    }
    sendKey = derive("handshake", local, remote, 32)
    receiveKey = derive("handshake", remote, local, 32)
    sendTag = derive("tag", local, remote, 8).reduce(0) { $0 << 8 | UInt64($1) }
    receiveTag = derive("tag", remote, local, 8).reduce(0) { $0 << 8 | UInt64($1) }
  }

  func sendKey(salt: [UInt8], _ crypto: TunnelCrypto) -> [UInt8] {
    crypto.derive(sendKey, salt, Self.info, 32)
  }

  func receiveKey(salt: [UInt8], _ crypto: TunnelCrypto) -> [UInt8] {
    crypto.derive(receiveKey, salt, Self.info, 32)
  }

  private static let info = Array("starling-tunnel-v1 attempt".utf8)
}
