public import Base

/// A token bucket for each source prefix (IPv4 /24, IPv6 /48) in a table of fixed size: handshake
/// datagrams cost cryptography, so one prefix may only cause so much of it. Prefixes that share a
/// bucket share its rate; nothing is ever allocated.
public struct SourceLimiter: Sendable {
  public static let buckets = 4_096
  /// Datagrams a second, and at once.
  public static let rate: Int64 = 200
  public static let burst: Int64 = 400

  /// Hashing is keyed, so that nobody can aim at another prefix's bucket.
  private let key: UInt64
  /// Nanoseconds of credit used up, as the time at which the bucket is full again.
  private var fullAt = [Int64](repeating: .min, count: buckets)

  public init(key: UInt64) {
    self.key = key
  }

  /// Takes one token of the source's prefix; false where there is none.
  public mutating func admit(_ source: IPAddress, now: Instant) -> Bool {
    let prefix = source.family == .v4 ? source.value >> 8 : source.value >> 80
    let folded = UInt64(truncatingIfNeeded: prefix) ^ UInt64(truncatingIfNeeded: prefix >> 64)
    let bucket = Int(InnerPacket.mix(folded ^ key) % UInt64(Self.buckets))
    let cost = 1_000_000_000 / Self.rate
    let start = max(fullAt[bucket], now.nanoseconds)
    guard start - now.nanoseconds <= cost * (Self.burst - 1) else { return false }
    fullAt[bucket] = start + cost
    return true
  }
}
