internal import Base

/// A counting write to a register.
struct WriteReference: Hashable, Sendable {
  var slot: Slot
  /// Which of the changeset's writes.
  var index: Int32
}

/// One register of one scope: who wrote it, and what that comes to.
struct RegisterRecord: Sendable {
  let path: String
  let scope: ScopeNumber
  /// `cluster/<c>` or `slice/<s>/member/<c>`: others' counting depends on it.
  let concernsTrust: Bool
  /// Of counting changesets, in no order; usually one.
  var writes: [WriteReference] = []
  /// What it adds to the scope's view hash.
  var share = ViewHash()
  var isPresent = false
  var isConflict = false
  var isTouched = false
}

/// An order-free hash of the values in force, kept incrementally: the sum, word by word, of one share
/// for each register. A value is told by the changeset that wrote it and its place in there.
struct ViewHash: Hashable, Sendable {
  private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

  static func == (a: ViewHash, b: ViewHash) -> Bool { a.words == b.words }

  func hash(into hasher: inout Hasher) { hasher.combine(words.0) }

  mutating func add(_ other: ViewHash) {
    words.0 &+= other.words.0
    words.1 &+= other.words.1
    words.2 &+= other.words.2
    words.3 &+= other.words.3
  }

  mutating func subtract(_ other: ViewHash) {
    words.0 &-= other.words.0
    words.1 &-= other.words.1
    words.2 &-= other.words.2
    words.3 &-= other.words.3
  }

  /// - Parameter rank: 0 for the effective value, 1 for a sibling.
  mutating func add(_ id: Digest, index: Int32, rank: UInt64) {
    let salt = (UInt64(UInt32(bitPattern: index)) << 1 | rank) &* 0x9e37_79b9_7f4a_7c15
    words.0 &+= Self.mix(id.words.0 ^ salt)
    words.1 &+= Self.mix(id.words.1 &+ salt)
    words.2 &+= Self.mix(id.words.2 ^ salt)
    words.3 &+= Self.mix(id.words.3 &+ salt)
  }

  /// The finalizer of SplitMix64 (Steele et al., 2014).
  private static func mix(_ word: UInt64) -> UInt64 {
    var z = word
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  var digest: Digest { Digest(words: words) }
}

/// One scope's compared set and registers.
struct ScopeTable: Sendable {
  let scope: Scope
  var digest = SetDigest.zero
  var view = ViewHash()
  var count = 0
  /// Compared changesets that carry grants, floors or root changes.
  var trust: Set<Slot> = []
  var records = ShardedDictionary<String, Int32>()
  var paths = SortedBuckets<String>()
  var conflicts: Set<Int32> = []
}
