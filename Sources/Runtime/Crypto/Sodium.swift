public import Base
internal import CSodium

/// libsodium, as functions over bytes. Lengths are checked here, so that no C call reads past an end.
public enum Sodium {
  /// libsodium has to be initialised once before its random numbers and fast paths may be used.
  private static let ready: Bool = sodium_init() >= 0

  static func start() {
    precondition(ready, "libsodium found no source of random numbers")
  }

  /// From the operating system.
  public static func randomBytes(_ count: Int) -> [UInt8] {
    start()
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      if let start = buffer.baseAddress { randombytes_buf(start, count) }
      initialized = count
    }
  }

  /// From the operating system.
  public static func randomSeed() -> UInt64 {
    randomBytes(8).reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// FIPS 180-4.
  public static func sha256(_ message: [UInt8]) -> Digest {
    start()
    var out = [UInt8](repeating: 0, count: Int(crypto_hash_sha256_BYTES))
    crypto_hash_sha256(&out, message, UInt64(message.count))
    return Digest(out) ?? .zero
  }

  /// BLAKE2b (RFC 7693) with a key of up to 64 bytes: a MAC, and a way to derive keys.
  public static func keyedHash(_ message: [UInt8], key: [UInt8], count: Int = 32) -> [UInt8] {
    precondition((16...64).contains(count) && key.count <= 64, "a keyed hash has 16 to 64 bytes")
    start()
    var out = [UInt8](repeating: 0, count: count)
    crypto_generichash(&out, count, message, UInt64(message.count), key, key.count)
    return out
  }

  /// Ed25519 (RFC 8032); keys and signatures that are not canonical are refused.
  public static func verify(_ signature: Signature, _ message: [UInt8], by key: PublicKey) -> Bool {
    start()
    return crypto_sign_verify_detached(
      signature.bytes, message, UInt64(message.count), key.bytes) == 0
  }

  /// In constant time.
  static func equal(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    a.count == b.count && sodium_memcmp(a, b, a.count) == 0
  }
}

extension Base.Crypto {
  /// The one of the daemon and of the command line.
  public static let sodium = Base.Crypto(
    sha256: { Sodium.sha256($0) },
    verify: { signature, message, key in Sodium.verify(signature, message, by: key) })
}
