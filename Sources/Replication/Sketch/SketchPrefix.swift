/// The first coded symbols of a set, kept up to date: a change costs O(log m) for m symbols.
///
/// Symbol i is the same whatever the length, so one prefix serves every peer at every difference.
public struct SketchPrefix: Sendable {
  public private(set) var symbols: [CodedSymbol] = []

  public init() {}

  public mutating func insert(_ word: UInt64) {
    update(word, times: 1)
  }

  /// The word has to be in the set.
  public mutating func remove(_ word: UInt64) {
    update(word, times: -1)
  }

  private mutating func update(_ word: UInt64, times count: Int64) {
    let checksum = SymbolIndices.checksum(word)
    var indices = SymbolIndices(word: word)
    while indices.index < symbols.count {
      symbols[indices.index].add(word, checksum: checksum, times: count)
      indices.advance()
    }
  }

  /// Grows the prefix to `length` symbols; `words` is the whole set. Doubles at least, so that a peer
  /// that asks symbol by symbol makes us walk the set a logarithmic number of times.
  public mutating func grow(to length: Int, over words: some Sequence<UInt64>) {
    guard length > symbols.count, length <= SyncLimits.sketchSymbols else { return }
    let old = symbols.count
    let new = min(SyncLimits.sketchSymbols, max(length, old * 2, Self.minimumLength))
    symbols.append(contentsOf: repeatElement(CodedSymbol(), count: new - old))
    for word in words {
      let checksum = SymbolIndices.checksum(word)
      var indices = SymbolIndices(word: word)
      while indices.index < old { indices.advance() }
      while indices.index < new {
        symbols[indices.index].add(word, checksum: checksum, times: 1)
        indices.advance()
      }
    }
  }

  static let minimumLength = 256
}
