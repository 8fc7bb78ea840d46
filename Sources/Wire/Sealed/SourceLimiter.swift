package import Base

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

/// How much work sources that nobody has vouched for may cause. A fixed table: sources that fall on one
/// entry share it, so no flood of forged addresses grows anything.
package struct SourceLimiter: Sendable {
  package static let entries = 1_024

  private var buckets: [TokenBucket]
  private let secret: UInt64
  private let burst: Double
  private let perSecond: Double

  /// - Parameter secret: random, so that nobody outside can choose addresses that share an entry with a
  ///   victim.
  package init(secret: UInt64, burst: Double, perSecond: Double) {
    buckets = Array(repeating: TokenBucket(full: burst, at: .zero), count: Self.entries)
    self.secret = secret
    self.burst = burst
    self.perSecond = perSecond
  }

  package mutating func allows(_ source: IPAddress, now: Instant) -> Bool {
    let index = index(source)
    buckets[index].refill(burst: burst, perSecond: perSecond, now: now)
    return !buckets[index].isEmpty
  }

  package mutating func charge(_ source: IPAddress, now: Instant) {
    _ = buckets[index(source)].take(burst: burst, perSecond: perSecond, now: now)
  }

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
