import Base

/// A token bucket.
struct RateLimit: Sendable {
  private let burst: Float
  private let perSecond: Float
  private var tokens: Float
  private var refilled: Instant = .zero

  init(burst: Float, perSecond: Float) {
    self.burst = burst
    self.perSecond = perSecond
    tokens = burst
  }

  /// Takes `count` tokens if they are there.
  mutating func take(_ count: Float = 1, now: Instant) -> Bool {
    let elapsed = Float((now - refilled).nanoseconds) * 1e-9
    if elapsed > 0 {
      tokens = min(burst, tokens + elapsed * perSecond)
      refilled = now
    }
    guard tokens >= count else { return false }
    tokens -= count
    return true
  }
}
