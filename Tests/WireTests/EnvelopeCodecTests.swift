import Base
import Membership
import Peer
import Replication
import Testing
import Wire

@Suite struct EnvelopeCodecTests {
  static let samples: [PeerMessage] = {
    let id = TestCrypto.crypto.sha256([1])
    let other = TestCrypto.crypto.sha256([2])
    let digest = SetDigest([id, other])
    let coordinate = NetworkCoordinate(x: -3, y: 4, z: 5, height: 6, error: 7)
    let signature = TestCrypto.signer(1).sign([1])
    let incarnation = Incarnation(bootEpoch: 5, counter: 6)
    let accusation = Accusation(
      subject: id, incarnation: incarnation, accuser: other, signature: signature)
    var membership: [Membership.Message] = [
      .ping(.init(sequence: 7, view: 0xffff_ffff, attachment: [1, 2])),
      .ack(.init(sequence: 7, view: 1, coordinate: coordinate)),
      .probeRequest(sequence: 9, target: id), .relayedAck(sequence: 1), .nack(sequence: 2),
      .syncRequest(buckets: (0..<64).map { UInt32($0) }),
      .syncSummary(
        .init(
          buckets: 3, members: [.init(prefix: 8, incarnation: incarnation, standing: .dead)])),
      .syncWant(prefixes: [1, 2]),
      .syncRecords(
        .init(
          evidence: [.accusation(accusation)],
          coordinates: [.init(prefix: 4, coordinate: coordinate)])),
      .syncRedirect([id, other]),
    ]
    if let record = try? MemberRecord(
      subject: id, incarnation: incarnation, presence: .left, addresses: ["a:1"],
      signature: signature)
    {
      membership.append(.evidence([.record(record), .accusation(accusation)]))
    }
    let blue = Scope.slice("blue")
    let sync: [SyncMessage] = [
      .push([sampleChangeset()]), .announce([id]), .graft([other, id]), .prune(blue),
      .track([id]), .applied([other]),
      .digests([ScopeDigest(scope: blue, digest: digest)], answer: true),
      .symbolsRequest(SymbolsRequest(scope: .clusterset, offset: 4, count: 8, digest: digest)),
      .symbols(
        SymbolsWindow(scope: blue, offset: 1, digest: digest, setCount: 2, packed: [1, 2, 3])),
      .rangesRequest(RangesRequest(scope: blue, ranges: [.all, .word(77)])),
      .ranges(
        RangesReply(
          scope: blue,
          ranges: [
            RangeContent(range: .all, content: .ids([id])),
            RangeContent(range: .all, content: .ids([])),
            RangeContent(
              range: .all, content: .parts([.init(digit: 3, count: 4, digest: digest)])),
          ])),
      .have(blue, .words([5, 6])), .have(.clusterset, .ids([id])),
      .want(Want(scope: blue, request: 3, part: .names(.words([1])))),
      .want(Want(scope: blue, request: 3, part: .range(.all, after: id))),
      .want(Want(scope: blue, request: 3, part: .range(.all, after: nil))),
      .want(Want(scope: blue, request: 3, part: .trust(from: 9))),
      .delivery(
        Delivery(
          scope: blue, request: 1, changesets: [sampleChangeset()], served: 1, remaining: 2)),
      .redirect(Redirect(scope: blue, peers: [id], retryMilliseconds: 50)),
    ]
    return membership.map(PeerMessage.membership) + sync.map(PeerMessage.sync) + [
      .streamPing(1), .streamPong(2), .introduce([sampleChangeset()]), .refused("no"),
    ]
  }()

  @Test func everyMessageRoundTrips() throws {
    for message in Self.samples {
      let bytes = EnvelopeCodec.encode([message])
      let decoded = try EnvelopeCodec.decode(bytes, crypto: TestCrypto.crypto)
      #expect(decoded.count == 1)
      if case .sync(let sent) = message, case .sync(let received)? = decoded.first {
        #expect(sent == received)
      }
      // Equal bytes again: nothing of the message was lost on the way.
      #expect(EnvelopeCodec.encode(decoded) == bytes)
    }
  }

  @Test func idleProbesStayInTheirBudget() {
    let digest = [UInt8](repeating: 1, count: 20)
    let ping = EnvelopeCodec.encode([
      .membership(.ping(.init(sequence: 70_000, view: .max, attachment: digest)))
    ])
    let coordinate = NetworkCoordinate(x: 1, y: 2, z: 3, height: 4, error: 5)
    let ack = EnvelopeCodec.encode([
      .membership(.ack(.init(sequence: 70_000, view: .max, coordinate: coordinate)))
    ])
    // 28 bytes of IP and UDP, 41 of sealing: 250 bytes a second for one ping and one ack sent.
    #expect(ping.count <= 45)
    #expect(ack.count <= 45)
  }

  @Test func tooManyMessagesAreRefused() {
    let many = [PeerMessage](
      repeating: .streamPing(1), count: EnvelopeCodec.maximumMessages + 1)
    #expect(throws: WireError.overLimit("messages")) {
      try EnvelopeCodec.decode(EnvelopeCodec.encode(many), crypto: TestCrypto.crypto)
    }
  }

  @Test func mutatedEnvelopesNeverTrap() {
    var rng = SeededGenerator(seed: 5)
    for message in Self.samples {
      let bytes = EnvelopeCodec.encode([message])
      for _ in 0..<2_000 {
        var mutated = bytes
        mutated[Int.random(in: 0..<mutated.count, using: &rng)] ^= UInt8.random(
          in: 1...255, using: &rng)
        if Int.random(in: 0..<4, using: &rng) == 0 {
          mutated.removeLast(Int.random(in: 0..<mutated.count, using: &rng))
        }
        _ = try? EnvelopeCodec.decode(mutated, crypto: TestCrypto.crypto)
      }
    }
  }
}
