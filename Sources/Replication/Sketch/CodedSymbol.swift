/// One coded symbol of a rateless IBLT: sums over the set's members that map to its index.
///
/// Members are 8-byte words: the leading bytes of a changeset's ID, which is SHA-256 and so uniform.
public struct CodedSymbol: Hashable, Sendable {
  /// Exclusive or of the words.
  public var word: UInt64
  /// Exclusive or of their checksums.
  public var checksum: UInt32
  /// How many (after a subtraction: of the minuend, less those of the subtrahend).
  public var count: Int64

  public init(word: UInt64 = 0, checksum: UInt32 = 0, count: Int64 = 0) {
    self.word = word
    self.checksum = checksum
    self.count = count
  }

  public var isZero: Bool { word == 0 && checksum == 0 && count == 0 }

  mutating func add(_ word: UInt64, checksum: UInt32, times count: Int64) {
    self.word ^= word
    self.checksum ^= checksum
    // Counts from outside are bounded where they are unpacked; wrapping only keeps it from trapping.
    self.count &+= count
  }

  mutating func subtract(_ other: CodedSymbol) {
    word ^= other.word
    checksum ^= other.checksum
    count &-= other.count
  }
}
