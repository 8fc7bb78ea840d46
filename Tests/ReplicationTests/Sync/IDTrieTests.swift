import Base
import Testing

@testable import Replication

@Suite("Trie of IDs")
struct IDTrieTests {
  static func id(_ rng: inout SeededGenerator, prefix: UInt64? = nil) -> Digest {
    Digest(words: (prefix ?? rng.next(), rng.next(), rng.next(), rng.next()))
  }

  static func range(_ rng: inout SeededGenerator, near id: Digest?) -> RangePrefix {
    let nibbles = Int.random(in: 0...16, using: &rng)
    let word = id?.words.0 ?? rng.next()
    let mask: UInt64 = nibbles == 0 ? 0 : ~0 << UInt64(64 - 4 * nibbles)
    return RangePrefix(word: word & mask, nibbles: nibbles) ?? .all
  }

  @Test("agrees with a plain set through random changes, equal words included")
  func model() {
    var rng = SeededGenerator(seed: 11)
    var trie = IDTrie()
    var model: Set<Digest> = []
    var pool: [Digest] = (0..<600).map { _ in Self.id(&rng) }
    // Words that an attacker made equal, or nearly.
    pool += (0..<100).map { _ in Self.id(&rng, prefix: 0x1234_5678_9abc_def0) }
    pool += (0..<100).map { _ in
      Self.id(&rng, prefix: 0xffff_ffff_ffff_ff00 | UInt64.random(in: 0...255, using: &rng))
    }
    for step in 0..<6_000 {
      guard let id = pool.randomElement(using: &rng) else { continue }
      // Fills, then empties: leaves divide and join.
      if Int.random(in: 0..<10, using: &rng) < (step < 3_000 ? 8 : 2) {
        #expect(trie.insert(id) == model.insert(id).inserted)
      } else {
        #expect(trie.remove(id) == (model.remove(id) != nil))
      }
      if step.isMultiple(of: 50) { check(trie, model, &rng) }
    }
    for id in model.sorted() { trie.remove(id) }
    #expect(trie.count == 0)
    #expect(trie.digest == .zero)
  }

  func check(_ trie: IDTrie, _ model: Set<Digest>, _ rng: inout SeededGenerator) {
    let sorted = model.sorted()
    #expect(trie.count == sorted.count)
    #expect(trie.digest == SetDigest(sorted))
    #expect(trie.words.sorted() == sorted.map(\.words.0))
    let range = Self.range(&rng, near: sorted.randomElement(using: &rng))
    let inside = sorted.filter(range.contains)
    #expect(trie.summary(of: range) == (inside.count, SetDigest(inside)))
    let after = Bool.random(using: &rng) ? sorted.randomElement(using: &rng) : nil
    let rest = inside.filter { id in after.map { id > $0 } ?? true }
    let limit = Int.random(in: 0...40, using: &rng)
    #expect(trie.ids(in: range, after: after, limit: limit) == Array(rest.prefix(limit)))
    #expect(trie.count(in: range, after: after) == rest.count)
  }

  @Test("a range is named by its digits only")
  func ranges() throws {
    #expect(RangePrefix(word: 1, nibbles: 15) == nil)
    #expect(RangePrefix(word: 0, nibbles: 17) == nil)
    #expect(RangePrefix(word: 0, nibbles: -1) == nil)
    #expect(RangePrefix(word: 1, nibbles: 0) == nil)
    let range = try #require(RangePrefix.all.child(10)?.child(3))
    #expect(range.description == "a3*")
    #expect(range.child(16) == nil)
    #expect(RangePrefix.word(7).child(0) == nil)
  }

  @Test("set digests are read back and do not depend on order")
  func digests() {
    var rng = SeededGenerator(seed: 12)
    let ids = (0..<100).map { _ in Self.id(&rng) }
    var digest = SetDigest(ids)
    #expect(digest == SetDigest(ids.shuffled(using: &rng)))
    #expect(SetDigest(bytes: digest.bytes) == digest)
    #expect(SetDigest(bytes: [1]) == nil)
    for id in ids { digest.remove(id) }
    #expect(digest == .zero)
  }
}
