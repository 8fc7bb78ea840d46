public import Base
internal import Foundation

/// The one place where clocks are read: cores get what it says with every input.
public enum WallClock {
  private static let start = ContinuousClock.now

  public static var now: Now {
    Now(
      // Never zero, so that "not yet" and "at the start" stay apart.
      instant: .zero + .seconds(1) + start.duration(to: ContinuousClock.now),
      wallMilliseconds: UInt64(max(0, Date().timeIntervalSince1970 * 1000)))
  }
}
