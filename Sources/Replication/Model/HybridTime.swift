/// A hybrid logical clock reading (Kulkarni et al., 2014): 48 bits of wall-clock milliseconds since
/// 1970, 16 bits of counter. Greater than every reading its author has seen, near to physical time.
public struct HybridTime: RawRepresentable, Hashable, Comparable, Sendable {
  public var rawValue: UInt64

  public init(rawValue: UInt64) {
    self.rawValue = rawValue
  }

  public init(milliseconds: UInt64, counter: UInt16 = 0) {
    rawValue = min(milliseconds, 0xffff_ffff_ffff) << 16 | UInt64(counter)
  }

  public static let zero = HybridTime(rawValue: 0)
  /// Above every reading: a floor at `max` voids whatever it does not keep.
  public static let max = HybridTime(rawValue: .max)

  public var milliseconds: UInt64 { rawValue >> 16 }

  public static func < (a: HybridTime, b: HybridTime) -> Bool {
    a.rawValue < b.rawValue
  }
}
