public import Base

/// Packets and their inner bytes.
public struct TrafficCount: Hashable, Sendable {
  public var packets: UInt64 = 0
  public var bytes: UInt64 = 0

  public init() {}

  @inline(__always)
  mutating func add(_ more: Int, _ size: Int) {
    packets &+= UInt64(truncatingIfNeeded: more)
    bytes &+= UInt64(truncatingIfNeeded: size)
  }
}

/// Which addresses belong to which service, as the converged state says, and in which row its traffic
/// counts. Built outside of the packet loops, swapped as a whole.
public struct ServiceTable: Sendable {
  /// Where the packets of one address count.
  public struct Entry: Hashable, Sendable {
    public var address: IPAddress
    public var device: Int
    /// Its first row.
    public var row: Int
    /// A service of this cluster has a row for each remote cluster (`columns`), behind the first.
    public var isLocal: Bool

    public init(address: IPAddress, device: Int, row: Int, isLocal: Bool) {
      self.address = address
      self.device = device
      self.row = row
      self.isLocal = isLocal
    }
  }

  fileprivate let entries: [Entry]
  /// Open addressing, at most half full: an index of `entries`, or −1.
  fileprivate let buckets: [Int32]
  /// By link: which of its slice's remote clusters it leads to.
  fileprivate let columns: [Int]
  public let rows: Int

  /// Of two entries with one address the first counts.
  public init(entries: [Entry] = [], columns: [Int] = [], rows: Int = 0) {
    let entries = Array(entries.prefix(TunnelLimits.serviceAddresses))
    self.entries = entries
    self.columns = columns
    self.rows = min(max(rows, 0), TunnelLimits.serviceRows)
    guard !entries.isEmpty else {
      buckets = []
      return
    }
    var size = 16
    while size < entries.count * 2 { size *= 2 }
    var buckets = [Int32](repeating: -1, count: size)
    for (number, entry) in entries.enumerated() {
      var bucket = Self.bucket(entry.address, size)
      while buckets[bucket] >= 0, entries[Int(buckets[bucket])].address != entry.address {
        bucket = (bucket + 1) & (size - 1)
      }
      if buckets[bucket] < 0 { buckets[bucket] = Int32(truncatingIfNeeded: number) }
    }
    self.buckets = buckets
  }

  private static func bucket(_ address: IPAddress, _ size: Int) -> Int {
    let folded =
      UInt64(truncatingIfNeeded: address.value) ^ UInt64(truncatingIfNeeded: address.value >> 64)
    return Int(truncatingIfNeeded: InnerPacket.mix(folded)) & (size - 1)
  }

  /// The row of an address on a link; −1: none.
  fileprivate func row(_ address: IPAddress, device: Int, link: Int) -> Int {
    guard !buckets.isEmpty else { return -1 }
    var bucket = Self.bucket(address, buckets.count)
    while buckets[bucket] >= 0 {
      let number = Int(buckets[bucket])
      if entries[number].address == address {
        guard entries[number].device == device else { return -1 }
        let column = entries[number].isLocal ? (link < columns.count ? columns[link] : -1) : 0
        let row = entries[number].row + column
        return column >= 0 && row >= 0 && row < rows ? row : -1
      }
      bucket = (bucket + 1) & (buckets.count - 1)
    }
    return -1
  }
}

/// The traffic of services in one direction: a packet counts for the service that either of its
/// addresses belongs to, and for both where it goes from one to another.
struct ServiceFigures: Sendable {
  private var table = ServiceTable()
  private(set) var counts: [TrafficCount] = []
  /// Packets of one flow come in a row: the last answer mostly is the next.
  private var source = IPAddress(v4: 0)
  private var destination = IPAddress(v4: 0)
  private var link = -1
  private var first = -1
  private var second = -1

  /// `origin`: by row of the new table, the row that it had in the one before; −1: a new one.
  mutating func replace(_ table: ServiceTable, origin: [Int]) {
    let old = counts
    counts = (0..<table.rows).map { row in
      let before = row < origin.count ? origin[row] : -1
      return before >= 0 && before < old.count ? old[before] : TrafficCount()
    }
    self.table = table
    link = -1
  }

  @inline(__always)
  mutating func count(_ inner: InnerPacket, device: Int, link: Int, packets: Int, bytes: Int) {
    guard !counts.isEmpty else { return }
    if link != self.link || inner.destination != destination || inner.source != source {
      look(inner, device: device, link: link)
    }
    if first >= 0 { counts[first].add(packets, bytes) }
    if second >= 0 { counts[second].add(packets, bytes) }
  }

  @inline(never)
  private mutating func look(_ inner: InnerPacket, device: Int, link: Int) {
    (source, destination) = (inner.source, inner.destination)
    self.link = link
    first = table.row(destination, device: device, link: link)
    second = table.row(source, device: device, link: link)
    if second == first { second = -1 }
  }
}

extension TunnelLimits {
  /// Addresses that are known as some service's.
  public static let serviceAddresses = 1 << 16
  /// Services times the clusters that they talk to.
  public static let serviceRows = 1 << 16
}
