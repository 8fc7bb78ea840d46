public import Base

/// A token bucket: so many bytes a second, saved up to a burst.
public struct ByteBudget: Hashable, Sendable {
  public struct Limit: Hashable, Sendable {
    public var bytesPerSecond: Int
    public var burst: Int

    public init(bytesPerSecond: Int, burst: Int) {
      self.bytesPerSecond = bytesPerSecond
      self.burst = burst
    }
  }

  private let limit: Limit
  private var tokens: Double
  private var filled: Instant

  public init(_ limit: Limit, now: Instant) {
    self.limit = limit
    tokens = Double(limit.burst)
    filled = now
  }

  private mutating func fill(_ now: Instant) {
    let seconds = max(0, (now - filled).milliseconds / 1_000)
    tokens = min(Double(limit.burst), tokens + seconds * Double(limit.bytesPerSecond))
    filled = max(filled, now)
  }

  /// Whether there was enough; takes nothing otherwise.
  public mutating func take(_ bytes: Int, now: Instant) -> Bool {
    fill(now)
    guard tokens >= Double(bytes) else { return false }
    tokens -= Double(bytes)
    return true
  }

  mutating func isFull(now: Instant) -> Bool {
    fill(now)
    return tokens >= Double(limit.burst)
  }

  /// How long until so many bytes are there (no more than a burst ever is).
  public mutating func wait(for bytes: Int, now: Instant) -> Duration {
    fill(now)
    let missing = max(0, Double(min(bytes, limit.burst)) - tokens)
    return .milliseconds(Int64(missing / Double(max(1, limit.bytesPerSecond)) * 1_000) + 1)
  }
}
