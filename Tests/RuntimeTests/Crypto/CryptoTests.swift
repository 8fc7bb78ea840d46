import Base
import Testing
import Wire

@testable import Runtime

@Suite("libsodium")
struct SodiumTests {
  @Test("SHA-256 of FIPS 180-4")
  func sha256() {
    #expect(
      Sodium.sha256(Array("abc".utf8)).hex
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(
      Sodium.sha256([]).hex
        == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  }

  @Test("Ed25519 of RFC 8032, section 7.1, test 2")
  func ed25519() throws {
    let seed = try #require(
      [UInt8](hex: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    let key = try #require(SigningKey(seed: seed))
    #expect(
      key.publicKey.hex == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    let signature = key.sign([0x72])
    #expect(
      signature.bytes.hex
        == "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        + "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
    #expect(Sodium.verify(signature, [0x72], by: key.publicKey))
    #expect(!Sodium.verify(signature, [0x73], by: key.publicKey))
    #expect(!Sodium.verify(signature, [], by: SigningKey().publicKey))
    #expect(key.seed == seed)
    #expect(SigningKey(seed: [1, 2, 3]) == nil)
    #expect(Base.Crypto.sodium.nodeID(of: key.publicKey) == key.nodeID)
    #expect(key.signer.sign([1]) == key.sign([1]))
  }

  @Test("BLAKE2b with a key, RFC 7693's reference vector")
  func blake2b() {
    let key = (0..<64).map { UInt8($0) }
    #expect(
      Sodium.keyedHash([], key: key, count: 64).hex
        == "10ebb67700b1868efb4417987acf4690ae9d972fb7a590c2f02871799aaa4786"
        + "b5e996e8f0f4eb981fc214b005f42d2ff4233499391653df7aefcbc13fc51568")
  }

  @Test("both ends agree on one secret, and only they")
  func agreement() throws {
    let (a, b, c) = (SigningKey(), SigningKey(), SigningKey())
    let (ofA, ofB, ofC) = (
      SealedCrypto.sodium(a), SealedCrypto.sodium(b), SealedCrypto.sodium(c)
    )
    let secret = try #require(ofA.agree(b.publicKey))
    #expect(secret.count == 32)
    #expect(ofB.agree(a.publicKey) == secret)
    #expect(ofC.agree(a.publicKey) != secret)
    // The neutral element is a point of low order.
    let low = try #require(PublicKey([1] + [UInt8](repeating: 0, count: 31)))
    #expect(ofA.agree(low) == nil)
  }

  @Test("the box opens only as it was sealed")
  func aead() {
    let key = [UInt8](repeating: 7, count: 32)
    let header: [UInt8] = [1, 2, 3]
    for message: [UInt8] in [[], [9], [UInt8](repeating: 5, count: 1_150)] {
      let datagram = AEAD.seal(message, header: header, key: key, counter: 42)
      #expect(datagram.count == 3 + message.count + 16)
      #expect(AEAD.open(datagram, headerBytes: 3, key: key, counter: 42) == message)
      #expect(AEAD.open(datagram, headerBytes: 3, key: key, counter: 43) == nil)
      for index in datagram.indices {
        var changed = datagram
        changed[index] ^= 1
        #expect(AEAD.open(changed, headerBytes: 3, key: key, counter: 42) == nil)
      }
      #expect(AEAD.open(Array(datagram.prefix(10)), headerBytes: 3, key: key, counter: 42) == nil)
    }
  }

  @Test("sealed sessions work over the real thing")
  func sealedSessions() {
    let (a, b) = (SigningKey(), SigningKey())
    let address = IPEndpoint(IPAddress(v4: 0x7f00_0001), port: 1)
    var ofA = SealedSessions(
      me: a.nodeID, crypto: .sodium(a), rng: SeededGenerator(seed: Sodium.randomSeed()))
    var ofB = SealedSessions(
      me: b.nodeID, crypto: .sodium(b), rng: SeededGenerator(seed: Sodium.randomSeed()))
    ofA.setPeers([(b.nodeID, b.publicKey)], now: .zero)
    ofB.setPeers([(a.nodeID, a.publicKey)], now: .zero)
    var (toB, toA, none): ([OutgoingDatagram], [OutgoingDatagram], [OutgoingDatagram]) = (
      [], [], []
    )
    ofA.seal([1, 2, 3], to: b.nodeID, at: address, now: .zero, into: &toB)
    #expect(
      ofB.open(toB[0].bytes, from: address, now: .zero, into: &toA) == .handshake(from: a.nodeID))
    toB = []
    #expect(
      ofA.open(toA[0].bytes, from: address, now: .zero, into: &toB) == .handshake(from: b.nodeID))
    #expect(
      ofB.open(toB[0].bytes, from: address, now: .zero, into: &none)
        == .message(from: a.nodeID, [1, 2, 3]))
    #expect(
      ofB.open(toB[0].bytes, from: address, now: .zero, into: &none) == .dropped(.replayed))
  }
}
