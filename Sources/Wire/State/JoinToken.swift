public import Base
internal import FoundationEssentials
public import Replication

/// All that a new cluster's peer needs to enrol: whom to trust, whom to ask, and a one-cluster
/// enrolment key with the grants above it. A secret until it is sealed.
public struct JoinToken: Sendable {
  public var genesis: Genesis
  public var cluster: String
  /// `host:port` of gossip ports; empty for the first cluster.
  public var seeds: [String]
  /// Ed25519 seed of the enrolment key, 32 bytes.
  public var privateKey: [UInt8]
  /// The grant `enrol:<cluster>` of that key.
  public var grant: Digest
  /// From the root's grant down to `grant`, in that order.
  public var chain: [Changeset]

  public init(
    genesis: Genesis, cluster: String, seeds: [String], privateKey: [UInt8], grant: Digest,
    chain: [Changeset]
  ) {
    self.genesis = genesis
    self.cluster = cluster
    self.seeds = seeds
    self.privateKey = privateKey
    self.grant = grant
    self.chain = chain
  }

  public static let prefix = "starling-token-v1:"
  public static let maximumBytes = 1 << 20
  static let maximumSeeds = 64
  /// Root changes, delegations, the token's own grant.
  static let maximumChain = 64

  /// One line of text; white space around it is ignored.
  public init(_ text: String, crypto: Crypto) throws(WireError) {
    let line = text.utf8.filter { $0 > 0x20 }
    guard line.count <= Self.maximumBytes else { throw .overLimit("token bytes") }
    guard line.starts(with: Self.prefix.utf8) else { throw .malformed("token prefix") }
    // The alphabet of RFC 4648, section 5, back to that of section 4.
    var encoded = line.dropFirst(Self.prefix.utf8.count).map { byte in
      switch byte {
      case UInt8(ascii: "-"): UInt8(ascii: "+")
      case UInt8(ascii: "_"): UInt8(ascii: "/")
      default: byte
      }
    }
    encoded += repeatElement(UInt8(ascii: "="), count: (4 - encoded.count % 4) % 4)
    guard let bytes = Data(base64Encoded: Data(encoded)) else { throw .malformed("token") }
    try self.init(proto: from([UInt8](bytes), ProtoJoinToken.self), crypto: crypto)
  }

  private init(proto: ProtoJoinToken, crypto: Crypto) throws(WireError) {
    guard proto.privateKey.count == 32 else { throw .malformed("token key") }
    guard !proto.cluster.isEmpty, proto.cluster.utf8.count <= 63 else {
      throw .malformed("cluster")
    }
    guard proto.seeds.count <= Self.maximumSeeds, proto.seeds.allSatisfy({ $0.utf8.count <= 259 })
    else { throw .overLimit("seeds") }
    guard proto.chain.count <= Self.maximumChain else { throw .overLimit("grant chain") }
    genesis = try GenesisCodec.decode([UInt8](proto.genesis), crypto: crypto)
    cluster = proto.cluster
    seeds = proto.seeds
    privateKey = [UInt8](proto.privateKey)
    grant = try bytes32(proto.grant, "token grant")
    chain = []
    for signed in proto.chain {
      chain.append(try ChangesetCodec.changeset(signed, crypto: crypto))
    }
  }

  public var text: String {
    var proto = ProtoJoinToken()
    proto.genesis = Data(genesis.bytes)
    proto.cluster = cluster
    proto.seeds = seeds
    proto.privateKey = Data(privateKey)
    proto.grant = Data(grant.bytes)
    proto.chain = chain.map(ChangesetCodec.proto)
    let encoded = Data(serialized(proto)).base64EncodedString()
    return Self.prefix
      + encoded.replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
  }
}
