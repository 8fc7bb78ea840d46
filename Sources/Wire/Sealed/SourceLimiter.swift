internal import Base

/// Tokens that come back at a steady rate.
struct TokenBucket: Sendable {
  private var tokens: Double
  private var updated: Instant

  init(full burst: Double, at now: Instant) {
    tokens = burst
    updated = now
  }

  mutating func refill(burst: Double, perSecond rate: Double, now: Instant) {
    guard now > updated else { return }
    let seconds = Double((now - updated).nanoseconds) / 1e9
    tokens = min(burst, tokens + seconds * rate)
    updated = now
  }

  mutating func take(burst: Double, perSecond rate: Double, now: Instant) -> Bool {
    refill(burst: burst, perSecond: rate, now: now)
    guard tokens >= 1 else { return false }
    tokens -= 1
    return true
  }

  var isEmpty: Bool { tokens < 1 }
}

/// How much work sources may cause by what does not open. A fixed table: sources that fall on one
/// entry share it, so no flood of forged addresses grows anything.
///
/// The allowance is generous, since a source address can be forged too: shutting out an honest
/// neighbour takes a flood, while the flood costs a bounded part of one core.
struct SourceLimiter: Sendable {
  static let entries = 1_024
  static let burst = 2_000.0
  /// About 2 ms of one core a second at 1 to 2 µs each.
  static let perSecond = 1_000.0

  private var buckets: [TokenBucket]
  private let secret: UInt64

  init(secret: UInt64) {
    buckets = Array(
      repeating: TokenBucket(full: Self.burst, at: .zero), count: Self.entries)
    self.secret = secret
  }

  mutating func allows(_ source: IPAddress, now: Instant) -> Bool {
    let index = index(source)
    buckets[index].refill(burst: Self.burst, perSecond: Self.perSecond, now: now)
    return !buckets[index].isEmpty
  }

  mutating func charge(_ source: IPAddress, now: Instant) {
    _ = buckets[index(source)].take(burst: Self.burst, perSecond: Self.perSecond, now: now)
  }

  /// Keyed, so that nobody outside can choose addresses that share an entry with a victim.
  private func index(_ source: IPAddress) -> Int {
    // A /64 is one source: whoever has one IPv6 address has all of it.
    let folded =
      source.family == .v4
      ? UInt64(truncatingIfNeeded: source.value)
      : UInt64(truncatingIfNeeded: source.value >> 64)
    var generator = SeededGenerator(seed: folded ^ secret)
    return Int(generator.next() % UInt64(Self.entries))
  }
}
