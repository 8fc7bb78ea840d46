import Base
import Replication
import Testing
import Wire

@Suite struct StateCodecTests {
  @Test func changesetRoundTripsWithEveryField() throws {
    let original = sampleChangeset()
    let decoded = try ChangesetCodec.decode(
      ChangesetCodec.encode(original), crypto: TestCrypto.crypto)
    #expect(decoded.id == original.id)
    #expect(decoded.body == original.body)
    #expect(decoded.endorsements == original.endorsements)
    #expect(decoded.scope == original.scope)
    #expect(decoded.writes == original.writes)
    #expect(decoded.grant == original.grant)
    #expect(decoded.floors == original.floors)
    #expect(decoded.time == original.time)
    #expect(decoded.message == "why")
    for endorsement in decoded.endorsements {
      #expect(
        TestCrypto.crypto.verify(endorsement.signature, decoded.signedBytes, endorsement.key))
    }
  }

  @Test func identityLeavesSignaturesOut() throws {
    var other = sampleChangeset()
    other.endorsements.removeLast()
    let decoded = try ChangesetCodec.decode(ChangesetCodec.encode(other), crypto: TestCrypto.crypto)
    #expect(decoded.id == sampleChangeset().id)
  }

  @Test func storedFormGivesTheSameChangeset() throws {
    let original = sampleChangeset()
    let decoded = try ChangesetCodec.decode(
      body: original.body, endorsements: ChangesetCodec.encodeEndorsements(original),
      id: original.id)
    #expect(decoded.writes == original.writes)
    #expect(decoded.endorsements == original.endorsements)
  }

  @Test func oversizedIsRefusedBeforeParsing() {
    let bytes = [UInt8](repeating: 0, count: Changeset.maximumBytes + 1)
    #expect(throws: WireError.overLimit("changeset bytes")) {
      try ChangesetCodec.decode(bytes, crypto: TestCrypto.crypto)
    }
    #expect(throws: WireError.overLimit("writes")) {
      let wide = sampleChangeset(writes: 0)
      var draft = wide
      draft.writes = (0...Changeset.maximumWrites).map {
        Write(path: "p\($0)", value: nil, counter: 1, context: VersionVector())
      }
      let sealed = ChangesetCodec.seal(draft, crypto: TestCrypto.crypto)
        .signed(by: TestCrypto.signer(1))
      _ = try ChangesetCodec.decode(ChangesetCodec.encode(sealed), crypto: TestCrypto.crypto)
    }
  }

  @Test func deepValuesAreRefused() {
    var value: Value = 1
    for _ in 0..<Value.depthLimit { value = [value] }
    var draft = sampleChangeset(writes: 1)
    draft.writes[0].value = value
    let sealed = ChangesetCodec.seal(draft, crypto: TestCrypto.crypto)
      .signed(by: TestCrypto.signer(1))
    #expect(throws: WireError.overLimit("value depth")) {
      try ChangesetCodec.decode(ChangesetCodec.encode(sealed), crypto: TestCrypto.crypto)
    }
  }

  @Test func mutatedBytesNeverTrapAndNeverKeepTheIdentity() {
    let original = sampleChangeset()
    let bytes = ChangesetCodec.encode(original)
    var rng = SeededGenerator(seed: 11)
    for _ in 0..<20_000 {
      var mutated = bytes
      for _ in 0..<Int.random(in: 1...4, using: &rng) {
        mutated[Int.random(in: 0..<mutated.count, using: &rng)] = UInt8.random(
          in: 0...255, using: &rng)
      }
      if Bool.random(using: &rng) {
        mutated.removeLast(Int.random(in: 0..<mutated.count, using: &rng))
      }
      guard let decoded = try? ChangesetCodec.decode(mutated, crypto: TestCrypto.crypto) else {
        continue
      }
      #expect((decoded.id == original.id) == (decoded.body == original.body))
    }
  }

  @Test func tokenRoundTrips() throws {
    let root = TestCrypto.signer(1).publicKey
    let genesis = GenesisCodec.make(
      name: "prod", root: RootKeys(keys: [root], threshold: 1), createdMilliseconds: 5,
      salt: [1, 2, 3], crypto: TestCrypto.crypto)
    let token = JoinToken(
      genesis: genesis, cluster: "eu-1", seeds: ["10.0.0.1:7946"],
      privateKey: [UInt8](repeating: 9, count: 32), grant: sampleChangeset().id,
      chain: [sampleChangeset()])
    let decoded = try JoinToken("  \(token.text)\n", crypto: TestCrypto.crypto)
    #expect(decoded.genesis == genesis)
    #expect(decoded.seeds == token.seeds)
    #expect(decoded.chain == token.chain)
    #expect(decoded.privateKey == token.privateKey)
    #expect(throws: WireError.malformed("token prefix")) {
      try JoinToken("hello", crypto: TestCrypto.crypto)
    }
  }
}
