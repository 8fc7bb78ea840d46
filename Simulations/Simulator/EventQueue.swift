internal import Base

/// Events in order of their time, equal times in the order in which they were added.
struct EventQueue<Event> {
  private struct Entry {
    var at: Instant
    var order: UInt64
    var event: Event

    static func < (a: Entry, b: Entry) -> Bool {
      a.at == b.at ? a.order < b.order : a.at < b.at
    }
  }

  private var heap: [Entry] = []
  private var added: UInt64 = 0

  var nextInstant: Instant? { heap.first?.at }

  mutating func add(_ event: Event, at instant: Instant) {
    heap.append(Entry(at: instant, order: added, event: event))
    added += 1
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child] < heap[parent] else { return }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  mutating func next() -> (at: Instant, event: Event)? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    if !heap.isEmpty {
      heap[0] = last
      sink()
    }
    return (first.at, first.event)
  }

  private mutating func sink() {
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
        if heap[child] < heap[least] { least = child }
      }
      guard least != parent else { return }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}
