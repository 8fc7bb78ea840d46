public import Base

/// Which slices a client sees: only those that it takes part in.
public struct ClientViews: Sendable {
  /// Slices by client address, for clients that are known one by one: workloads.
  public var clients: [IPAddress: Set<String>]
  /// Slices by range; of several that hold an address the longest counts.
  public var ranges: [(prefix: IPPrefix, slices: Set<String>)]
  /// What everybody else sees: nothing in standalone, the cluster's slices where the client's
  /// address does not reach the server. Names are a convenience, not the access control.
  public var others: Set<String>

  public init(
    clients: [IPAddress: Set<String>] = [:],
    ranges: [(prefix: IPPrefix, slices: Set<String>)] = [], others: Set<String> = []
  ) {
    self.clients = clients
    self.ranges = ranges
    self.others = others
  }
}

/// `ClientViews` laid out for lookups: an address to a run of slice indices.
struct ClientIndex: Sendable {
  private var keys: [UInt128] = []
  private var values: [NameTable.Slab] = []
  private var ranges: [(prefix: IPPrefix, slices: NameTable.Slab)] = []
  private var others = NameTable.Slab()
  /// Indices of slices, ascending within a run.
  private(set) var slices: [Int] = []

  init(_ views: ClientViews, slices names: [String]) {
    var runs: [Set<String>: NameTable.Slab] = [:]
    var flat: [Int] = []
    func run(_ set: Set<String>) -> NameTable.Slab {
      if let run = runs[set] { return run }
      let indices = names.indices.filter { set.contains(names[$0]) }
      let run = NameTable.Slab(start: UInt32(flat.count), count: UInt32(indices.count))
      flat += indices
      runs[set] = run
      return run
    }
    var capacity = 2
    while capacity < views.clients.count * 2 { capacity *= 2 }
    keys = Array(repeating: 0, count: capacity)
    values = Array(repeating: NameTable.Slab(), count: capacity)
    for (address, set) in views.clients.sorted(by: { $0.key < $1.key }) {
      let key = Self.key(address)
      var slot = Self.slot(key, capacity)
      while keys[slot] != 0 { slot = (slot + 1) & (capacity - 1) }
      keys[slot] = key
      values[slot] = run(set)
    }
    ranges = views.ranges.sorted { $0.prefix.length > $1.prefix.length }
      .map { ($0.prefix, run($0.slices)) }
    others = run(views.others)
    slices = flat
  }

  /// Never 0 for an address that a client can have, and different for the two families: IPv4 as
  /// mapped into IPv6 (RFC 4291 section 2.5.5.2), which also makes both forms one client.
  private static func key(_ address: IPAddress) -> UInt128 {
    address.family == .v4 ? 0xffff << 32 | address.value : address.value
  }

  private static func slot(_ key: UInt128, _ capacity: Int) -> Int {
    let folded = UInt64(truncatingIfNeeded: key) ^ UInt64(truncatingIfNeeded: key >> 64)
    let mixed = folded &* 0x9e37_79b9_7f4a_7c15
    return Int(truncatingIfNeeded: mixed >> 32) & (capacity - 1)
  }

  func slices(of client: IPAddress) -> NameTable.Slab {
    let key = Self.key(client)
    var slot = Self.slot(key, keys.count)
    while keys[slot] != 0 {
      if keys[slot] == key { return values[slot] }
      slot = (slot + 1) & (keys.count - 1)
    }
    for (prefix, slices) in ranges where prefix.contains(client) { return slices }
    return others
  }
}
