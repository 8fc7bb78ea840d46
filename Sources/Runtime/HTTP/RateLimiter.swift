public import Base
internal import Synchronization

/// A token bucket per source, for what anybody may ask: so that one source can neither fill a queue
/// nor crowd out others.
///
/// Sources are IPv4 addresses and IPv6 /64 prefixes. The table is bounded; when it is full of
/// sources that are still limited, new ones share one bucket.
public final class RateLimiter: Sendable {
  private struct Bucket: Sendable {
    var tokens: Double
    var at: Instant
  }

  private struct State: Sendable {
    var buckets: [IPAddress: Bucket] = [:]
    var shared: Bucket?
    var nextSweep = Instant(nanoseconds: .min)
  }

  static let sourceLimit = 4096
  private let perSecond: Double
  private let burst: Double
  private let state = Mutex(State())

  /// - Parameter burst: requests at once after a rest.
  public init(perMinute: Int, burst: Int? = nil) {
    perSecond = Double(perMinute) / 60
    self.burst = Double(burst ?? max(10, perMinute / 6))
  }

  var sourceCount: Int { state.withLock { $0.buckets.count } }

  /// Whether the source may ask now; takes one token if so.
  public func admits(_ source: IPAddress, at now: Instant) -> Bool {
    let key = Self.key(of: source)
    return state.withLock { state in
      if state.buckets[key] == nil, state.buckets.count >= Self.sourceLimit,
        now >= state.nextSweep
      {
        sweep(&state, at: now)
      }
      guard state.buckets[key] != nil || state.buckets.count < Self.sourceLimit else {
        var bucket = state.shared ?? Bucket(tokens: burst, at: now)
        defer { state.shared = bucket }
        return take(&bucket, at: now)
      }
      return take(&state.buckets[key, default: Bucket(tokens: burst, at: now)], at: now)
    }
  }

  private func take(_ bucket: inout Bucket, at now: Instant) -> Bool {
    bucket.tokens = tokens(of: bucket, at: now)
    bucket.at = max(bucket.at, now)
    guard bucket.tokens >= 1 else { return false }
    bucket.tokens -= 1
    return true
  }

  private func tokens(of bucket: Bucket, at now: Instant) -> Double {
    let seconds = max(0, Double((now - bucket.at).nanoseconds) / 1e9)
    return min(burst, bucket.tokens + seconds * perSecond)
  }

  /// Full buckets say nothing that a new one would not. Once a second at most: a flood of sources must
  /// not make each request walk the table.
  private func sweep(_ state: inout State, at now: Instant) {
    state.nextSweep = now + .seconds(1)
    state.buckets = state.buckets.filter { tokens(of: $0.value, at: now) < burst }
  }

  private static func key(of source: IPAddress) -> IPAddress {
    source.family == .v4 ? source : IPAddress(v6: (source.value >> 64) << 64)
  }
}

extension Instant {
  /// The process's monotonic clock.
  static var current: Instant {
    let (seconds, attoseconds) = ContinuousClock.now.durationSinceStart.components
    return Instant(nanoseconds: seconds &* 1_000_000_000 &+ attoseconds / 1_000_000_000)
  }
}

extension ContinuousClock.Instant {
  private static let start = ContinuousClock.now

  fileprivate var durationSinceStart: Duration { Self.start.duration(to: self) }
}
