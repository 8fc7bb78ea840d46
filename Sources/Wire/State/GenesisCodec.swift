public import Base
internal import FoundationEssentials
public import Replication

/// The genesis file: Protobuf bytes whose SHA-256 is the ClusterSet ID.
public enum GenesisCodec {
  public static let signingPrefix: [UInt8] = Array("starling/genesis/v1\0".utf8)
  public static let maximumBytes = 16_384

  public static func decode(_ bytes: [UInt8], crypto: Crypto) throws(WireError) -> Genesis {
    guard bytes.count <= maximumBytes else { throw .overLimit("genesis bytes") }
    let proto = try from(bytes, ProtoGenesis.self)
    guard !proto.name.isEmpty, proto.name.utf8.count <= 63 else { throw .malformed("name") }
    guard proto.zones.count <= 8 else { throw .overLimit("zones") }
    return Genesis(
      id: crypto.sha256(signingPrefix + bytes), bytes: bytes, name: proto.name,
      root: try RootKeys(proto.root), zones: proto.zones,
      createdMilliseconds: proto.createdMilliseconds)
  }

  /// - Parameter salt: 16 random bytes.
  public static func make(
    name: String, root: RootKeys, zones: [String] = ["slice.local"], createdMilliseconds: UInt64,
    salt: [UInt8], crypto: Crypto
  ) -> Genesis {
    var proto = ProtoGenesis()
    proto.name = name
    proto.root = root.proto
    proto.zones = zones
    proto.createdMilliseconds = createdMilliseconds
    proto.salt = Data(salt)
    let bytes = serialized(proto)
    return Genesis(
      id: crypto.sha256(signingPrefix + bytes), bytes: bytes, name: name, root: root, zones: zones,
      createdMilliseconds: createdMilliseconds)
  }
}
