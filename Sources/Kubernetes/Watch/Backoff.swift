public import Base

/// Waits that grow with every failure in a row, with jitter so that many clients of a server that
/// comes back do not come back at once ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015: between half
/// and the whole of the step).
public struct Backoff: Hashable, Sendable {
  public var first: Duration
  public var most: Duration
  public private(set) var failures = 0

  public init(first: Duration = .milliseconds(200), most: Duration = .seconds(30)) {
    self.first = first
    self.most = most
  }

  public mutating func succeed() {
    failures = 0
  }

  /// The wait before the next try. A server's `Retry-After` is a lower bound, and has jitter above
  /// it.
  public mutating func fail(
    retryAfterSeconds: Int? = nil, using rng: inout SeededGenerator
  ) -> Duration {
    let doublings = min(failures, 20)
    failures += 1
    let step = min(first * (1 << doublings), most)
    let asked = Duration.seconds(retryAfterSeconds ?? 0)
    let jitter = Int64.random(in: 0...max(0, step.nanoseconds / 2), using: &rng)
    return max(asked, step / 2) + .nanoseconds(jitter)
  }
}
