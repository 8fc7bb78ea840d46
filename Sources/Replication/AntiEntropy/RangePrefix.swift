public import Base

/// All IDs that begin with the same `nibbles` (0...16) hexadecimal digits.
public struct RangePrefix: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The digits, from the most significant bit on; the rest is zero.
  public let word: UInt64
  /// How many digits, 0...16.
  public let nibbles: Int

  public static let maximumNibbles = 16
  /// Every ID.
  public static let all = RangePrefix(unchecked: 0, nibbles: 0)

  private init(unchecked word: UInt64, nibbles: Int) {
    self.word = word
    self.nibbles = nibbles
  }

  /// `nil` where there are more than 16 digits, or bits are set beyond the last one.
  public init?(word: UInt64, nibbles: Int) {
    guard (0...Self.maximumNibbles).contains(nibbles), word & ~Self.mask(nibbles) == 0 else {
      return nil
    }
    self.init(unchecked: word, nibbles: nibbles)
  }

  private static func mask(_ nibbles: Int) -> UInt64 {
    nibbles == 0 ? 0 : ~0 << UInt64(64 - 4 * nibbles)
  }

  /// The whole 8-byte word: what a sketch calls a changeset by.
  public static func word(_ word: UInt64) -> RangePrefix {
    RangePrefix(unchecked: word, nibbles: maximumNibbles)
  }

  /// One of the 16 parts of this range; `nil` where it cannot be divided further.
  public func child(_ digit: Int) -> RangePrefix? {
    guard nibbles < Self.maximumNibbles, (0..<16).contains(digit) else { return nil }
    return RangePrefix(
      unchecked: word | UInt64(digit) << UInt64(60 - 4 * nibbles), nibbles: nibbles + 1)
  }

  public func contains(_ id: Digest) -> Bool {
    id.words.0 & Self.mask(nibbles) == word
  }

  func digit(_ index: Int) -> Int {
    Int(word >> UInt64(60 - 4 * index) & 15)
  }

  public static func < (a: RangePrefix, b: RangePrefix) -> Bool {
    (a.word, a.nibbles) < (b.word, b.nibbles)
  }

  public var description: String {
    let digits = String(word, radix: 16)
    let padded = String(repeating: "0", count: 16 - digits.count) + digits
    return padded.prefix(nibbles) + "*"
  }
}
