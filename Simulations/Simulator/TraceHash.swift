/// A hash over everything that happened, in order: two runs that differ anywhere differ here.
public struct TraceHash: Sendable {
  private var a: UInt64 = 0x9e37_79b9_7f4a_7c15
  private var b: UInt64 = 0xc2b2_ae3d_27d4_eb4f

  public init() {}

  public mutating func add(_ word: UInt64) {
    a = (a ^ word) &* 0xff51_afd7_ed55_8ccd
    a ^= a >> 29
    b = (b &+ a) &* 0x1000_0000_01b3
  }

  public mutating func add(_ number: Int) { add(UInt64(bitPattern: Int64(number))) }

  /// 16 hexadecimal digits.
  public var text: String {
    let digits = String(a ^ (b >> 31) ^ (b << 7), radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
