internal import Base
internal import Membership
internal import Peer
internal import Replication

/// Well-formed nonsense: what a codec lets pass and no honest peer says.
enum HostileMessages {
  static func any(using rng: inout SeededGenerator) -> PeerMessage {
    let scope: Scope = rng.happens(0.8) ? .clusterset : .slice("none")
    let id = Digest(words: (rng.next(), rng.next(), rng.next(), rng.next()))
    let digest = SetDigest([id])
    switch rng.below(12) {
    case 0: return .sync(.announce([id, id]))
    case 1: return .sync(.graft([id]))
    case 2: return .sync(.prune(scope))
    case 3: return .sync(.digests([ScopeDigest(scope: scope, digest: digest)], answer: true))
    case 4:
      return .sync(
        .symbolsRequest(
          SymbolsRequest(
            scope: scope, offset: rng.below(40_000), count: rng.below(5_000), digest: digest)))
    case 5:
      let packed = (0..<rng.below(400)).map { _ in UInt8(truncatingIfNeeded: rng.next()) }
      return .sync(
        .symbols(
          SymbolsWindow(
            scope: scope, offset: rng.below(300), digest: digest, setCount: rng.below(1 << 31),
            packed: packed)))
    case 6: return .sync(.have(scope, .words((0..<50).map { _ in rng.next() })))
    case 7:
      return .sync(
        .want(
          Want(
            scope: scope, request: UInt32(truncatingIfNeeded: rng.next()),
            part: .trust(from: rng.below(100)))))
    case 8:
      return .sync(
        .delivery(
          Delivery(
            scope: scope, request: 1, changesets: [], served: rng.below(9),
            remaining: rng.below(9))))
    case 9: return .membership(.syncWant(prefixes: [rng.next(), rng.next()]))
    case 10:
      return .membership(.syncSummary(.init(buckets: rng.next(), members: [])))
    default:
      return .sync(
        .redirect(
          Redirect(
            scope: scope, peers: [id], retryMilliseconds: UInt32(truncatingIfNeeded: rng.next()))))
    }
  }
}
