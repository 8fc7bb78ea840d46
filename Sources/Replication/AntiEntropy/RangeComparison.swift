internal import Base

/// What follows from a peer's answer about ranges: which of them to look into, what it has and we
/// lack, what we have and it lacks.
struct RangeComparison {
  let index: ScopeIndex
  private(set) var differing: [RangePrefix] = []
  /// Ranges of which we have nothing.
  private(set) var lackedRanges: [RangePrefix] = []
  private(set) var lackedInRanges = 0
  private(set) var lacked: [Digest] = []
  private(set) var offered: [Digest] = []

  /// IDs of one range to offer at a time; the rest waits for the next session.
  static let offerLimit = 4_096

  init(index: ScopeIndex) {
    self.index = index
  }

  mutating func compare(_ content: RangeContent) {
    switch content.content {
    case .ids(let ids):
      let theirs = Set(ids.filter(content.range.contains))
      lacked += theirs.filter { !index.trie.contains($0) }.sorted()
      offered += index.trie.ids(in: content.range, limit: Self.offerLimit)
        .filter { !theirs.contains($0) }
    case .parts(let parts):
      for digit in 0..<16 {
        guard let part = content.range.child(digit) else { return }
        compare(part, with: parts.first { $0.digit == digit })
      }
    }
  }

  private mutating func compare(_ range: RangePrefix, with theirs: RangeContent.Part?) {
    let ours = index.trie.summary(of: range)
    switch (ours.count, theirs) {
    case (0, nil): break
    case (_, nil): offered += index.trie.ids(in: range, limit: Self.offerLimit)
    case (0, let theirs?):
      lackedRanges.append(range)
      lackedInRanges += theirs.count
    case (_, let theirs?):
      if ours.digest != theirs.digest || ours.count != theirs.count { differing.append(range) }
    }
  }
}
