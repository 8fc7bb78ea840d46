public import Base

/// What a gateway is for as long as it runs.
public struct GatewayConfiguration: Sendable {
  /// The cluster that this gateway serves.
  public var cluster: String
  /// This gateway's id within the cluster, as in `.../gateway/<replica>`.
  public var replica: String
  /// Where the one UDP port listens, for example `0.0.0.0:7900`. Port 0 lets the kernel choose.
  public var listen: IPEndpoint
  /// The static X25519 private key, 32 bytes; its public half stands in `slice/<s>/gateway/<c>`.
  public var staticKey: [UInt8]
  /// Receives what changed: reachability, sessions, refusals. Called on the gateway's own control
  /// thread, in order; it must not block and must not call back into the gateway.
  public var onEvent: @Sendable (GatewayEvent) -> Void

  public init(
    cluster: String, replica: String, listen: IPEndpoint, staticKey: [UInt8],
    onEvent: @escaping @Sendable (GatewayEvent) -> Void
  ) {
    self.cluster = cluster
    self.replica = replica
    self.listen = listen
    self.staticKey = staticKey
    self.onEvent = onEvent
  }
}

/// A leaf certificate with its private key, as `ClusterCA` issues them: for tunnels the leaf's URI
/// SAN is `spiffe://<clusterset>/cluster/<c>/slice/<s>/gateway/<replica>`.
public struct TunnelIdentity: Hashable, Sendable {
  /// The leaf, X.509 DER.
  public var certificate: [UInt8]
  /// Its private key: PKCS #8 DER, SEC 1 DER or PEM of either.
  public var privateKey: [UInt8]

  public init(certificate: [UInt8], privateKey: [UInt8]) {
    self.certificate = certificate
    self.privateKey = privateKey
  }
}

/// A slice as this gateway serves it: one TUN device and one identity.
public struct TunnelSliceConfig: Hashable, Sendable {
  public var slice: String
  /// Name of the TUN device, at most 15 bytes.
  public var device: String
  /// The gateway's own slice addresses with the prefix length they are assigned with (that of the
  /// slice gives a connected route to every member).
  public var addresses: [Assignment]
  /// Blocks of this cluster: the only inner destinations taken from the tunnel.
  public var localBlocks: [IPPrefix]
  /// Inner MTU of the device.
  public var mtu: Int
  /// `nil`: neither held back nor marked.
  public var qos: TunnelQoS?
  /// Several gateways of this machine have the device, and a part of its flows each.
  public var isShared: Bool
  public var identity: TunnelIdentity

  public struct Assignment: Hashable, Sendable {
    public var address: IPAddress
    public var prefixLength: Int

    public init(_ address: IPAddress, prefixLength: Int) {
      self.address = address
      self.prefixLength = prefixLength
    }
  }

  public init(
    slice: String, device: String, addresses: [Assignment], localBlocks: [IPPrefix],
    mtu: Int = 1420, qos: TunnelQoS? = nil, isShared: Bool = false, identity: TunnelIdentity
  ) {
    self.slice = slice
    self.device = device
    self.addresses = addresses
    self.localBlocks = localBlocks
    self.mtu = mtu
    self.qos = qos
    self.isShared = isShared
    self.identity = identity
  }
}

/// What a slice may send through a gateway, as `slice/<s>/qos` says.
public struct TunnelQoS: Hashable, Sendable {
  /// The most, in kilobits a second of inner packets; 0: no limit.
  public var ceilingKbps: Int
  /// What it gets although others want more of the gateway's link; 0: nothing of its own.
  public var guaranteedKbps: Int
  /// 0 to 7: what is left beyond the guarantees is shared in proportion to 8 − priority.
  public var priority: Int
  /// The code point of outer packets, 0 to 63.
  public var dscp: UInt8

