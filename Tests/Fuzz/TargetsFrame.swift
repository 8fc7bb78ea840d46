import Base
import NIOCore
import Peer
import Replication
import Runtime
import Wire

/// Frames of a stream: their outer form with its compression, the messages within, and what the
/// anti-entropy core makes of them.
func frameTarget() -> FuzzTarget {
  let frames = [
    Envelopes.all[0], Envelopes.all.flatMap { $0 } + [UInt8](repeating: 7, count: 2_000),
  ]
  .map { payload in
    var buffer = ByteBuffer()
    StreamFrame.encode(payload, into: &buffer)
    return Array(buffer.readableBytesView)
  }
  let core = AntiEntropyCore()
  return FuzzTarget(name: "frame", corpus: Envelopes.all + frames) { input in
    core.take(envelope: input)
    var stream = ByteBuffer(bytes: input)
    while let payload = try? StreamFrame.decode(from: &stream) { core.take(envelope: payload) }
  }
}

/// A peer that holds a few changesets, new for every envelope.
private struct AntiEntropyCore {
  private struct Shelf: SyncSource {
    var changesets: [Digest: Changeset]

    func changeset(_ id: Digest) -> Changeset? { changesets[id] }

    func trust(in scope: Scope) -> [Digest] {
      changesets.values.filter { $0.scope == scope && $0.grant != nil }.map(\.id).sorted()
    }
  }

  private let shelf: Shelf
  private let entropy: AntiEntropy
  private let sender = Samples.admin.nodeID
  private let now = Now(instant: .zero, wallMilliseconds: 1_000)

  init() {
    var effects: [SyncEffect] = []
    var entropy = AntiEntropy(local: Samples.peer.nodeID, seed: 1)
    shelf = Shelf(
      changesets: Dictionary(
        Samples.changesets.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first }))
    for scope in [Scope.clusterset, .slice("blue")] {
      let members = [SyncPeer(id: sender, roundTrip: .milliseconds(5))]
      entropy.handle(.holders(scope, Holders(members)), source: shelf, now: now, effects: &effects)
      let ids = Samples.changesets.filter { $0.scope == scope }.map(\.id)
      entropy.handle(
        .setChanged(scope, inserted: ids, removed: []), source: shelf, now: now,
        effects: &effects)
    }
    self.entropy = entropy
  }

  func take(envelope: [UInt8]) {
    guard let messages = try? EnvelopeCodec.decode(envelope, crypto: Samples.crypto) else {
      return
    }
    // What was understood can be said again and is understood the same.
    let encoded = EnvelopeCodec.encode(messages)
    guard let again = try? EnvelopeCodec.decode(encoded, crypto: Samples.crypto) else {
      preconditionFailure("what was decoded did not encode")
    }
    precondition(EnvelopeCodec.encode(again) == encoded)
    var core = entropy
    var effects: [SyncEffect] = []
    for case .sync(let message) in messages {
      core.handle(.message(message, from: sender), source: shelf, now: now, effects: &effects)
    }
    for case .send(_, let message, _) in effects {
      precondition(message.limitBroken == nil, "an answer is within every limit")
    }
  }
}
