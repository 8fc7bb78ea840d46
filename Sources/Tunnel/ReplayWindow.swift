/// Which counters of one key were seen: a ring of words (RFC 6479), so that moving the window costs
/// no shifting. `check` before opening, `record` after: a forged packet moves nothing.
public struct ReplayWindow: Sendable {
  /// Words of the ring; one of them is always being cleared.
  static let words: UInt64 = 256
  /// Packets that may arrive this far behind the newest one: 16,320.
  public static let size = (words - 1) * 64

  /// One more than the newest counter; 0 before the first packet.
  private var next: UInt64 = 0
  /// Empty until the first packet: most lanes and epochs never see one.
  private var seen: [UInt64] = []

  public init() {}

  /// One more than the newest counter recorded.
  public var newest: UInt64 { next }

  /// Whether this counter may still be opened.
  public func check(_ counter: UInt64) -> Bool {
    if counter >= next { return counter <= TunnelLimits.counter }
    if next - counter > Self.size { return false }
    return seen[Self.word(counter)] & Self.bit(counter) == 0
  }

  /// Records an authentic packet; false where the counter was seen before or is too old.
  public mutating func record(_ counter: UInt64) -> Bool {
    guard check(counter) else { return false }
    if seen.isEmpty { seen = Array(repeating: 0, count: Int(Self.words)) }
    if counter >= next {
      // Clear the words between the newest one and this one.
      let current = next == 0 ? 0 : (next - 1) >> 6
      let steps = min((counter >> 6) - current, Self.words)
      if steps > 0 {
        for step in 1...steps { seen[Int((current &+ step) % Self.words)] = 0 }
      }
      next = counter + 1
    }
    seen[Self.word(counter)] |= Self.bit(counter)
    return true
  }

  private static func word(_ counter: UInt64) -> Int { Int(counter >> 6 & (words - 1)) }
  private static func bit(_ counter: UInt64) -> UInt64 { 1 << (counter & 63) }
}
