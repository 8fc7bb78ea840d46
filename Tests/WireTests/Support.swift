import Base
import Replication
import Wire

/// A stand-in for SHA-256 and Ed25519 that is quick and needs no C: a "signature" is a hash over key
/// and message, so any change of either breaks it.
enum TestCrypto {
  static func hash(_ bytes: [UInt8], salt: UInt64 = 0) -> [UInt8] {
    var out: [UInt8] = []
    for lane in 0..<4 as Range<UInt64> {
      var h = 0xcbf2_9ce4_8422_2325 ^ (lane &+ 1) &* 0x9e37_79b9_7f4a_7c15 ^ salt
      for byte in bytes { h = (h ^ UInt64(byte)) &* 0x100_0000_01b3 }
      h ^= h >> 32
      for shift in stride(from: 56 as UInt64, through: 0, by: -8) {
        out.append(UInt8(truncatingIfNeeded: h >> shift))
      }
    }
    return out
  }

  static func signature(_ message: [UInt8], _ key: PublicKey) -> [UInt8] {
    hash(key.bytes + message, salt: 1) + hash(key.bytes + message, salt: 2)
  }

  static let crypto = Crypto(
    sha256: { Digest(hash($0)) ?? .zero },
    verify: { $0.bytes == signature($1, $2) })

  static func signer(_ name: UInt8) -> Signer {
    let key = PublicKey(words: (UInt64(name), 0, 0, 7))
    let empty = Signature([UInt8](repeating: 0, count: 64))
    return Signer(publicKey: key) { message in
      guard let signature = Signature(signature(message, key)) ?? empty else {
        preconditionFailure("64 bytes are a signature")
      }
      return signature
    }
  }
}

func sampleChangeset(writes: Int = 3) -> Changeset {
  let alice = TestCrypto.signer(1)
  let bob = TestCrypto.signer(2)
  var context = VersionVector()
  context.include(bob.publicKey, 9)
  context.include(alice.publicKey, 4)
  let value: Value = [
    "cidr": "10.1.0.0/16", "n": -7, "on": true, "l": ["a", 2, .bytes([0, 255])],
  ]
  return ChangesetCodec.seal(
    Changeset(
      id: .zero, body: [], endorsements: [], clusterSet: TestCrypto.crypto.sha256([1]),
      scope: .slice("blue"), under: TestCrypto.crypto.sha256([2]), author: alice.publicKey,
      time: HybridTime(milliseconds: 1_700_000_000_000, counter: 3),
      writes: (0..<writes).map {
        Write(path: "slice/blue/\($0)", value: $0 == 1 ? nil : value, counter: 5, context: context)
      },
      grant: Grant(
        subject: bob.publicKey, capabilities: [.grant, .slice("blue-*"), .own("eu-1")],
        notAfterMilliseconds: 77, delegationDepth: 2,
        quota: Quota(registers: 5, bytes: 6, changesetsPerMinute: 7)),
      floors: [
        Floor(
          grant: TestCrypto.crypto.sha256([3]), time: .max,
          keep: [TestCrypto.crypto.sha256([4]), TestCrypto.crypto.sha256([5])].sorted())
      ],
      message: "why"),
    crypto: TestCrypto.crypto
  ).signed(by: alice).signed(by: bob)
}
