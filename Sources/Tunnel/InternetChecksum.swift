/// The checksum of IP, TCP and UDP: the ones' complement of the ones' complement sum of 16-bit words
/// (RFC 1071). Sums are kept in host byte order, which the sum does not mind (section 2B).
public struct InternetChecksum: Sendable {
  /// Words added so far, with carries in the upper half.
  private var sum: UInt64

  /// `field` continues a sum that stands in a checksum field: a pseudo header's, say.
  public init(field: UInt16 = 0) {
    sum = UInt64(field)
  }

  /// Adds bytes. All but the last piece of a packet have an even count.
  public mutating func add(_ bytes: UnsafeRawBufferPointer) {
    guard var next = bytes.baseAddress else { return }
    var left = bytes.count
    // Two 32-bit halves a word: the carries of 2^32 words fit. Two sums, so that they go in step.
    var (low, high): (UInt64, UInt64) = (0, 0)
    while left >= 16 {
      let first = next.loadUnaligned(as: UInt64.self)
      let second = next.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
      low &+= (first & 0xffff_ffff) &+ (second & 0xffff_ffff)
      high &+= (first >> 32) &+ (second >> 32)
      next += 16
      left -= 16
    }
    while left >= 2 {
      low &+= UInt64(next.loadUnaligned(as: UInt16.self))
      next += 2
      left -= 2
    }
    if left == 1 {
      // The odd byte is the first of a word whose second is zero.
      let word = UInt16(next.load(as: UInt8.self)) << 8
      low &+= UInt64(UInt16(bigEndian: word))
    }
    sum = Self.carry(sum) &+ Self.carry(low) &+ Self.carry(high)
  }

  /// Adds a number in network order.
  public mutating func add(_ word: UInt16) {
    sum &+= UInt64(word.bigEndian)
  }

  private static func carry(_ sum: UInt64) -> UInt64 {
    (sum & 0xffff_ffff) &+ (sum >> 32)
  }

  /// The sum as it stands in the checksum field of a packet whose checksum is still to be made.
  /// In the byte order of memory: stored as it is.
  public var folded: UInt16 {
    var value = sum
    while value >> 16 != 0 { value = (value & 0xffff) &+ (value >> 16) }
    return UInt16(truncatingIfNeeded: value)
  }

  /// The checksum. In the byte order of memory: stored as it is.
  public var value: UInt16 { ~folded }

  /// Whether bytes that contain their checksum are what was sent (RFC 1071 section 1 (3)).
  public var isValid: Bool { folded == 0xffff }
}
