internal import Base

/// A key that says by itself in which of 64 parts of a dictionary it belongs.
protocol ShardKey: Hashable, Sendable {
  /// In `0..<64`; evenly spread.
  var shard: Int { get }
}

extension Digest: ShardKey {
  var shard: Int { Int(truncatingIfNeeded: words.3 & 63) }
}

extension String: ShardKey {
  /// FNV-1a.
  var shard: Int {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return Int(truncatingIfNeeded: hash >> 32 & 63)
  }
}

/// A dictionary in 64 parts: growing rehashes one of them at a time, and of a copy only the part that is
/// written is made anew.
struct ShardedDictionary<Key: ShardKey, Value: Sendable>: Sendable {
  private var shards: [[Key: Value]] = Array(repeating: [:], count: 64)
  private(set) var count = 0

  var isEmpty: Bool { count == 0 }

  subscript(key: Key) -> Value? {
    get { shards[key.shard][key] }
    set {
      let shard = key.shard
      let before = shards[shard].count
      shards[shard][key] = newValue
      count += shards[shard].count - before
    }
  }

  /// In no order.
  var values: some Sequence<Value> { shards.lazy.flatMap(\.values) }
}
