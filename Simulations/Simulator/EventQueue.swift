internal import Base

/// Events in order of their time, equal times in the order in which they were added.
///
/// A four-ary heap of 24-byte keys; payloads lie still in a table of their own, so that what moves is
/// small and a level of the heap fits into two cache lines. Wake-ups, which are half of all events,
/// have no payload.
struct EventQueue<Payload> {
  struct Key {
    var at: Instant
    var order: UInt64
    /// Whom it concerns.
    var machine: Int32
    /// Where the payload is; -1: it is a wake-up.
    var payload: Int32

    static func < (a: Key, b: Key) -> Bool {
      a.at == b.at ? a.order < b.order : a.at < b.at
    }
  }

  private var heap: [Key] = []
  private var payloads: [Payload?] = []
  private var free: [Int32] = []
  private var added: UInt64 = 0

  var nextInstant: Instant? { heap.first?.at }
  var count: Int { heap.count }

  mutating func addWake(of machine: Int, at instant: Instant) {
    push(Key(at: instant, order: added, machine: Int32(machine), payload: -1))
  }

  mutating func add(_ payload: Payload, for machine: Int, at instant: Instant) {
    let slot: Int32
    if let reused = free.popLast() {
      slot = reused
      payloads[Int(slot)] = payload
    } else {
      slot = Int32(payloads.count)
      payloads.append(payload)
    }
    push(Key(at: instant, order: added, machine: Int32(machine), payload: slot))
  }

  /// Takes a payload out of the table.
  mutating func take(_ slot: Int32) -> Payload? {
    free.append(slot)
    return payloads[Int(slot)].take()
  }

  mutating func next() -> Key? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    if !heap.isEmpty { sink(last) }
    return first
  }

  private mutating func push(_ key: Key) {
    added += 1
    heap.append(key)
    heap.withUnsafeMutableBufferPointer { heap in
      var child = heap.count - 1
      while child > 0 {
        let parent = (child - 1) / 4
        guard key < heap[parent] else { break }
        heap[child] = heap[parent]
        child = parent
      }
      heap[child] = key
    }
  }

  private mutating func sink(_ key: Key) {
    heap.withUnsafeMutableBufferPointer { heap in
      var parent = 0
      while true {
        let first = 4 * parent + 1
        guard first < heap.count else { break }
        var least = first
        for child in first + 1..<max(first + 1, min(first + 4, heap.count))
        where heap[child] < heap[least] { least = child }
        guard heap[least] < key else { break }
        heap[parent] = heap[least]
        parent = least
      }
      heap[parent] = key
    }
  }
}
