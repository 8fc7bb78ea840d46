public import Base
internal import CSodium
public import Wire

/// An Ed25519 private key (RFC 8032): of an admin, a join token or a peer.
public struct SigningKey: Sendable {
  public let publicKey: PublicKey
  /// Seed and public key, as libsodium keeps it.
  private let secret: SecretBytes

  /// A new key from the operating system's random numbers.
  public init() {
    var seed = Sodium.randomBytes(Self.seedBytes)
    defer { sodium_memzero(&seed, seed.count) }
    self.init(checkedSeed: seed)
  }

  /// `nil` unless the seed has 32 bytes.
  public init?(seed: [UInt8]) {
    guard seed.count == Self.seedBytes else { return nil }
    self.init(checkedSeed: seed)
  }

  private init(checkedSeed seed: [UInt8]) {
    var publicBytes = [UInt8](repeating: 0, count: 32)
    secret = SecretBytes(count: Int(crypto_sign_SECRETKEYBYTES)) { target in
      _ = crypto_sign_seed_keypair(&publicBytes, target, seed)
    }
    publicKey = PublicKey(publicBytes) ?? PublicKey(words: (0, 0, 0, 0))
  }

  public static let seedBytes = 32

  /// The private key itself, for files and tokens that have to hold it.
  public var seed: [UInt8] {
    secret.withBytes { Array(UnsafeBufferPointer(start: $0, count: Self.seedBytes)) }
  }

  public var nodeID: NodeID { Sodium.sha256(publicKey.bytes) }

  public func sign(_ message: [UInt8]) -> Signature {
    var out = [UInt8](repeating: 0, count: Int(crypto_sign_BYTES))
    secret.withBytes { key in
      _ = crypto_sign_detached(&out, nil, message, UInt64(message.count), key)
    }
    guard let signature = Signature(out) else { preconditionFailure("a signature has 64 bytes") }
    return signature
  }

  /// What the cores may do with it.
  public var signer: Signer {
    Signer(publicKey: publicKey) { self.sign($0) }
  }

  /// The X25519 form of this key (RFC 7748).
  func agreementKey() -> SecretBytes {
    SecretBytes(count: Int(crypto_scalarmult_SCALARBYTES)) { target in
      secret.withBytes { _ = crypto_sign_ed25519_sk_to_curve25519(target, $0) }
    }
  }
}

extension SealedCrypto {
  /// X25519, BLAKE2b and ChaCha20-Poly1305 (RFC 8439) of libsodium, for the peer that has `key`.
  public static func sodium(_ key: SigningKey) -> SealedCrypto {
    let own = key.agreementKey()
    return SealedCrypto(
      agree: { peer in agree(own, peer) },
      derive: { secret, context in Sodium.keyedHash(context, key: secret) },
      seal: { key, counter, header, message in
        AEAD.seal(message, header: header, key: key, counter: counter)
      },
      open: { key, counter, datagram, headerBytes in
        AEAD.open(datagram, headerBytes: headerBytes, key: key, counter: counter)
      })
  }

  private static func agree(_ own: SecretBytes, _ peer: PublicKey) -> [UInt8]? {
    var montgomery = [UInt8](repeating: 0, count: Int(crypto_scalarmult_BYTES))
    // Both refuse points of low order.
    guard crypto_sign_ed25519_pk_to_curve25519(&montgomery, peer.bytes) == 0 else { return nil }
    var shared = [UInt8](repeating: 0, count: Int(crypto_scalarmult_BYTES))
    let status = own.withBytes { crypto_scalarmult(&shared, $0, montgomery) }
    return status == 0 ? shared : nil
  }
}
