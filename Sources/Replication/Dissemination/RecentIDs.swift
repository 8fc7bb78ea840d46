internal import Base

/// The IDs seen last, a bounded number of them: the oldest make room for new ones.
struct RecentIDs: Sendable {
  private var members: Set<Digest> = []
  private var order: [Digest] = []
  private var oldest = 0
  private let capacity: Int

  init(capacity: Int) {
    self.capacity = max(1, capacity)
  }

  var count: Int { members.count }

  func contains(_ id: Digest) -> Bool { members.contains(id) }

  /// Whether it was not there.
  @discardableResult
  mutating func insert(_ id: Digest) -> Bool {
    guard members.insert(id).inserted else { return false }
    if order.count < capacity {
      order.append(id)
    } else {
      members.remove(order[oldest])
      order[oldest] = id
      oldest = (oldest + 1) % capacity
    }
    return true
  }
}
