public import Base

/// Hands out HLC readings (Kulkarni et al., 2014): each greater than all that were seen or handed out.
public struct HybridClock: Sendable {
  public private(set) var latest: HybridTime

  /// Readings further ahead of the wall clock are not followed: what carries them is held.
  public static let maximumAheadMilliseconds: UInt64 = 10_000

  public init(latest: HybridTime = .zero) {
    self.latest = latest
  }

  /// - Returns: a reading near to the wall clock; ahead of it where one that was seen is.
  public mutating func next(now: Now) -> HybridTime {
    let wall = HybridTime(milliseconds: now.wallMilliseconds)
    // The counter's overflow runs into the milliseconds, which keeps the order. `max` is no reading.
    let after = HybridTime(rawValue: min(latest.rawValue, .max - 2) + 1)
    latest = max(wall, after)
    return latest
  }

  /// Follows a reading, unless it is too far ahead of the local wall clock.
  public mutating func observe(_ time: HybridTime, now: Now) {
    let limit = now.wallMilliseconds &+ Self.maximumAheadMilliseconds
    if time.milliseconds <= limit { latest = max(latest, time) }
  }

  /// How far its readings are ahead of the wall clock: more than a second asks for a look at clocks.
  public func ahead(now: Now) -> Duration {
    let ahead = latest.milliseconds.subtractingReportingOverflow(now.wallMilliseconds)
    return ahead.overflow ? .zero : .milliseconds(Int64(clamping: ahead.partialValue))
  }
}
