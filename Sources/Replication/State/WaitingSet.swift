internal import Base

/// Verified changesets that cannot be judged yet, within bounds: their grant is not known, their time
/// has not come, or their author is too fast. In memory only; anti-entropy brings again what is evicted.
struct WaitingSet: Sendable {
  enum Reason: Hashable, Sendable {
    case grant(Digest)
    case time(milliseconds: UInt64, HoldReason)
  }

  struct Entry: Sendable {
    var changeset: Changeset
    var reason: Reason
    /// Came from the store: its signatures were verified once and its time was accepted.
    var isTrusted: Bool
    var sequence: UInt64
  }

  private struct Due: Comparable, Sendable {
    var milliseconds: UInt64
    var id: Digest

    static func < (a: Due, b: Due) -> Bool {
      a.milliseconds == b.milliseconds ? a.id < b.id : a.milliseconds < b.milliseconds
    }
  }

  private var entries: [Digest: Entry] = [:]
  private var byGrant: [Digest: [Digest]] = [:]
  private var byAuthor: [PublicKey: Int] = [:]
  private var due = SortedBuckets<Due>()
  /// In order of arrival; gone ones are skipped, and swept when they are the most.
  private var queue: [(sequence: UInt64, id: Digest)] = []
  private var head = 0
  private var sequence: UInt64 = 0

  var count: Int { entries.count }
  var ids: [Digest] { entries.keys.sorted() }

  subscript(id: Digest) -> Entry? { entries[id] }

  var earliestMilliseconds: UInt64? {
    var earliest: UInt64?
    due.forEach {
      earliest = $0.milliseconds
      return false
    }
    return earliest
  }

  /// Keeps it unless its author has too many waiting already; the longest waiting one goes when there
  /// are too many in all.
  mutating func insert(
    _ changeset: Changeset, _ reason: Reason, isTrusted: Bool, limits: StateLimits
  ) {
    guard entries[changeset.id] == nil else { return }
    if !isTrusted {
      guard byAuthor[changeset.author, default: 0] < limits.waitingPerAuthor else { return }
      while entries.count >= limits.waiting, evictOldest() {}
    }
    sequence += 1
    entries[changeset.id] = Entry(
      changeset: changeset, reason: reason, isTrusted: isTrusted, sequence: sequence)
    byAuthor[changeset.author, default: 0] += 1
    queue.append((sequence, changeset.id))
    switch reason {
    case .grant(let grant): byGrant[grant, default: []].append(changeset.id)
    case .time(let milliseconds, _):
      due.insert(Due(milliseconds: milliseconds, id: changeset.id))
    }
  }

  @discardableResult
  mutating func remove(_ id: Digest) -> Entry? {
    guard let entry = entries.removeValue(forKey: id) else { return nil }
    let author = entry.changeset.author
    byAuthor[author, default: 1] -= 1
    if byAuthor[author] == 0 { byAuthor[author] = nil }
    switch entry.reason {
    case .grant(let grant):
      byGrant[grant]?.removeAll { $0 == id }
      if byGrant[grant]?.isEmpty == true { byGrant[grant] = nil }
    case .time(let milliseconds, _): due.remove(Due(milliseconds: milliseconds, id: id))
    }
    return entry
  }

  /// Those that waited for this grant, in the order of (HLC, ID).
  mutating func take(grant: Digest) -> [Entry] {
    let ids = byGrant.removeValue(forKey: grant) ?? []
    return Self.ordered(ids.compactMap { remove($0) })
  }

  /// Those whose time has come, in the order of (HLC, ID).
  mutating func take(dueBy milliseconds: UInt64) -> [Entry] {
    var ids: [Digest] = []
    due.forEach {
      guard $0.milliseconds <= milliseconds else { return false }
      ids.append($0.id)
      return true
    }
    return Self.ordered(ids.compactMap { remove($0) })
  }

  /// Back within the bounds, after the store was read without them.
  mutating func trim(_ limits: StateLimits) {
    while entries.count > limits.waiting, evictOldest() {}
  }

  private static func ordered(_ entries: [Entry]) -> [Entry] {
    entries.sorted {
      ($0.changeset.time, $0.changeset.id) < ($1.changeset.time, $1.changeset.id)
    }
  }

  private mutating func evictOldest() -> Bool {
    while head < queue.count {
      let (sequence, id) = queue[head]
      head += 1
      if head > 1_024, head * 2 > queue.count {
        queue.removeFirst(head)
        head = 0
      }
      guard entries[id]?.sequence == sequence else { continue }
      remove(id)
      return true
    }
    return false
  }
}
