internal import Base
internal import FoundationEssentials
internal import Replication

/// 32 bytes or a refusal that names the field.
func bytes32<T: Bytes32>(_ data: Data, _ field: String) throws(WireError) -> T {
  guard let value = T(data) else { throw .malformed(field) }
  return value
}

/// IDs one after the other, strictly ascending.
func digests(_ data: Data, _ field: String) throws(WireError) -> [Digest] {
  guard data.count.isMultiple(of: 32) else { throw .malformed(field) }
  var reader = ByteReader([UInt8](data))
  var out: [Digest] = []
  out.reserveCapacity(data.count / 32)
  while reader.remaining > 0 {
    let next = try reader.bytes32(Digest.self)
    if let last = out.last, last >= next { throw .malformed("\(field) order") }
    out.append(next)
  }
  return out
}

func data(_ digests: [Digest]) -> Data {
  var writer = ByteWriter(reserving: digests.count * 32)
  for digest in digests { writer.bytes32(digest) }
  return Data(writer.bytes)
}

extension RootKeys {
  static let maximumKeys = 32

  init(_ proto: ProtoRootKeys) throws(WireError) {
    guard proto.keys.count <= Self.maximumKeys else { throw .overLimit("root keys") }
    var keys: [PublicKey] = []
    for key in proto.keys { keys.append(try bytes32(key, "root key")) }
    guard zip(keys, keys.dropFirst()).allSatisfy({ $0 < $1 }) else {
      throw .malformed("root key order")
    }
    guard proto.threshold >= 1, Int(proto.threshold) <= keys.count else {
      throw .malformed("root threshold")
    }
    self.init(keys: keys, threshold: Int(proto.threshold))
  }

  var proto: ProtoRootKeys {
    var proto = ProtoRootKeys()
    proto.keys = keys.map { Data($0.bytes) }
    proto.threshold = UInt32(threshold)
    return proto
  }
}
