import Base
import Synchronization

/// Cheap signatures that nobody can make without the signer: the secret of each key is in a registry
/// that only `verify` reads.
final class KeyRing: Sendable {
  private let secrets = Mutex<[PublicKey: UInt64]>([:])

  static func mix(_ bytes: [UInt8], _ seed: UInt64) -> UInt64 {
    var hash = seed ^ 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    hash = (hash ^ (hash >> 32)) &* 0xd6e8_feb8_6659_fd93
    return hash ^ (hash >> 29)
  }

  private static func sign(_ message: [UInt8], secret: UInt64) -> Signature {
    let word = mix(message, secret)
    let bytes = (0..<64).map { UInt8(truncatingIfNeeded: (word &+ secret) >> UInt64($0 % 8 * 8)) }
    guard let signature = Signature(bytes) else { preconditionFailure("64 bytes") }
    return signature
  }

  func makeSigner(_ name: UInt64) -> Signer {
    var generator = SeededGenerator(seed: name &* 77 &+ 5)
    let secret = generator.next()
    let key = PublicKey(
      words: (generator.next(), generator.next(), generator.next(), generator.next()))
    secrets.withLock { $0[key] = secret }
    return Signer(publicKey: key) { Self.sign($0, secret: secret) }
  }

  var crypto: Crypto {
    Crypto(
      sha256: { bytes in
        var generator = SeededGenerator(seed: Self.mix(bytes, 1))
        return Digest(
          words: (generator.next(), generator.next(), generator.next(), generator.next()))
      },
      verify: { [self] signature, message, key in
        guard let secret = secrets.withLock({ $0[key] }) else { return false }
        return Self.sign(message, secret: secret) == signature
      })
  }
}
