internal import Base
internal import Slices

/// Which zones a name is in: the same relative name is mostly in several.
struct ZoneKinds: OptionSet, Hashable, Sendable {
  let rawValue: UInt8

  /// `slice.local`, and whatever else the ClusterSet calls its slice zones.
  static let slice = ZoneKinds(rawValue: 1)
  static let clusterset = ZoneKinds(rawValue: 2)
  /// Aliases that are whole names of their own.
  static let absolute = ZoneKinds(rawValue: 4)
}

/// What a name has. Targets are relative to the zone that was asked.
struct NameRecords: Hashable {
  var kinds: ZoneKinds = []
  var addresses: [IPAddress] = []
  var services: [ServiceTarget] = []
  var text: [UInt8]?
  /// Answer with some of the addresses only, in turn; otherwise with all.
  var isSampled = false

  /// What somebody else has at the same name.
  mutating func add(_ other: NameRecords) {
    kinds.formUnion(other.kinds)
    addresses += other.addresses
    services += other.services
    text = text ?? other.text
    isSampled = isSampled || other.isSampled
  }
}

struct ServiceTarget: Hashable, Comparable {
  var port: UInt16
  var target: [UInt8]

  static func < (a: Self, b: Self) -> Bool {
    a.port == b.port ? a.target.lexicographicallyPrecedes(b.target) : a.port < b.port
  }
}

/// Names to records, laid out flat and immutable: a lookup costs a hash, a probe and a comparison. A
/// class, so that to hold it costs one reference count and not one for each array.
final class NameTable: Sendable {
  struct Node: Sendable {
    var hash: UInt64
    var name: Slab
    var kinds: ZoneKinds
    var isSampled: Bool
    var v4: Slab
    var v6: Slab
    var services: Slab
    var text: Slab
  }

  /// A run of elements in one of the arrays.
  struct Slab: Sendable {
    var start: UInt32 = 0
    var count: UInt32 = 0

    var range: Range<Int> { Int(start)..<Int(start) + Int(count) }
    var isEmpty: Bool { count == 0 }
  }

  struct Service: Sendable {
    var port: UInt16
    var target: Slab
  }

  let nodes: [Node]
  /// Relative names and SRV targets in wire form without the root, and texts.
  let bytes: [UInt8]
  let v4: [UInt32]
  let v6: [UInt128]
  let services: [Service]
  /// Open addressing: index + 1 of a node, 0 where free. At most half full.
  private let slots: [UInt32]

  static let seed: UInt64 = 0xcbf2_9ce4_8422_2325

  @inline(__always)
  static func hash(_ hash: UInt64, _ byte: UInt8) -> UInt64 {
    (hash ^ UInt64(byte)) &* 0x100_0000_01b3
  }

  init(_ records: [[UInt8]: NameRecords]) {
    let names = records.keys.sorted { $0.lexicographicallyPrecedes($1) }
    var capacity = 2
    while capacity < names.count * 2 { capacity *= 2 }
    var slots = [UInt32](repeating: 0, count: capacity)
    var layout = NameLayout()
    for name in names {
      guard let record = records[name] else { continue }
      let hash = name.reduce(Self.seed) { Self.hash($0, $1) }
      layout.add(name, hash, record)
      var slot = Self.slot(hash, capacity)
      while slots[slot] != 0 { slot = (slot + 1) & (capacity - 1) }
      slots[slot] = UInt32(layout.nodes.count)
    }
    self.slots = slots
    nodes = layout.nodes
    bytes = layout.bytes
    v4 = layout.v4
    v6 = layout.v6
    services = layout.services
  }

  @inline(__always)
  private static func slot(_ hash: UInt64, _ capacity: Int) -> Int {
    Int(truncatingIfNeeded: hash ^ hash >> 32) & (capacity - 1)
  }

