public import Base
internal import Slices

/// Addresses for Pods out of the chunk that this node has for itself: no API and no other node is
/// asked.
public enum AddressChunk {
  /// Even of a large chunk no more are in use at once.
  public static let limit = 4096

  /// The Pod's address: the same after a restart wherever it is still free.
  ///
  /// - Returns: `nil` where all are in use.
  public static func address(
    in chunk: IPPrefix, for pod: String, used: Set<IPAddress>
  ) -> IPAddress? {
    let bits = min(chunk.network.family.bits - chunk.length, 12)
    let size = UInt64(1) << UInt64(bits)
    let first = StableHash.of(pod) % size
    for step in 0..<size {
      guard let address = chunk.address(at: UInt128((first + step) % size)) else { continue }
      if !used.contains(address) { return address }
    }
    return nil
  }
}
