/// What a packet asks for, by the Differentiated Services code point of its inner header. Four classes,
/// as many as the wire format's two bits; RFC 4594's twelve service classes fall into them.
public enum TrafficClass: Int, CaseIterable, Hashable, Sendable {
  /// The default: everything that says nothing, or nothing known.
  case standard = 0
  /// Gives way to all else: CS1 and LE (RFC 8622).
  case background = 1
  /// Assured forwarding and its class selectors: AF, CS2, CS3, CS4.
  case assured = 2
  /// Voice, signalling, network control: EF, VA, CS5, CS6, CS7.
  case expedited = 3

  public static let count = allCases.count

  /// The metric label.
  public var name: String {
    switch self {
    case .standard: "standard"
    case .background: "background"
    case .assured: "assured"
    case .expedited: "expedited"
    }
  }

  /// Its share where classes of one slice want more than there is.
  var weight: Int {
    switch self {
    case .background: 1
    case .standard: 4
    case .assured: 8
    case .expedited: 16
    }
  }

  /// By code point, one bit each: the lower and the upper bit of the class.
  private static let (low, high): (UInt64, UInt64) = {
    let background = [8, 1]
    let assured = [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38]
    let expedited = [40, 44, 46, 48, 56]
    func bits(_ points: [Int]) -> UInt64 { points.reduce(0) { $0 | 1 << UInt64($1) } }
    return (bits(background + expedited), bits(assured + expedited))
  }()

  /// The number of a packet's class by its traffic class octet (RFC 2474): 0 to 3.
  @inline(__always)
  public static func index(of octet: UInt8) -> UInt8 {
    let point = UInt64(octet >> 2)
    return UInt8(truncatingIfNeeded: low >> point & 1 | (high >> point & 1) << 1)
  }
}

extension PacketHeader {
  /// Bits 4 and 5 of the flags: the inner packet's class as its sender saw it.
  public static func classFlags(_ index: UInt8) -> UInt8 { index << 4 }

  /// 0 to 3.
  public var classIndex: Int { Int(flags >> 4 & 3) }
}