  public init(
    ceilingKbps: Int = 0, guaranteedKbps: Int = 0, priority: Int = 1, dscp: UInt8 = 0
  ) {
    self.ceilingKbps = ceilingKbps
    self.guaranteedKbps = guaranteedKbps
    self.priority = priority
    self.dscp = dscp
  }
}

/// The addresses of a service that a cluster exports into a slice; its traffic is counted.
public struct TunnelServiceConfig: Hashable, Sendable {
  public var slice: String
  /// The cluster that exports it.
  public var cluster: String
  public var namespace: String
  public var name: String
  public var addresses: [IPAddress]

  public init(
    slice: String, cluster: String, namespace: String, name: String, addresses: [IPAddress]
  ) {
    self.slice = slice
    self.cluster = cluster
    self.namespace = namespace
    self.name = name
    self.addresses = addresses
  }
}

/// One remote gateway of one slice, as the converged state names it.
public struct TunnelPeerConfig: Hashable, Sendable {
  public var slice: String
  /// The remote cluster and its gateway's id there.
  public var cluster: String
  public var replica: String
  /// Where it may be reached, best first; at most `TunnelLimits.endpoints`.
  public var endpoints: [IPEndpoint]
  /// The remote gateway's static X25519 public key, 32 bytes.
  public var staticKey: [UInt8]
  /// The CA of the remote cluster, X.509 DER, from its signed record.
  public var certificateAuthority: [UInt8]
  /// The URI that the remote leaf must carry.
  public var spiffeURI: String
  /// Blocks of the remote cluster: what is routed to it, and the only inner sources taken from it.
  public var remoteBlocks: [IPPrefix]

  public init(
    slice: String, cluster: String, replica: String, endpoints: [IPEndpoint], staticKey: [UInt8],
    certificateAuthority: [UInt8], spiffeURI: String, remoteBlocks: [IPPrefix]
  ) {
    self.slice = slice
    self.cluster = cluster
    self.replica = replica
    self.endpoints = endpoints
    self.staticKey = staticKey
    self.certificateAuthority = certificateAuthority
    self.spiffeURI = spiffeURI
    self.remoteBlocks = remoteBlocks
  }
}

/// What the gateway should be serving now. Whatever is missing is ended at once.
public struct GatewayPlan: Hashable, Sendable {
  public var slices: [TunnelSliceConfig]
  public var peers: [TunnelPeerConfig]
  /// What is counted by service.
  public var services: [TunnelServiceConfig]
  /// What the gateway's link carries, in kilobits a second of outer IP packets, shared by all slices;
  /// 0: not known, then guarantees of slices are kept only as far as the link has room.
  public var linkKbps: Int
  /// The most that is handed on for each remote gateway, in kilobits a second; 0: no limit.
  public var relayKbps: Int

  public init(
    slices: [TunnelSliceConfig] = [], peers: [TunnelPeerConfig] = [],
    services: [TunnelServiceConfig] = [], linkKbps: Int = 0, relayKbps: Int = 0
  ) {
    self.slices = slices
    self.peers = peers
    self.services = services
    self.linkKbps = linkKbps
    self.relayKbps = relayKbps
  }
}

/// What a gateway tells its owner.
public enum GatewayEvent: Hashable, Sendable {
  /// A remote cluster became reachable through the slice's tunnels, or stopped being so.
  case reachability(slice: String, cluster: String, reachable: Bool)
  /// A session took over the traffic of a link after a full handshake.
  case established(slice: String, cluster: String, replica: String)
  /// The far side is at another address now, and showed it.
  case roamed(slice: String, cluster: String, replica: String, endpoint: IPEndpoint)
  /// A handshake failed; the sentence says which side refused what.
  case handshakeFailed(slice: String, cluster: String, replica: String, reason: String)
  /// Handshakes cannot be sent there (no route, MTU too small, a firewall): one clear line.
  case unreachable(endpoint: IPEndpoint, reason: String)
  /// A slice of the plan cannot be served (no TUN device, no permission, ...): one clear line.
  case sliceFailed(slice: String, reason: String)
}
