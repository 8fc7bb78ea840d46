import Base
import Peer
import Replication
import Wire

/// What two peers say to one another until their sets are equal, in virtual time: the bytes of all
/// messages as they are encoded, without the changesets that one of them lacks.
struct SyncMeasurement {
  private struct Shelf: SyncSource {
    var changesets: [Digest: Changeset] = [:]

    func changeset(_ id: Digest) -> Changeset? { changesets[id] }
    func trust(in scope: Scope) -> [Digest] { [] }
  }

  private struct Flying {
    var at: Instant
    var to: Int
    var message: SyncMessage
  }

  private var peers: [AntiEntropy]
  private var shelves = [Shelf(), Shelf()]
  private var queue: [Flying] = []
  private var now = Instant(nanoseconds: 1_000_000_000)
  private var bytes = 0

  private static let names = [UInt64(1), 2].map { Digest(words: ($0, 0, 0, 0)) }
  private static let delay = Duration.milliseconds(20)
  private static let trials = 5

  /// The most of five trials; the differences are on both sides, as after a partition.
  ///
  /// - Parameter ids: what both hold.
  static func bytes(ids: [Digest], differences: Int) -> Int {
    let base = SyncMeasurement(ids: ids)
    return (0..<trials).map { trial in
      var measurement = base
      var rng = SeededGenerator(seed: UInt64(trial) << 32 | UInt64(differences))
      measurement.differ(by: differences, using: &rng)
      return measurement.run()
    }.max() ?? 0
  }

  private init(ids: [Digest]) {
    peers = Self.names.map { AntiEntropy(local: $0, seed: $0.words.0) }
    for index in 0..<2 {
      let other = SyncPeer(id: Self.names[1 - index], roundTrip: Self.delay * 2)
      feed(.holders(.clusterset, Holders([other])), to: index)
      feed(.setChanged(.clusterset, inserted: ids, removed: []), to: index)
    }
    // Symbols of the set are kept; make them once, not in every trial.
    now = now + .seconds(1)
  }

  private mutating func differ(by count: Int, using rng: inout SeededGenerator) {
    for number in 0..<count {
      let index = number % 3 == 0 ? 0 : 1
      let changeset = Self.changeset(&rng)
      shelves[index].changesets[changeset.id] = changeset
      feed(.setChanged(.clusterset, inserted: [changeset.id], removed: []), to: index)
    }
    queue = []
    bytes = 0
  }

  /// Its content is not counted and nobody looks into it.
  private static func changeset(_ rng: inout SeededGenerator) -> Changeset {
    let id = Digest(words: (rng.next(), rng.next(), rng.next(), rng.next()))
    return Changeset(
      id: id, body: [UInt8](repeating: 0, count: 300), endorsements: [], clusterSet: .zero,
      under: .zero, author: PublicKey(words: (1, 2, 3, 4)), time: HybridTime(milliseconds: 1))
  }

  private mutating func run() -> Int {
    // A probe with the digest of the other side starts it.
    let digest = ScopeDigest(scope: .clusterset, digest: peers[1].digest(.clusterset))
    feed(.digests([digest], from: Self.names[1]), to: 0)
    let end = now + .seconds(60)
    while now < end, !isDone {
      let deadlines = peers.map { $0.nextDeadline ?? .distantFuture }
      let due = min(deadlines[0], deadlines[1])
      if let next = queue.indices.min(by: { queue[$0].at < queue[$1].at }), queue[next].at <= due {
        let flying = queue.remove(at: next)
        now = max(now, flying.at)
        feed(.message(flying.message, from: Self.names[1 - flying.to]), to: flying.to)
      } else {
        now = max(now, due)
        feed(.tick, to: deadlines[0] <= deadlines[1] ? 0 : 1)
      }
    }
    precondition(isDone, "the two sets did not become equal")
    return bytes
  }

  private var isDone: Bool {
    queue.isEmpty && peers[0].digest(.clusterset) == peers[1].digest(.clusterset)
  }

  private mutating func feed(_ input: AntiEntropy.Input, to index: Int) {
    var effects: [SyncEffect] = []
    let time = Now(instant: now, wallMilliseconds: 1)
    peers[index].handle(input, source: shelves[index], now: time, effects: &effects)
    for effect in effects {
      switch effect {
      case .send(_, let message, let isReliable):
        bytes += Self.size(message)
        let delay = isReliable ? Self.delay * 2 : Self.delay
        queue.append(Flying(at: now + delay, to: 1 - index, message: message))
      case .deliver(let changesets, _, _):
        for changeset in changesets where shelves[index].changesets[changeset.id] == nil {
          shelves[index].changesets[changeset.id] = changeset
          feed(.setChanged(changeset.scope, inserted: [changeset.id], removed: []), to: index)
        }
      case .confirmed, .event: break
      }
    }
  }

  /// The whole envelope, changesets left out.
  private static func size(_ message: SyncMessage) -> Int {
    guard case .delivery(var delivery) = message else {
      return EnvelopeCodec.encode([.sync(message)]).count
    }
    delivery.changesets = []
    return EnvelopeCodec.encode([.sync(.delivery(delivery))]).count
  }
}
