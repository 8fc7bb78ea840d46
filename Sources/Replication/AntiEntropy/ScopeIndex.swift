public import Base

/// One scope's compared set as anti-entropy needs it: sorted and summed by range, and sketched.
public struct ScopeIndex: Sendable {
  public private(set) var trie = IDTrie()
  private var sketch = SketchPrefix()

  public init() {}

  public var count: Int { trie.count }
  public var digest: SetDigest { trie.digest }

  public mutating func insert(_ id: Digest) {
    if trie.insert(id) { sketch.insert(id.words.0) }
  }

  public mutating func remove(_ id: Digest) {
    if trie.remove(id) { sketch.remove(id.words.0) }
  }

  /// Coded symbols of the set; the sketch is made when somebody first asks, and kept from then on.
  public mutating func symbols(_ window: Range<Int>) -> ArraySlice<CodedSymbol> {
    if window.upperBound > sketch.symbols.count {
      sketch.grow(to: window.upperBound, over: trie.words)
    }
    return sketch.symbols[window.clamped(to: 0..<sketch.symbols.count)]
  }

  /// IDs that begin with a word: one, unless somebody searched long for a second.
  public func ids(word: UInt64) -> [Digest] {
    trie.ids(in: .word(word), limit: 4)
  }
}
