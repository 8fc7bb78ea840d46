internal import Base

/// How much a gateway hands on for others: so much for each remote gateway, so that one that sends
/// without end costs the others neither their relay nor its link. What is above it is dropped; whoever
/// sends it sees loss, as on any link that carries no more.
struct RelayLimit: Sendable {
  /// Kilobits a second of sealed datagrams; 0: no limit.
  private var rate = 0
  /// By the number of the link that they come from.
  private var buckets: [TokenBucket?] = []

  mutating func set(kilobits: Int) {
    guard kilobits != rate else { return }
    rate = kilobits
    buckets = []
  }

  /// The link's number belongs to somebody else now.
  mutating func forget(_ link: Int) {
    if link < buckets.count { buckets[link] = nil }
  }

  /// Whether so many bytes from there may go on now.
  mutating func admit(_ bytes: Int, from link: Int, now: Instant) -> Bool {
    guard rate > 0 else { return true }
    if link >= buckets.count {
      buckets += Array(repeating: nil, count: link + 1 - buckets.count)
    }
    var bucket = buckets[link] ?? TokenBucket(kilobits: rate, now: now)
    bucket.fill(now)
    let isReady = bucket.isReady
    if isReady { bucket.take(bytes) }
    buckets[link] = bucket
    return isReady
  }
}
