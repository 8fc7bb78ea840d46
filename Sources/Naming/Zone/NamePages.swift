internal import Slices

/// The names of many services in pages by hash: a service that changes costs the pages in which its
/// records differ.
struct NamePages: Sendable {
  private static let bits = 10

  private var tables = Array(repeating: NameTable([:]), count: 1 << bits)
  /// Whose records are at each name, ascending: names in between are of several.
  private var owners = [[[UInt8]: [ServiceName]]](repeating: [:], count: 1 << bits)
  private var dirty: Set<Int> = []

  @inline(__always)
  func table(of hash: UInt64) -> NameTable { tables[Self.page(hash)] }

  /// The low bits place a name within its page.
  @inline(__always)
  private static func page(_ hash: UInt64) -> Int {
    Int(truncatingIfNeeded: hash >> UInt64(64 - bits))
  }

  private static func page(_ name: [UInt8]) -> Int {
    page(name.reduce(NameTable.seed) { NameTable.hash($0, $1) })
  }

  /// Puts a service's names in place of those that it had; they are found after `lay`.
  mutating func replace(_ old: ServiceNames, by new: ServiceNames, of service: ServiceName) {
    for name in old.records.keys where new.records[name] == nil {
      let page = Self.page(name)
      dirty.insert(page)
      owners[page][name]?.remove(sorted: service)
      if owners[page][name]?.isEmpty == true { owners[page][name] = nil }
    }
    for (name, records) in new.records {
      let had = old.records[name]
      guard had != records else { continue }
      let page = Self.page(name)
      dirty.insert(page)
      if had == nil { owners[page][name, default: []].insert(sorted: service) }
    }
  }

  /// Lays out the pages that changed.
  mutating func lay(_ services: [ServiceName: ServiceNames]) {
    for page in dirty {
      var merged: [[UInt8]: NameRecords] = [:]
      for (name, owners) in owners[page] {
        for owner in owners {
          guard let records = services[owner]?.records[name] else { continue }
          merged[name, default: NameRecords()].add(records)
        }
      }
      tables[page] = NameTable(merged)
    }
    dirty = []
  }
}

extension Array where Element: Comparable {
  /// Where an element is in an ascending array, or has its place.
  private func place(sorted element: Element) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if self[middle] < element { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// Into an ascending array, once.
  mutating func insert(sorted element: Element) {
    let index = place(sorted: element)
    if index == count || self[index] != element { insert(element, at: index) }
  }

  mutating func remove(sorted element: Element) {
    let index = place(sorted: element)
    if index < count, self[index] == element { remove(at: index) }
  }
}
