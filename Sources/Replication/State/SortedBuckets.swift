/// A sorted set kept in buckets, so that an insertion moves a few hundred elements at most.
struct SortedBuckets<Element: Comparable & Sendable>: Sendable {
  /// None is empty.
  private var buckets: [[Element]] = []
  private(set) var count = 0

  private static var splitAbove: Int { 512 }

  var isEmpty: Bool { count == 0 }

  /// Whether it was not there.
  @discardableResult
  mutating func insert(_ element: Element) -> Bool {
    if buckets.isEmpty {
      buckets.append([element])
      count = 1
      return true
    }
    let bucket = Swift.min(self.bucket(of: element), buckets.count - 1)
    let at = Self.lowerBound(buckets[bucket], element)
    if at < buckets[bucket].count, buckets[bucket][at] == element { return false }
    buckets[bucket].insert(element, at: at)
    count += 1
    if buckets[bucket].count > Self.splitAbove { split(bucket, appending: at) }
    return true
  }

  /// Whether it was there.
  @discardableResult
  mutating func remove(_ element: Element) -> Bool {
    let bucket = self.bucket(of: element)
    guard bucket < buckets.count else { return false }
    let at = Self.lowerBound(buckets[bucket], element)
    guard at < buckets[bucket].count, buckets[bucket][at] == element else { return false }
    buckets[bucket].remove(at: at)
    if buckets[bucket].isEmpty { buckets.remove(at: bucket) }
    count -= 1
    return true
  }

  /// Ascending, from the first that is not less than `lower`, for as long as `body` says so.
  func forEach(from lower: Element? = nil, while body: (Element) -> Bool) {
    var bucket = lower.map { self.bucket(of: $0) } ?? 0
    var at = 0
    if let lower, bucket < buckets.count { at = Self.lowerBound(buckets[bucket], lower) }
    while bucket < buckets.count {
      while at < buckets[bucket].count {
        guard body(buckets[bucket][at]) else { return }
        at += 1
      }
      bucket += 1
      at = 0
    }
  }

  /// Those less than `bound`, ascending.
  func elements(below bound: Element) -> [Element] {
    var out: [Element] = []
    forEach {
      guard $0 < bound else { return false }
      out.append($0)
      return true
    }
    return out
  }

  /// A bucket that overflows at its end is full of elements in order: it is cut there, so that
  /// ascending insertions leave full buckets behind.
  private mutating func split(_ bucket: Int, appending at: Int) {
    let ordered = at == buckets[bucket].count - 1
    let half = ordered ? at : buckets[bucket].count / 2
    let tail = Array(buckets[bucket][half...])
    buckets[bucket].removeSubrange(half...)
    buckets.insert(tail, at: bucket + 1)
  }

  /// The first bucket whose last element is not less, or the number of buckets.
  private func bucket(of element: Element) -> Int {
    var low = 0
    var high = buckets.count
    while low < high {
      let middle = (low + high) / 2
      if buckets[middle][buckets[middle].count - 1] < element {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return low
  }

  private static func lowerBound(_ sorted: [Element], _ element: Element) -> Int {
    var low = 0
    var high = sorted.count
    while low < high {
      let middle = (low + high) / 2
      if sorted[middle] < element { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
