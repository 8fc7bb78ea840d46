public import Base

/// The register `slice/<s>/gateway/<c>`: how a cluster's first gateway of a slice is reached; with
/// `/<replica>` behind it, another one.
public struct GatewayRecord: Hashable, Sendable {
  /// The gateway's id in its cluster: it stands in the register's path, not in its value.
  public var replica: String
  /// Best first.
  public var endpoints: [IPEndpoint]
  /// Static X25519 public key, 32 bytes.
  public var key: [UInt8]
  /// Index of the block that the cluster uses.
  public var block: Int
  /// Since when, milliseconds since 1970: the earlier use of a block keeps it.
  public var sinceMilliseconds: UInt64

  /// The gateway that a cluster with a single one has.
  public static let first = "0"
  public static let endpointLimit = 16
  /// Gateways of one cluster in one slice; more are not used.
  public static let replicaLimit = 16

  public init(
    replica: String = GatewayRecord.first, endpoints: [IPEndpoint], key: [UInt8], block: Int,
    sinceMilliseconds: UInt64
  ) {
    self.replica = replica
    self.endpoints = endpoints
    self.key = key
    self.block = block
    self.sinceMilliseconds = sinceMilliseconds
  }

  public var value: Value {
    var writer = FieldWriter(withDefaults: false)
    write(&writer)
    return writer.value
  }

  public init(_ value: Value) throws(ManifestError) {
    self = try Self.read(value)
  }
}

extension GatewayRecord: SliceSection {
  init(reading reader: inout FieldReader) {
    // Written by releases that knew one gateway only.
    replica = reader.label("replica") ?? Self.first
    endpoints = reader.texts(
      "endpoints", limit: Self.endpointLimit, allowed: "ip:port or [ipv6]:port"
    ) { IPEndpoint($0) }
    key = reader.bytes("key") ?? []
    if key.count != 32 { reader.report("key", "is no X25519 key", allowed: "32 bytes") }
    block = reader.integer("block", in: 0...BlockLayout.clusterRange.upperBound - 1) ?? 0
    if reader.isAbsent("block") { reader.missing("block", allowed: "the block's index") }
    sinceMilliseconds = UInt64(reader.integer("since", in: 0...Int.max) ?? 0)
  }

  func write(_ writer: inout FieldWriter) {
    writer.put("endpoints", .list(endpoints.map { .string("\($0)") }))
    writer.put("key", .bytes(key))
    writer.put("block", .integer(Int64(block)))
    writer.put("since", .integer(Int64(clamping: sinceMilliseconds)))
  }
}
