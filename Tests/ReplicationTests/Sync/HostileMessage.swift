import Base

@testable import Replication

/// Messages as a member that follows no rule may send them, decoded.
enum HostileMessage {
  static func random(_ rng: inout SeededGenerator, known: [Digest]) -> SyncMessage {
    let scope = Scope.clusterset
    switch Int.random(in: 0..<14, using: &rng) {
    case 0:
      return .digests([.init(scope: scope, digest: digest(&rng))], answer: .random(using: &rng))
    case 1:
      return .symbolsRequest(
        .init(scope: scope, offset: number(&rng), count: number(&rng), digest: digest(&rng)))
    case 2:
      let packed = (0..<Int.random(in: 0...300, using: &rng)).map { _ in
        UInt8.random(in: 0...255, using: &rng)
      }
      return .symbols(
        .init(
          scope: scope, offset: Bool.random(using: &rng) ? 0 : number(&rng), digest: digest(&rng),
          setCount: number(&rng), packed: packed))
    case 3: return .rangesRequest(.init(scope: scope, ranges: ranges(&rng, known)))
    case 4:
      return .ranges(
        .init(scope: scope, ranges: ranges(&rng, known).map { content($0, &rng, known) }))
    case 5: return .have(scope, names(&rng, known))
    case 6: return .want(.init(scope: scope, request: number32(&rng), part: part(&rng, known)))
    case 7:
      return .delivery(
        .init(
          scope: scope, request: number32(&rng), changesets: [], served: number(&rng),
          remaining: number(&rng)))
    case 8:
      return .redirect(
        .init(scope: scope, peers: ids(&rng, known), retryMilliseconds: number32(&rng)))
    case 9: return .announce(ids(&rng, known))
    case 10: return .graft(ids(&rng, known))
    case 11: return .prune(scope)
    case 12: return .track(ids(&rng, known))
    default: return .applied(ids(&rng, known))
    }
  }

  static func number(_ rng: inout SeededGenerator) -> Int {
    switch Int.random(in: 0..<5, using: &rng) {
    case 0: Int.random(in: .min ... .max, using: &rng)
    case 1: .max
    case 2: -1
    default: Int.random(in: 0...200, using: &rng)
    }
  }

  static func number32(_ rng: inout SeededGenerator) -> UInt32 {
    Bool.random(using: &rng) ? .random(in: 0...0x10000, using: &rng) : .max
  }

  static func digest(_ rng: inout SeededGenerator) -> SetDigest {
    SetDigest(high: rng.next(), low: rng.next())
  }

  static func ids(_ rng: inout SeededGenerator, _ known: [Digest]) -> [Digest] {
    (0..<Int.random(in: 0...300, using: &rng)).map { _ in
      Bool.random(using: &rng)
        ? known.randomElement(using: &rng) ?? .zero
        : Digest(words: (rng.next(), rng.next(), rng.next(), rng.next()))
    }
  }

  static func names(_ rng: inout SeededGenerator, _ known: [Digest]) -> Names {
    let ids = ids(&rng, known)
    return Bool.random(using: &rng) ? .ids(ids) : .words(ids.map(\.words.0))
  }

  static func ranges(_ rng: inout SeededGenerator, _ known: [Digest]) -> [RangePrefix] {
    (0..<Int.random(in: 0...20, using: &rng)).map { _ in
      IDTrieTests.range(&rng, near: known.randomElement(using: &rng))
    }
  }

  static func content(
    _ range: RangePrefix, _ rng: inout SeededGenerator, _ known: [Digest]
  ) -> RangeContent {
    if Bool.random(using: &rng) { return .init(range: range, content: .ids(ids(&rng, known))) }
    let parts = (0..<Int.random(in: 0...20, using: &rng)).map { i in
      RangeContent.Part(digit: i, count: number(&rng), digest: digest(&rng))
    }
    return .init(range: range, content: .parts(parts))
  }

  static func part(_ rng: inout SeededGenerator, _ known: [Digest]) -> Want.Part {
    switch Int.random(in: 0..<3, using: &rng) {
    case 0: .names(names(&rng, known))
    case 1:
      .range(
        IDTrieTests.range(&rng, near: known.randomElement(using: &rng)),
        after: known.randomElement(using: &rng))
    default: .trust(from: number(&rng))
    }
  }
}
