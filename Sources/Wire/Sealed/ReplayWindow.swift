/// Which counters of a sender were seen: a ring of bits behind the greatest one (RFC 6479).
///
/// Counters may arrive in any order within the window; each is taken once.
struct ReplayWindow: Sendable {
  /// How far behind the greatest counter one may be. One word of the ring is always being cleared.
  static let size: UInt64 = 2_048 - 64

  private static let words = 32
  private var greatest: UInt64 = 0
  private var isEmpty = true
  /// Allocated with the first counter: most peers of a large ClusterSet never talk to each other.
  private var ring: [UInt64] = []

  func accepts(_ counter: UInt64) -> Bool {
    if isEmpty || counter > greatest { return true }
    guard greatest - counter < Self.size else { return false }
    return ring[Self.word(counter)] & Self.bit(counter) == 0
  }

  /// Only after the datagram has proved authentic: otherwise a forged counter would shut the window.
  mutating func record(_ counter: UInt64) {
    if isEmpty {
      ring = Array(repeating: 0, count: Self.words)
      greatest = counter
      isEmpty = false
    } else if counter > greatest {
      let steps = min(counter / 64 - greatest / 64, UInt64(Self.words))
      for step in 0..<steps { ring[Self.word((greatest / 64 &+ 1 &+ step) &* 64)] = 0 }
      greatest = counter
    }
    ring[Self.word(counter)] |= Self.bit(counter)
  }

  private static func word(_ counter: UInt64) -> Int { Int(counter / 64 % UInt64(words)) }
  private static func bit(_ counter: UInt64) -> UInt64 { 1 << (counter % 64) }
}
