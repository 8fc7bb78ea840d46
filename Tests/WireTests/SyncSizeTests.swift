import Base
import Peer
import Replication
import Testing
import Wire

/// The cores choose between datagram and stream by `encodedSize`, without a codec.
@Suite struct SyncSizeTests {
  @Test func theCoresKnowTheSizeOfWhatTheySend() {
    var messages = EnvelopeCodecTests.samples.compactMap { message in
      if case .sync(let sync) = message { sync } else { nil }
    }
    let changeset = sampleChangeset(writes: 40)
    let digest = SetDigest([changeset.id])
    let ids = [Digest](repeating: changeset.id, count: 200)
    messages += [
      .push([Changeset](repeating: changeset, count: 20)), .announce(ids), .applied(ids),
      .digests([ScopeDigest(scope: .clusterset, digest: digest)], answer: false),
      .symbolsRequest(
        SymbolsRequest(scope: .clusterset, offset: 20_000, count: 4_000, digest: digest)),
      .symbols(
        SymbolsWindow(
          scope: .clusterset, offset: 0, digest: digest, setCount: 100_000,
          packed: [UInt8](repeating: 9, count: 5_000))),
      .have(.slice("blue"), .ids(ids)),
      .want(Want(scope: .clusterset, request: 60_000, part: .trust(from: 0))),
      .want(Want(scope: .clusterset, request: 60_000, part: .range(.word(.max), after: ids[0]))),
      .delivery(
        Delivery(
          scope: .clusterset, request: .max,
          changesets: [Changeset](repeating: changeset, count: 64),
          served: 64, remaining: 1_000_000)),
    ]
    for message in messages {
      let bytes = EnvelopeCodec.encode([.sync(message)])
      #expect(message.encodedSize == bytes.count, "\(message)")
    }
  }
}
