public import Base
internal import Foundation

/// What a gateway process of its own is told: who it is, and its plan, as one JSON file. It holds
/// private keys, so it belongs to its owner alone, and is replaced whole when anything changes.
///
/// Bytes are base64; addresses, prefixes and endpoints are text.
public struct GatewayPlanFile: Hashable, Sendable {
  public var cluster: String
  public var replica: String
  public var listen: IPEndpoint
  /// X25519, 32 bytes.
  public var staticKey: [UInt8]
  public var plan: GatewayPlan

  public init(
    cluster: String, replica: String, listen: IPEndpoint, staticKey: [UInt8], plan: GatewayPlan
  ) {
    self.cluster = cluster
    self.replica = replica
    self.listen = listen
    self.staticKey = staticKey
    self.plan = plan
  }

  /// A plan of every slice and peer that one gateway may have fits.
  public static let limit = 32 << 20

  /// The sentence says which field is wrong.
  public init(json: [UInt8]) throws(GatewayError) {
    let text: Text
    do {
      text = try JSONDecoder().decode(Text.self, from: Data(json))
    } catch let error as DecodingError {
      throw .refused(Self.explain(error))
    } catch {
      throw .refused("it is no JSON: \(error)")
    }
    cluster = text.cluster
    replica = text.replica
    listen = try Self.parse("listen", text.listen) { IPEndpoint($0) }
    staticKey = Array(text.staticKey)
    plan = GatewayPlan(
      slices: try text.slices.map(Self.slice), peers: try text.peers.map(Self.peer),
      services: try (text.services ?? []).map(Self.service), linkKbps: text.linkKbps ?? 0,
      relayKbps: text.relayKbps ?? 0)
  }

  /// What `init(json:)` reads.
  public func json() throws(GatewayError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    let text = Text(
      cluster: cluster, replica: replica, listen: listen.description, staticKey: Data(staticKey),
      linkKbps: plan.linkKbps > 0 ? plan.linkKbps : nil,
      relayKbps: plan.relayKbps > 0 ? plan.relayKbps : nil,
      slices: plan.slices.map(Text.Slice.init), peers: plan.peers.map(Text.Peer.init),
      services: plan.services.isEmpty ? nil : plan.services.map(Text.Service.init))
    do {
      return Array(try encoder.encode(text))
    } catch {
      throw .refused("the plan cannot be written as JSON: \(error)")
    }
  }

  private static func slice(_ text: Text.Slice) throws(GatewayError) -> TunnelSliceConfig {
    TunnelSliceConfig(
      slice: text.slice, device: text.device,
      addresses: try text.addresses.map { text throws(GatewayError) in
        try parse("addresses", text) { assignment($0) }
      },
      localBlocks: try text.localBlocks.map { text throws(GatewayError) in
        try parse("localBlocks", text) { IPPrefix($0) }
      },
      mtu: text.mtu ?? 1420, qos: text.qos.map(Self.qos), isShared: text.shared ?? false,
      identity: TunnelIdentity(
        certificate: Array(text.certificate), privateKey: Array(text.privateKey)))
  }

  private static func peer(_ text: Text.Peer) throws(GatewayError) -> TunnelPeerConfig {
    TunnelPeerConfig(
      slice: text.slice, cluster: text.cluster, replica: text.replica,
      endpoints: try text.endpoints.map { text throws(GatewayError) in
        try parse("endpoints", text) { IPEndpoint($0) }
      },
      staticKey: Array(text.staticKey),
      certificateAuthority: Array(text.certificateAuthority), spiffeURI: text.spiffeURI,
      remoteBlocks: try text.remoteBlocks.map { text throws(GatewayError) in
        try parse("remoteBlocks", text) { IPPrefix($0) }
      })
  }

  private static func qos(_ text: Text.QoS) -> TunnelQoS {
    TunnelQoS(
      ceilingKbps: text.ceilingKbps ?? 0, guaranteedKbps: text.guaranteedKbps ?? 0,
      priority: text.priority ?? 1, dscp: min(text.dscp ?? 0, 63))
  }

