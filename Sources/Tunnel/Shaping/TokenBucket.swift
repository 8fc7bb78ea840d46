internal import Base

/// How much may be sent by now: fills with time up to its depth, and may be overdrawn by what was
/// begun, which later waits pay back. In whole billionths of a byte, so that no rate is rounded.
struct TokenBucket: Sendable {
  /// Bytes a second, 1 or more.
  let rate: Int64
  private let depth: Int64
  private var tokens: Int64
  private var at: Instant

  /// The most at once after a pause, in time at the full rate: longer than a thread may be late, so
  /// that lateness costs no rate.
  static let burst: Duration = .milliseconds(10)
  private static let unit: Int64 = 1_000_000_000

  /// `kilobits` a second, 1 to 400,000,000.
  init(kilobits: Int, now: Instant) {
    rate = Int64(min(max(kilobits, 1), ShapingRule.largestRate)) * 125
    depth = rate * Self.burst.nanoseconds
    tokens = depth
    at = now
  }

  mutating func fill(_ now: Instant) {
    guard now > at else { return }
    let elapsed = (now - at).nanoseconds
    at = now
    // What is missing comes within `least`; the product of less time fits.
    let least = (depth - tokens) / rate + 1
    tokens = elapsed >= least ? depth : min(depth, tokens + rate * elapsed)
  }

  var isReady: Bool { tokens >= 0 }

  /// Whole bytes that may go without overdraft.
  var bytes: Int { Int(max(0, tokens) / Self.unit) }

  /// How long it has been filling, 0 to `burst`, in nanoseconds: who waited longest for its rate.
  var credit: Int64 { tokens / rate }

  /// When it is ready, not before the last `fill`.
  var readyAt: Instant {
    isReady ? at : at + .nanoseconds((-tokens + rate - 1) / rate)
  }

  mutating func take(_ bytes: Int) {
    tokens -= Int64(bytes) * Self.unit
  }
}
