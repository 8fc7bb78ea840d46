public import Base

/// What a set of changeset IDs is compared by: the sum, modulo 2^128, of the leading 16 bytes of each.
///
/// Incremental and free of order; the empty set is zero. An author who may write could, with work
/// far above a birthday search on 128 bits, make two sets of its own changesets that sum alike; it
/// would hide its own changes from peers that never hear them by dissemination, and nothing else.
public struct SetDigest: Hashable, Sendable, CustomStringConvertible {
  public private(set) var high: UInt64
  public private(set) var low: UInt64

  public init(high: UInt64 = 0, low: UInt64 = 0) {
    self.high = high
    self.low = low
  }

  public init(_ ids: some Sequence<Digest>) {
    self.init()
    for id in ids { insert(id) }
  }

  public static let zero = SetDigest()

  public mutating func insert(_ id: Digest) {
    add(SetDigest(high: id.words.0, low: id.words.1))
  }

  public mutating func remove(_ id: Digest) {
    let (difference, borrow) = low.subtractingReportingOverflow(id.words.1)
    low = difference
    high = high &- id.words.0 &- (borrow ? 1 : 0)
  }

  public mutating func add(_ other: SetDigest) {
    let (sum, carry) = low.addingReportingOverflow(other.low)
    low = sum
    high = high &+ other.high &+ (carry ? 1 : 0)
  }

  /// 16 bytes, big-endian.
  public var bytes: [UInt8] {
    var writer = ByteWriter(reserving: 16)
    writer.u64(high)
    writer.u64(low)
    return writer.bytes
  }

  /// `nil` unless there are exactly 16 bytes.
  public init?(bytes: [UInt8]) {
    guard bytes.count == 16 else { return nil }
    var words: (UInt64, UInt64) = (0, 0)
    for (i, byte) in bytes.enumerated() {
      if i < 8 {
        words.0 = words.0 << 8 | UInt64(byte)
      } else {
        words.1 = words.1 << 8 | UInt64(byte)
      }
    }
    self.init(high: words.0, low: words.1)
  }

  public var description: String { bytes.hex }
}
