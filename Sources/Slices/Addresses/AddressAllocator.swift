public import Base

/// Allots addresses inside the own cluster's block, alone and for good: the same key gets the same
/// address again after a restart, and as a rule also after the loss of what was persisted, since the
/// first choice follows from the key.
///
/// Layout: offset 0 is never used, 1...16 (fewer in small blocks) belong to gateways, the greatest
/// (IPv4's broadcast) is never used, all others are for nodes, services and endpoints.
public struct AddressAllocator: Hashable, Sendable {
  /// What an address is for.
  public enum Key: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// A node of the cluster: source of traffic into the slice.
    case node(String)
    /// A service's own address.
    case service(ServiceName)
    /// An endpoint of an exported service, by its name in the cluster.
    case endpoint(ServiceName, String)

    public var description: String {
      switch self {
      case .node(let name): "node/\(name)"
      case .service(let service): "service/\(service)"
      case .endpoint(let service, let name): "endpoint/\(service)/\(name)"
      }
    }

    /// Reads `description` back; `nil` for any other text.
    public init?(_ text: String) {
      let parts = text.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
        .map { String($0) }
      switch (parts.first, parts.count) {
      case ("node", 2...): self = .node(parts.dropFirst().joined(separator: "/"))
      case ("service", 3): self = .service(ServiceName(namespace: parts[1], name: parts[2]))
      case ("endpoint", 4):
        self = .endpoint(ServiceName(namespace: parts[1], name: parts[2]), parts[3])
      default: return nil
      }
    }

    public static func < (a: Key, b: Key) -> Bool { a.description < b.description }
  }

  public let block: IPPrefix
  /// To be persisted as it is; see `init(block:persisted:)`.
  public private(set) var allocations: [Key: IPAddress] = [:]
  private var taken: Set<IPAddress> = []

  /// Even in a large block no more than this, so that memory is bounded.
  public static let allocationLimit = 65_536
  public static let gatewayLimit = 16

  /// Allocations outside the block or with an address twice are dropped: they are of another block.
  public init(block: IPPrefix, persisted: [Key: IPAddress] = [:]) {
    self.block = block
    for (key, address) in persisted.sorted(by: { $0.key < $1.key }) where isUsable(address) {
      if allocations.count < Self.allocationLimit, taken.insert(address).inserted {
        allocations[key] = address
      }
    }
  }

  /// Addresses of gateway replica 0, 1, ...: `nil` beyond what the block sets aside.
  public static func gateway(_ replica: Int, in block: IPPrefix) -> IPAddress? {
    (0..<reserved(in: block)).contains(replica) ? block.address(at: UInt128(replica) + 1) : nil
  }

  private static func hostBits(_ block: IPPrefix) -> Int {
    block.network.family.bits - block.length
  }

  /// A quarter of a small block, at most 16.
  private static func reserved(in block: IPPrefix) -> Int {
    hostBits(block) >= 6 ? gatewayLimit : (1 << hostBits(block)) / 4
  }

  /// First offset and number of addresses that keys may get.
  private var range: (first: UInt64, count: UInt64) {
    let first = UInt64(Self.reserved(in: block)) + 1
    // Of a huge IPv6 block the first 2^48 addresses are enough to keep collisions rare.
    let size = UInt64(1) << UInt64(min(Self.hostBits(block), 48))
    return size > first + 1 ? (first, size - first - 1) : (first, 0)
  }

  /// How many more keys fit.
  public var free: Int {
    min(Int(clamping: range.count), Self.allocationLimit) - allocations.count
  }

  private func isUsable(_ address: IPAddress) -> Bool {
    guard block.contains(address) else { return false }
    let offset = address.value - block.network.value
    return offset >= UInt128(range.first)
      && offset < UInt128(range.first) + UInt128(range.count)
  }

  /// The key's address, allotted now where it has none; `nil` where the block is full.
  public mutating func address(for key: Key) -> IPAddress? {
    if let address = allocations[key] { return address }
    guard free > 0 else { return nil }
    let seed = StableHash.of(key.description)
    let (first, count) = range
    // Random probes find a free place soon while the block is not nearly full; then every place is
    // looked at once, from the last probe on, so that the last free address is found too.
    var offset = seed % count
    for attempt in UInt64(0)..<32 {
      offset = StableHash.mix(seed &+ attempt) % count
      if let address = claim(first + offset, for: key) { return address }
    }
    for step in 1...count {
      if let address = claim(first + (offset + step) % count, for: key) { return address }
    }
    return nil
  }

  private mutating func claim(_ offset: UInt64, for key: Key) -> IPAddress? {
    guard let address = block.address(at: UInt128(offset)), taken.insert(address).inserted else {
      return nil
    }
    allocations[key] = address
    return address
  }

  /// Takes over what was written elsewhere, such as by the peer that acted before: the key has that
  /// address from now on, if it may be allotted and is free.
  public mutating func adopt(_ address: IPAddress, for key: Key) {
    guard allocations[key] != address, isUsable(address), !taken.contains(address),
      allocations[key] != nil || free > 0
    else { return }
    release(key)
    taken.insert(address)
    allocations[key] = address
  }

  public mutating func release(_ key: Key) {
    if let address = allocations.removeValue(forKey: key) { taken.remove(address) }
  }

  /// Releases the endpoints that are gone; nodes and services stay.
  ///
  /// - Parameter services: of these only; `nil`: of all.
  public mutating func releaseEndpoints(
    of services: Set<ServiceName>? = nil, except keys: Set<Key>
  ) {
    let gone = allocations.keys.filter { key in
      guard case .endpoint(let service, _) = key else { return false }
      return services?.contains(service) != false && !keys.contains(key)
    }
    for key in gone { release(key) }
  }
}
