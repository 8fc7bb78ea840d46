internal import Base

/// Controlled delay (CoDel, RFC 8289): once packets have waited longer than the target for a whole
/// interval, one is marked or dropped, then further ones ever sooner until they wait no longer.
struct QueueDelay: Sendable {
  let target: Duration
  private var firstAbove: Instant?
  private var isDropping = false
  private var next = Instant.zero
  private var count = 0
  private var lastCount = 0

  static let leastTarget: Duration = .milliseconds(5)
  static let interval: Duration = .milliseconds(100)
  /// Less than this in the queue is none to act on (RFC 8289 section 4.4), nor is a super-packet alone.
  static let leastBacklog = 1_514

  /// `rate`: bytes a second that the queue is served with at most. At least two full packets may wait.
  init(rate: Int64) {
    target = max(Self.leastTarget, .nanoseconds(3_000 * 1_000_000_000 / max(1, rate)))
  }

  /// Whether the packet that leaves the queue now is to be marked or dropped. `backlog` is with it.
  mutating func judge(waited: Duration, backlog: Int, packet: Int, _ now: Instant) -> Bool {
    let isAbove = isAbove(waited, backlog - max(packet, Self.leastBacklog), now)
    if isDropping {
      guard isAbove else {
        isDropping = false
        return false
      }
      guard now >= next else { return false }
      count += 1
      next = next + step
      return true
    }
    guard isAbove else { return false }
    isDropping = true
    // Soon after the last time it begins where that ended (RFC 8289 section 5.5).
    let delta = count - lastCount
    count = delta > 1 && now - next < Self.interval * 16 ? delta : 1
    lastCount = count
    next = now + step
    return true
  }

  private mutating func isAbove(_ waited: Duration, _ others: Int, _ now: Instant) -> Bool {
    guard waited >= target, others > 0 else {
      firstAbove = nil
      return false
    }
    guard let firstAbove else {
      firstAbove = now + Self.interval
      return false
    }
    return now >= firstAbove
  }

  /// interval / √count.
  private var step: Duration {
    .nanoseconds(Int64(Double(Self.interval.nanoseconds) / Double(count).squareRoot()))
  }
}