  /// The node of the name in `query[start..<end]`, in any case of letters; -1 where there is none.
  func find(
    _ hash: UInt64, _ query: borrowing Span<UInt8>, _ start: Int, _ end: Int, _ kind: ZoneKinds
  ) -> Int {
    var slot = Self.slot(hash, slots.count)
    while true {
      let entry = Int(slots[slot])
      if entry == 0 { return -1 }
      if nodes[entry - 1].hash == hash, matches(entry - 1, query, start, end) {
        return nodes[entry - 1].kinds.contains(kind) ? entry - 1 : -1
      }
      slot = (slot + 1) & (slots.count - 1)
    }
  }

  @inline(__always)
  private func matches(
    _ node: Int, _ query: borrowing Span<UInt8>, _ start: Int, _ end: Int
  ) -> Bool {
    let name = nodes[node].name
    guard Int(name.count) == end - start else { return false }
    let base = Int(name.start)
    for offset in 0..<end - start
    where bytes[base + offset] != DomainName.lower(query[start + offset]) { return false }
    return true
  }
}

/// The arrays of a table while they grow.
private struct NameLayout {
  var nodes: [NameTable.Node] = []
  var bytes: [UInt8] = []
  var v4: [UInt32] = []
  var v6: [UInt128] = []
  var services: [NameTable.Service] = []

  mutating func add(_ name: [UInt8], _ hash: UInt64, _ record: NameRecords) {
    typealias Slab = NameTable.Slab
    let addresses = Set(record.addresses).sorted()
    let four = addresses.filter { $0.family == .v4 }.map {
      UInt32(truncatingIfNeeded: $0.value)
    }
    let six = addresses.filter { $0.family == .v6 }.map(\.value)
    let targets = Set(record.services).sorted()
    let node = NameTable.Node(
      hash: hash, name: put(name), kinds: record.kinds, isSampled: record.isSampled,
      v4: Slab(start: UInt32(v4.count), count: UInt32(four.count)),
      v6: Slab(start: UInt32(v6.count), count: UInt32(six.count)),
      services: Slab(start: UInt32(services.count), count: UInt32(targets.count)),
      text: record.text.map { put($0) } ?? Slab())
    v4 += four
    v6 += six
    for service in targets {
      services.append(NameTable.Service(port: service.port, target: put(service.target)))
    }
    nodes.append(node)
  }

  private mutating func put(_ more: [UInt8]) -> NameTable.Slab {
    defer { bytes += more }
    return NameTable.Slab(start: UInt32(bytes.count), count: UInt32(more.count))
  }
}

/// Collects records by name; adds the names in between, which exist without records (RFC 8020).
struct NameTableBuilder {
  private(set) var records: [[UInt8]: NameRecords] = [:]

  /// Wire form without the root, lower case; `nil` where a label is no label or the name is too long.
  static func wire(_ labels: [String], before rest: [UInt8] = []) -> [UInt8]? {
    guard let name = DomainName(labels.joined(separator: ".")) else { return nil }
    let wire = name.wire.dropLast() + rest
    return wire.count < DomainName.maximumBytes ? Array(wire) : nil
  }

  /// - Parameter wire: without the root.
  mutating func add(
    _ wire: [UInt8], _ kinds: ZoneKinds, _ fill: (inout NameRecords) -> Void
  ) {
    records[wire, default: NameRecords()].kinds.formUnion(kinds)
    fill(&records[wire, default: NameRecords()])
    guard kinds != .absolute else { return }
    var parent = wire.dropFirst(1 + Int(wire.first ?? 0))
    while let length = parent.first {
      let name = Array(parent)
      // Where a name is, those above it are.
      if records[name]?.kinds.isSuperset(of: kinds) == true { return }
      records[name, default: NameRecords()].kinds.formUnion(kinds)
      parent = parent.dropFirst(1 + Int(length))
    }
  }

  mutating func add(
    _ labels: [String], _ kinds: ZoneKinds, _ fill: (inout NameRecords) -> Void
  ) {
    guard let wire = Self.wire(labels) else { return }
    add(wire, kinds, fill)
  }

  func table() -> NameTable { NameTable(records) }
}
