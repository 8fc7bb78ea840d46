public import Base

/// A tunnel as the converged state names it: one remote gateway in one slice.
public struct LinkID: Hashable, Comparable, Sendable, CustomStringConvertible {
  public var slice: String
  public var cluster: String
  public var replica: String

  public init(slice: String, cluster: String, replica: String) {
    self.slice = slice
    self.cluster = cluster
    self.replica = replica
  }

  public static func < (a: Self, b: Self) -> Bool {
    (a.slice, a.cluster, a.replica) < (b.slice, b.cluster, b.replica)
  }

  public var description: String { "\(slice)/\(cluster)/\(replica)" }
}

/// What the core has to know of a link.
public struct LinkConfig: Hashable, Sendable {
  public var id: LinkID
  /// Best first; the first that answers is used.
  public var endpoints: [IPEndpoint]
  /// The remote gateway's static X25519 public key, 32 bytes.
  public var staticKey: [UInt8]
  /// What the TLS engine checks against (CA and identity), as opaque bytes: when they change, the
  /// sessions made under the old ones end at once.
  public var trust: [UInt8]
  /// Inner destinations taken from this link.
  public var localBlocks: [IPPrefix]
  /// Inner sources taken from this link, and destinations sent to it.
  public var remoteBlocks: [IPPrefix]
  /// Inner MTU of the slice's device, where the path carries it.
  public var mtu: Int

  public init(
    id: LinkID, endpoints: [IPEndpoint], staticKey: [UInt8], trust: [UInt8],
    localBlocks: [IPPrefix], remoteBlocks: [IPPrefix], mtu: Int = TunnelLimits.innerMTU
  ) {
    self.id = id
    self.endpoints = endpoints
    self.staticKey = staticKey
    self.trust = trust
    self.localBlocks = localBlocks
    self.remoteBlocks = remoteBlocks
    self.mtu = mtu
  }
}

/// Who a gateway is, within every link.
public struct GatewayName: Hashable, Comparable, Sendable {
  public var cluster: String
  public var replica: String

  public init(cluster: String, replica: String) {
    self.cluster = cluster
    self.replica = replica
  }

  public static func < (a: Self, b: Self) -> Bool {
    (a.cluster, a.replica) < (b.cluster, b.replica)
  }

  /// Unambiguous bytes for key derivation: both names behind their lengths.
  var encoded: [UInt8] {
    var writer = ByteWriter()
    writer.text(cluster)
    writer.text(replica)
    return writer.bytes
  }
}