  private static func service(_ text: Text.Service) throws(GatewayError) -> TunnelServiceConfig {
    TunnelServiceConfig(
      slice: text.slice, cluster: text.cluster, namespace: text.namespace, name: text.name,
      addresses: try text.addresses.map { text throws(GatewayError) in
        try parse("services.addresses", text) { IPAddress($0) }
      })
  }

  /// An address with the length of its prefix.
  private static func assignment(_ text: String) -> TunnelSliceConfig.Assignment? {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let address = IPAddress(parts[0]), let length = Int(parts[1]),
      (0...address.family.bits).contains(length)
    else { return nil }
    return .init(address, prefixLength: length)
  }

  private static func parse<Value>(
    _ field: String, _ text: String, _ read: (String) -> Value?
  ) throws(GatewayError) -> Value {
    guard let value = read(text) else { throw .refused("\(field): \"\(text)\" is not valid") }
    return value
  }

  private static func explain(_ error: DecodingError) -> String {
    let (context, what): (DecodingError.Context, String) =
      switch error {
      case .keyNotFound(let key, let context): (context, "\(key.stringValue) is missing")
      case .typeMismatch(_, let context), .valueNotFound(_, let context),
        .dataCorrupted(let context):
        (context, context.debugDescription)
      @unknown default: (.init(codingPath: [], debugDescription: ""), "\(error)")
      }
    let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)" }
    return path.isEmpty ? what : "\(path.joined().drop { $0 == "." }): \(what)"
  }

  /// The file's form.
  private struct Text: Codable {
    struct Slice: Codable {
      var slice: String
      var device: String
      var addresses: [String]
      var localBlocks: [String]
      var mtu: Int?
      var qos: QoS?
      var shared: Bool?
      /// X.509 DER, and its private key.
      var certificate: Data
      var privateKey: Data

      init(_ config: TunnelSliceConfig) {
        slice = config.slice
        device = config.device
        addresses = config.addresses.map { "\($0.address)/\($0.prefixLength)" }
        localBlocks = config.localBlocks.map(\.description)
        mtu = config.mtu
        qos = config.qos.map(QoS.init)
        shared = config.isShared ? true : nil
        certificate = Data(config.identity.certificate)
        privateKey = Data(config.identity.privateKey)
      }
    }

    struct QoS: Codable {
      var ceilingKbps: Int?
      var guaranteedKbps: Int?
      var priority: Int?
      var dscp: UInt8?

      init(_ config: TunnelQoS) {
        ceilingKbps = config.ceilingKbps
        guaranteedKbps = config.guaranteedKbps
        priority = config.priority
        dscp = config.dscp
      }
    }

    struct Service: Codable {
      var slice: String
      var cluster: String
      var namespace: String
      var name: String
      var addresses: [String]

      init(_ config: TunnelServiceConfig) {
        slice = config.slice
        cluster = config.cluster
        namespace = config.namespace
        name = config.name
        addresses = config.addresses.map(\.description)
      }
    }

    struct Peer: Codable {
      var slice: String
      var cluster: String
      var replica: String
      var endpoints: [String]
      var staticKey: Data
      var certificateAuthority: Data
      var spiffeURI: String
      var remoteBlocks: [String]

      init(_ config: TunnelPeerConfig) {
        slice = config.slice
        cluster = config.cluster
        replica = config.replica
        endpoints = config.endpoints.map(\.description)
        staticKey = Data(config.staticKey)
        certificateAuthority = Data(config.certificateAuthority)
        spiffeURI = config.spiffeURI
        remoteBlocks = config.remoteBlocks.map(\.description)
      }
    }

    var cluster: String
    var replica: String
    var listen: String
    var staticKey: Data
    var linkKbps: Int?
    var relayKbps: Int?
    var slices: [Slice]
    var peers: [Peer]
    var services: [Service]?
  }
}
