import Base
import Membership
import Peer
import Replication
import Runtime
import Wire

/// One message of every kind that peers exchange.
enum Envelopes {
  static let all: [[UInt8]] =
    (membership.map(PeerMessage.membership) + sync.map(PeerMessage.sync) + [
      .streamPing(1), .streamPong(2), .introduce(Samples.changesets), .refused("not admitted"),
    ]).map { EnvelopeCodec.encode([$0]) }

  private static let id = Samples.peer.nodeID
  private static let other = Samples.admin.nodeID
  private static let signature = Samples.peer.sign([1])

  private static var membership: [Membership.Message] {
    let coordinate = NetworkCoordinate(x: -3, y: 4, z: 5, height: 6, error: 7)
    let incarnation = Incarnation(bootEpoch: 5, counter: 6)
    let accusation = Accusation(
      subject: id, incarnation: incarnation, accuser: other, signature: signature)
    var out: [Membership.Message] = [
      .ping(.init(sequence: 7, view: 0xffff_ffff, attachment: [1, 2])),
      .ack(.init(sequence: 7, view: 1, coordinate: coordinate)),
      .probeRequest(sequence: 9, target: id), .relayedAck(sequence: 1), .nack(sequence: 2),
      .syncRequest(buckets: (0..<64).map { UInt32($0) }),
      .syncSummary(
        .init(buckets: 3, members: [.init(prefix: 8, incarnation: incarnation, standing: .dead)])),
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
      out.append(.evidence([.record(record), .accusation(accusation)]))
    }
    return out
  }

  private static var sync: [SyncMessage] {
    let blue = Scope.slice("blue")
    let digest = SetDigest([id, other])
    let part = RangeContent.Part(digit: 3, count: 4, digest: digest)
    return [
      .push([Samples.changesets[3]]), .announce([id]), .graft([other, id]), .prune(blue),
      .track([id]), .applied([other]),
      .digests([ScopeDigest(scope: .clusterset, digest: digest)], answer: true),
      .symbolsRequest(SymbolsRequest(scope: .clusterset, offset: 4, count: 8, digest: digest)),
      .symbols(
        SymbolsWindow(
          scope: .clusterset, offset: 0, digest: digest, setCount: 2, packed: [1, 2, 3])),
      .rangesRequest(RangesRequest(scope: blue, ranges: [.all, .word(77)])),
      .ranges(
        RangesReply(
          scope: .clusterset,
          ranges: [
            RangeContent(range: .all, content: .ids([id])),
            RangeContent(range: .all, content: .parts([part])),
          ])),
      .have(.clusterset, .words([5, 6])), .have(.clusterset, .ids([id])),
      .want(Want(scope: blue, request: 3, part: .names(.words([1])))),
      .want(Want(scope: .clusterset, request: 3, part: .range(.all, after: id))),
      .want(Want(scope: .clusterset, request: 3, part: .trust(from: 9))),
      .delivery(
        Delivery(
          scope: .clusterset, request: 1, changesets: [Samples.changesets[0]], served: 1,
          remaining: 2)),
      .redirect(Redirect(scope: blue, peers: [id], retryMilliseconds: 50)),
    ]
  }
}
