import Base

/// Evidence on its way to everyone: each item is passed on a bounded number of times, the newest
/// first, in gossip datagrams and on top of probes.
struct Broadcasts: Sendable {
  struct Item: Sendable {
    var evidence: Membership.Evidence
    var remaining: Int
  }

  /// Above it the oldest items are dropped: synchronisation brings what they said.
  static let limit = 512
  /// Above it items are passed on less often.
  static let crowd = 64

  /// Not passed on yet.
  private var fresh: [Item] = []
  /// Passed on at least once, in turns.
  private var again: [Item] = []
  private var head = 0

  var isEmpty: Bool { fresh.isEmpty && head == again.count }
  var count: Int { fresh.count + again.count - head }

  mutating func add(_ evidence: Membership.Evidence, transmissions: Int) {
    fresh.append(Item(evidence: evidence, remaining: transmissions))
    if count > Self.limit {
      if head < again.count { head += 1 } else { fresh.removeFirst() }
    }
  }

  /// Takes what fits into `bytes`, counting it as sent `copies` times; drops what is out of date.
  mutating func take(
    bytes: Int, copies: Int, isCurrent: (Membership.Evidence) -> Bool
  ) -> [Membership.Evidence] {
    var out: [Membership.Evidence] = []
    var room = bytes
    var skipped: [Item] = []
    var turns = count
    while turns > 0, out.count < Membership.evidenceLimit, room > 100 {
      turns -= 1
      // Newest first: what was just learnt is what most others do not know yet.
      var item: Item
      if let newest = fresh.popLast() {
        item = newest
      } else {
        item = again[head]
        head += 1
      }
      guard isCurrent(item.evidence) else { continue }
      if item.evidence.size > room {
        skipped.append(item)
        continue
      }
      room -= item.evidence.size
      out.append(item.evidence)
      item.remaining -= copies
      if item.remaining > 0 { again.append(item) }
    }
    again.append(contentsOf: skipped)
    compact()
    return out
  }

  private mutating func compact() {
    if head == again.count {
      again.removeAll(keepingCapacity: again.capacity <= 64)
      head = 0
    } else if head > 64, head * 2 > again.count {
      again.removeFirst(head)
      head = 0
    }
    if fresh.isEmpty, fresh.capacity > 64 { fresh = [] }
  }
}
