public import Base

/// What sealed datagrams need of cryptography, for one own key. The daemon backs it with libsodium
/// (`Runtime/Crypto`), the simulator with the same or with something cheap.
public struct SealedCrypto: Sendable {
  /// The X25519 secret (32 bytes) shared with a peer, from both Ed25519 keys in their Montgomery
  /// form; `nil` for a key that is no point of the prime-order group.
  public var agree: @Sendable (PublicKey) -> [UInt8]?
  /// A 32-byte key from a secret and the context it is for: a keyed hash (BLAKE2b).
  public var derive: @Sendable (_ secret: [UInt8], _ context: [UInt8]) -> [UInt8]
  /// `header` followed by the box: the encrypted message and a tag of `SealedFormat.tagBytes`. The
  /// header is authenticated. The nonce is the counter, never twice under one key.
  public var seal:
    @Sendable (_ key: [UInt8], _ counter: UInt64, _ header: [UInt8], _ message: [UInt8]) -> [UInt8]
  /// The message in a whole datagram whose first `headerBytes` are the header; `nil` unless every
  /// byte is as it was sealed.
  public var open:
    @Sendable (_ key: [UInt8], _ counter: UInt64, _ datagram: [UInt8], _ headerBytes: Int) ->
      [UInt8]?

  public init(
    agree: @escaping @Sendable (PublicKey) -> [UInt8]?,
    derive: @escaping @Sendable (_ secret: [UInt8], _ context: [UInt8]) -> [UInt8],
    seal: @escaping @Sendable ([UInt8], UInt64, [UInt8], [UInt8]) -> [UInt8],
    open: @escaping @Sendable ([UInt8], UInt64, [UInt8], Int) -> [UInt8]?
  ) {
    self.agree = agree
    self.derive = derive
    self.seal = seal
    self.open = open
  }
}
