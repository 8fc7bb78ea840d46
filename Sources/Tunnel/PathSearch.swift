internal import Base

/// How large a datagram a session's path carries, found with padded probes that the far side answers
/// (DPLPMTUD, RFC 8899): routers need not say anything, and nothing but an authentic answer counts.
///
/// Deviation: it begins with the largest size in use instead of the base size (section 5.2). Nearly
/// every path carries it, and then nothing is ever sent smaller; three lost probes later the base
/// size is in force and the search goes on from there.
struct PathSearch: Sendable {
  /// Carried by every path (RFC 8899 section 5.1.2, BASE_PLPMTU).
  static let base = 1_200
  /// Probes of one size before it counts as too large (MAX_PROBES).
  static let tries = 3
  /// The search ends this close.
  static let resolution = 8
  /// Numbers of these probes, apart from those of liveness.
  static let numbers: UInt64 = 1 << 63

  private let timing: TunnelTiming
  let ceiling: Int
  /// The largest datagram to send now.
  private(set) var limit: Int
  /// Carried, as far as is known; and the smallest that is not.
  private var low = base
  private var high: Int
  private var size: Int
  private var tried = 0
  private var number = numbers
  private(set) var deadline: Instant
  private var raiseAt: Instant

  /// `ceiling`: the largest datagram that could ever be sent.
  init(ceiling: Int, timing: TunnelTiming, now: Instant) {
    self.timing = timing
    self.ceiling = max(ceiling, Self.base)
    limit = self.ceiling
    high = self.ceiling + 1
    size = self.ceiling
    deadline = now
    raiseAt = now + timing.pathRaise
  }

  /// A probe to send now: its number, and how large a datagram it is to be. Silence says something of
  /// the path only while `answers` holds: the far side answers small probes.
  mutating func tick(
    _ now: Instant, probeTimeout: Duration, answers: Bool
  ) -> (number: UInt64, size: Int)? {
    guard now >= deadline else { return nil }
    guard answers else {
      tried = 0
      deadline = now + timing.probeInterval
      return nil
    }
    if tried == Self.tries { failed() }
    if tried == 0, low < ceiling, high <= ceiling, high - low <= Self.resolution, now >= raiseAt {
      // The path may have become a better one.
      high = ceiling + 1
      size = ceiling
      raiseAt = now + timing.pathRaise
    }
    tried += 1
    number += 1
    deadline = now + max(probeTimeout * 3, timing.retransmitAfter)
    return (number, size)
  }

  /// The probe's size is too large, or the path became a worse one.
  private mutating func failed() {
    tried = 0
    high = min(high, size)
    if low >= high { low = Self.base }
    settle()
  }

  /// An answer; false where it is none of ours.
  mutating func answered(_ answered: UInt64, now: Instant) -> Bool {
    guard answered >= Self.numbers else { return false }
    // Only the newest tells of the present size.
    guard answered == number, tried > 0 else { return true }
    tried = 0
    low = max(low, size)
    settle()
    deadline = isSearching ? now : now + timing.pathCheck
    return true
  }

  private var isSearching: Bool { high - low > Self.resolution && low < ceiling }

  /// What to try next, and what to send until then.
  private mutating func settle() {
    limit = low
    if low >= ceiling {
      size = ceiling
    } else if isSearching {
      size = low + (high - low) / 2
    } else {
      size = low
    }
  }
}
