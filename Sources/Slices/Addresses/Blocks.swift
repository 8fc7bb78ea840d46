public import Base

extension IPPrefix {
  /// The ranges that a slice may use: RFC 1918 and RFC 4193 (ULA).
  public static let privateRanges: [IPPrefix] = [
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7",
  ].compactMap { IPPrefix($0) }

  public var isPrivate: Bool {
    Self.privateRanges.contains { $0.contains(self) }
  }
}

/// How a slice's CIDR is cut into equal blocks, one for each cluster.
public struct BlockLayout: Hashable, Sendable {
  public let cidr: IPPrefix
  public let maxClusters: Int
  /// Prefix length of a block.
  public let blockLength: Int

  /// A block has room for at least 16 addresses: network, gateways, nodes and some endpoints.
  public static let minimumHostBits = 4
  public static let clusterRange = 2...1024

  /// `nil` where the blocks would be too small.
  public init?(cidr: IPPrefix, maxClusters: Int) {
    guard Self.clusterRange.contains(maxClusters) else { return nil }
    let indexBits = Int.bitWidth - (maxClusters - 1).leadingZeroBitCount
    let length = cidr.length + indexBits
    guard length + Self.minimumHostBits <= cidr.network.family.bits else { return nil }
    self.cidr = cidr
    self.maxClusters = maxClusters
    blockLength = length
  }

  /// Blocks that exist: `maxClusters` rounded up to a power of two.
  public var blockCount: Int { 1 << (blockLength - cidr.length) }

  /// `nil` for an index that does not exist.
  public func block(_ index: Int) -> IPPrefix? {
    guard (0..<blockCount).contains(index) else { return nil }
    let shift = UInt128(cidr.network.family.bits - blockLength)
    return cidr.address(at: UInt128(index) << shift).flatMap { IPPrefix($0, length: blockLength) }
  }

  /// The index of the block that holds an address, `nil` outside the slice.
  public func index(of address: IPAddress) -> Int? {
    guard cidr.contains(address) else { return nil }
    let shift = UInt128(cidr.network.family.bits - blockLength)
    return Int((address.value - cidr.network.value) >> shift)
  }

  /// All indices in the order in which this cluster would take them (highest random weight), so that
  /// two admins who add two clusters in two halves of a partition rarely choose the same one.
  public func preference(of cluster: String) -> [Int] {
    let seed = StableHash.of(cluster)
    let weights = (0..<blockCount).map { (index: Int) -> UInt64 in
      StableHash.mix(seed ^ (UInt64(index) &* 0x9e37_79b9_7f4a_7c15))
    }
    return weights.indices.sorted { (a: Int, b: Int) -> Bool in
      weights[a] == weights[b] ? a < b : weights[a] > weights[b]
    }
  }
}

/// A hash that is the same in every process, release and machine, unlike `Hasher`. Not for security.
public enum StableHash {
  /// FNV-1a (Fowler, Noll, Vo) over the bytes, then the finalizer of SplitMix64.
  public static func of(_ text: String) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return mix(hash)
  }

  public static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
