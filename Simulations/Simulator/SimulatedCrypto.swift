public import Base
public import Replication

/// Hashes and signatures that are quick, and that nobody in a simulation can forge without the
/// signer: a signature is a keyed mix of the message with a secret that only the signer's closure
/// and the simulation's `verify` know.
public enum SimulatedCrypto {
  /// Two lanes of multiply and shift, a word at a time, with a final mix: collisions are as rare as simulations are short.
  public static func digest(_ bytes: [UInt8]) -> Digest {
    let words = mix(bytes, key: (0, 0))
    return Digest(words: words)
  }

  public static let crypto = Crypto(
    sha256: { digest($0) },
    verify: { signature, message, key in isSigned(message, signature, secret(of: key)) })

  public static func signer(_ number: UInt64) -> Signer {
    let key = PublicKey(words: mix([1], key: (number, 77)))
    let secret = secret(of: key)
    return Signer(publicKey: key) { message in
      guard let signature = Signature(sign(message, secret)) else {
        preconditionFailure("two digests are 64 bytes")
      }
      return signature
    }
  }

  /// Stands in for the wire format: every field that counts goes into the body.
  public static func seal(_ draft: Changeset) -> Changeset {
    var out = draft
    var writer = ByteWriter(reserving: 256)
    writer.bytes32(draft.clusterSet)
    writer.raw(draft.scope.description.utf8)
    writer.bytes32(draft.under)
    writer.bytes32(draft.author)
    writer.u64(draft.time.rawValue)
    for write in draft.writes {
      writer.text(write.path)
      writer.text("\(write.value ?? .null)")
      writer.u64(write.counter)
      for entry in write.context.entries {
        writer.bytes32(entry.author)
        writer.u64(entry.counter)
      }
    }
    if let grant = draft.grant {
      writer.bytes32(grant.subject)
      for capability in grant.capabilities { writer.text(capability.description) }
      writer.u8(UInt8(clamping: grant.delegationDepth))
    }
    for floor in draft.floors {
      writer.bytes32(floor.grant)
      writer.u64(floor.time.rawValue)
      for id in floor.keep { writer.bytes32(id) }
    }
    writer.text(draft.message)
    out.body = writer.bytes
    out.id = digest(out.signedBytes)
    return out
  }

  private static func secret(of key: PublicKey) -> (UInt64, UInt64) {
    (key.words.0 ^ 0x5bf0_3635_d1f1_4b1d, key.words.1 ^ 0x2545_f491_4f6c_dd1d)
  }

  private static func sign(_ message: [UInt8], _ secret: (UInt64, UInt64)) -> [UInt8] {
    Digest(words: mix(message, key: secret)).bytes
      + Digest(words: mix(message, key: (secret.1, secret.0))).bytes
  }

  /// Without making a signature to compare: in a storm of thousands this is done millions of times.
  private static func isSigned(
    _ message: [UInt8], _ signature: Signature, _ secret: (UInt64, UInt64)
  ) -> Bool {
    let first = mix(message, key: secret)
    let second = mix(message, key: (secret.1, secret.0))
    return signature.bytes.withUnsafeBytes { bytes in
      func isEqual(_ word: UInt64, at place: Int) -> Bool {
        UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8 * place, as: UInt64.self)) == word
      }
      return bytes.count == 64 && isEqual(first.0, at: 0) && isEqual(first.1, at: 1)
        && isEqual(first.2, at: 2) && isEqual(first.3, at: 3) && isEqual(second.0, at: 4)
        && isEqual(second.1, at: 5) && isEqual(second.2, at: 6) && isEqual(second.3, at: 7)
    }
  }

  private static func mix(
    _ bytes: [UInt8], key: (UInt64, UInt64)
  ) -> (UInt64, UInt64, UInt64, UInt64) {
    let prime: UInt64 = 0x100_0000_01b3
    var a: UInt64 = 0xcbf2_9ce4_8422_2325 ^ key.0
    var b: UInt64 = 0x9e37_79b9_7f4a_7c15 ^ key.1
    bytes.withUnsafeBytes { bytes in
      var at = 0
      while at < bytes.count {
        var word: UInt64 = 0
        if at + 8 <= bytes.count {
          word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
        } else {
          for byte in bytes[at...].reversed() { word = word << 8 | UInt64(byte) }
        }
        a = (a ^ word) &* prime
        a ^= a >> 32
        b = (b &+ word) &* 0xff51_afd7_ed55_8ccd
        b ^= b >> 29
        at += 8
      }
    }
    func finish(_ value: UInt64) -> UInt64 {
      var z = value
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      return z ^ (z >> 31)
    }
    let length = UInt64(bytes.count)
    return (
      finish(a &+ length), finish(b ^ a), finish(a ^ (b << 17 | b >> 47)),
      finish(b &+ a &* prime)
    )
  }
}
