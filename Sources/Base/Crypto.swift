/// Signatures and hashes as the cores see them. The daemon backs them with libsodium, the simulator
/// with something cheap or, in `--wire` mode, with the real ones; so the cores stay free of C.
public struct Crypto: Sendable {
  /// SHA-256 (FIPS 180-4).
  public var sha256: @Sendable ([UInt8]) -> Digest
  /// Ed25519 verification (RFC 8032) of a signature over a message by a key.
  public var verify: @Sendable (Signature, [UInt8], PublicKey) -> Bool

  public init(
    sha256: @escaping @Sendable ([UInt8]) -> Digest,
    verify: @escaping @Sendable (Signature, [UInt8], PublicKey) -> Bool
  ) {
    self.sha256 = sha256
    self.verify = verify
  }

  /// The member that a key belongs to.
  public func nodeID(of key: PublicKey) -> NodeID {
    sha256(key.bytes)
  }
}

/// A private key, seen as the one thing a core may do with it.
public struct Signer: Sendable {
  public var publicKey: PublicKey
  /// Ed25519 over the message.
  public var sign: @Sendable ([UInt8]) -> Signature

  public init(publicKey: PublicKey, sign: @escaping @Sendable ([UInt8]) -> Signature) {
    self.publicKey = publicKey
    self.sign = sign
  }
}
