public import Base

/// How a cluster's block is shared where Pods have addresses of their own (overlay `pod`): the first
/// quarter belongs to gateways, nodes and endpoints, the rest is cut into equal chunks, of which each
/// node has one for itself, so that a Pod gets its address without anybody being asked.
public struct PodChunks: Hashable, Sendable {
  public let block: IPPrefix
  /// Prefix length of a chunk: 16 to 128 addresses, so that there are at least 48 chunks.
  public let length: Int

  /// Smaller blocks have no chunks: 2^10 addresses.
  public static let minimumHostBits = 10
  /// Of a huge IPv6 block the first ones are enough.
  public static let chunkLimit: UInt64 = 65_536

  /// `nil` where the block is too small.
  public init?(block: IPPrefix) {
    let bits = block.network.family.bits - block.length
    guard bits >= Self.minimumHostBits else { return nil }
    self.block = block
    length = block.network.family.bits - min(max(bits - 6, 4), 7)
  }

  /// The part of the block in which single addresses are allotted.
  public static func allotted(of block: IPPrefix, overlay: SliceOverlay?) -> IPPrefix {
    guard overlay == .pod, PodChunks(block: block) != nil else { return block }
    return IPPrefix(block.network, length: block.length + 2) ?? block
  }

  private var family: IPAddress.Family { block.network.family }
  private var quarter: UInt64 { UInt64(1) << UInt64(min(length - block.length - 2, 60)) }
  /// How many there are.
  public var count: UInt64 { min(quarter * 3, Self.chunkLimit) }

  /// `nil` from `count` on.
  public func chunk(_ index: UInt64) -> IPPrefix? {
    guard index < count else { return nil }
    let offset = UInt128(quarter + index) << UInt128(family.bits - length)
    return block.address(at: offset).flatMap { IPPrefix($0, length: length) }
  }

  public func isChunk(_ prefix: IPPrefix) -> Bool {
    guard prefix.length == length, block.contains(prefix) else { return false }
    let offset = (prefix.network.value - block.network.value) >> UInt128(family.bits - length)
    return offset >= UInt128(quarter) && offset < UInt128(quarter + count)
  }

  /// Gives each node its chunk; who has one keeps it. Of two with one chunk the first by name does.
  ///
  /// - Parameters:
  ///   - nodes: ascending, each once.
  ///   - known: as last written; what is no chunk of this block counts as none.
  /// - Returns: no entry for nodes that found none left.
  public func allot(_ nodes: [String], known: [String: IPPrefix]) -> [String: IPPrefix] {
    var out: [String: IPPrefix] = [:]
    var taken: Set<IPPrefix> = []
    for node in nodes {
      if let chunk = known[node], isChunk(chunk), taken.insert(chunk).inserted { out[node] = chunk }
    }
    for node in nodes where out[node] == nil {
      let first = StableHash.of(node) % count
      for step in 0..<count {
        guard taken.count < Int(count), let chunk = chunk((first + step) % count) else { break }
        if taken.insert(chunk).inserted {
          out[node] = chunk
          break
        }
      }
    }
    return out
  }
}
