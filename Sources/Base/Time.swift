/// A point on the local monotonic clock, in nanoseconds since an arbitrary start.
///
/// Comparable only with instants of the same process (or of the same simulation).
public struct Instant: Hashable, Comparable, Sendable {
  public var nanoseconds: Int64

  public init(nanoseconds: Int64) {
    self.nanoseconds = nanoseconds
  }

  public static let zero = Instant(nanoseconds: 0)
  public static let distantFuture = Instant(nanoseconds: .max)

  public static func < (a: Instant, b: Instant) -> Bool {
    a.nanoseconds < b.nanoseconds
  }

  /// Saturates instead of trapping: a huge delay means "never".
  public static func + (instant: Instant, delay: Duration) -> Instant {
    let (sum, overflow) = instant.nanoseconds.addingReportingOverflow(delay.nanoseconds)
    return overflow
      ? (delay < .zero ? Instant(nanoseconds: .min) : .distantFuture)
      : Instant(nanoseconds: sum)
  }

  public static func - (later: Instant, earlier: Instant) -> Duration {
    .nanoseconds(later.nanoseconds &- earlier.nanoseconds)
  }
}

extension Duration {
  /// Whole nanoseconds, saturating at the bounds of `Int64` (about 292 years).
  public var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if overflow { return seconds < 0 ? .min : .max }
    let (sum, carry) = whole.addingReportingOverflow(attoseconds / 1_000_000_000)
    return carry ? (seconds < 0 ? .min : .max) : sum
  }

  /// Milliseconds with their fraction, for figures that people read.
  public var milliseconds: Double {
    Double(nanoseconds) / 1e6
  }
}

/// What a core is told about time with every input: it has no clock of its own.
public struct Now: Hashable, Sendable {
  /// Local monotonic time: timeouts and timers.
  public var instant: Instant
  /// Local wall clock, milliseconds since 1970-01-01T00:00:00Z. May be wrong, may jump.
  public var wallMilliseconds: UInt64

  public init(instant: Instant, wallMilliseconds: UInt64) {
    self.instant = instant
    self.wallMilliseconds = wallMilliseconds
  }
}
