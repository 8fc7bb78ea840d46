public import Base

/// A cluster's registers: `cluster/<c>`, by whoever admitted it, and `cluster/<c>/info`, its own.
public struct ClusterRecord: Hashable, Sendable {
  public var name: String
  public var admission: ClusterAdmission
  /// `nil` until the cluster has joined.
  public var info: ClusterInfo?

  public init(name: String, admission: ClusterAdmission = .init(), info: ClusterInfo? = nil) {
    self.name = name
    self.admission = admission
    self.info = info
  }
}

public struct ClusterAdmission: Hashable, Sendable {
  public var labels: [String: String]
  public var location: Location?
  /// Namespaces that this cluster lets take part in slices; `nil`: every one but the system's.
  public var consent: [String]?
  /// Its endpoints get no new flows anywhere; what is established goes on.
  public var isDrained: Bool

  /// Degrees. Shown and used for nothing else: *nearest* goes by measured RTT.
  public struct Location: Hashable, Sendable {
    /// As written: a decimal number within -90...90.
    public var latitude: String
    /// As written: a decimal number within -180...180.
    public var longitude: String

    public init(latitude: String, longitude: String) {
      self.latitude = latitude
      self.longitude = longitude
    }
  }

  public init(
    labels: [String: String] = [:], location: Location? = nil, consent: [String]? = nil,
    isDrained: Bool = false
  ) {
    self.labels = labels
    self.location = location
    self.consent = consent
    self.isDrained = isDrained
  }
}

extension ClusterAdmission {
  static let consentLimit = 1024

  /// Reads the register; also for the flags of `starling token create`, since it checks them.
  public init(_ value: Value) throws(ManifestError) {
    let errors = FieldErrors()
    var reader = FieldReader(value, at: "", errors: errors)
    labels = reader.textMap("labels", limit: SlicePlacement.entryLimit)
    isDrained = reader.bool("drained") ?? false
    if var map = reader.map("location") {
      let latitude = Self.degrees("latitude", 90, &map)
      let longitude = Self.degrees("longitude", 180, &map)
      if let latitude, let longitude {
        location = Location(latitude: latitude, longitude: longitude)
      }
    }
    if !reader.isAbsent("consent") {
      consent = reader.texts("consent", limit: Self.consentLimit, allowed: NameRules.labelRule) {
        NameRules.isLabel($0) ? $0 : nil
      }.sorted()
    }
    guard errors.isEmpty else { throw errors.result }
  }

  private static func degrees(
    _ name: String, _ bound: Double, _ reader: inout FieldReader
  ) -> String? {
    let allowed = "a decimal number, -\(Int(bound)) to \(Int(bound))"
    guard let value = reader.take(name) else {
      reader.missing(name, allowed: allowed)
      return nil
    }
    let text = value.integer.map { String($0) } ?? value.string ?? ""
    guard let number = Double(text), abs(number) <= bound else {
      reader.report(name, "\(FieldReader.quoted(text)) is out of range", allowed: allowed)
      return nil
    }
    return text
  }

  public var value: Value {
    var writer = FieldWriter(withDefaults: false)
    writer.put("labels", labels)
    if let location {
      writer.put(
        "location",
        ["latitude": .string(location.latitude), "longitude": .string(location.longitude)])
    }
    if let consent { writer.put("consent", .list(consent.map { .string($0) })) }
    if isDrained { writer.put("drained", .bool(true)) }
    return writer.value
  }
}

public struct ClusterInfo: Hashable, Sendable {
  /// The CA certificate that vouches for the cluster's gateways, X.509 DER: that of one of its peers.
  public var certificateAuthority: [UInt8]
  public var peers: [Peer]
  public var version: String
  public var ranges: ClusterRanges

  /// One `starlingd` of the cluster.
  public struct Peer: Hashable, Sendable {
    public var key: PublicKey
    /// `host:port` of the gossip port.
    public var addresses: [String]
    /// The CA certificate that vouches for this peer, X.509 DER; empty: the cluster's.
    public var certificateAuthority: [UInt8]

    public init(key: PublicKey, addresses: [String], certificateAuthority: [UInt8] = []) {
      self.key = key
      self.addresses = addresses
      self.certificateAuthority = certificateAuthority
    }
  }

  public static let peerLimit = 16
  public static let addressLimit = 16

  public init(
    certificateAuthority: [UInt8], peers: [Peer], version: String = "",
    ranges: ClusterRanges = ClusterRanges()
  ) {
    self.certificateAuthority = certificateAuthority
    self.peers = peers
    self.version = version
    self.ranges = ranges
  }

  public init(_ value: Value) throws(ManifestError) {
    let errors = FieldErrors()
    var reader = FieldReader(value, at: "", errors: errors)
    certificateAuthority = reader.bytes("ca") ?? []
    peers = []
    for (item, path) in reader.list("peers", limit: Self.peerLimit) {
      var peer = FieldReader(item, at: path, errors: errors)
      let addresses = peer.texts("addresses", limit: Self.addressLimit, allowed: "host:port") {
        $0.utf8.count <= 260 && $0.contains(":") ? $0 : nil
      }
      if let key = peer.bytes("key").flatMap({ PublicKey($0) }) {
        peers.append(
          Peer(
            key: key, addresses: addresses, certificateAuthority: peer.bytes("ca") ?? []))
      } else {
        peer.report("key", "is no key", allowed: "32 bytes")
      }
    }
    version = reader.string("version") ?? ""
    ranges = ClusterRanges(reading: &reader)
    guard errors.isEmpty else { throw errors.result }
  }

  /// The CA that vouches for a peer of the cluster.
  public func certificateAuthority(of key: PublicKey) -> [UInt8] {
    let own = peers.first { $0.key == key }?.certificateAuthority ?? []
    return own.isEmpty ? certificateAuthority : own
  }

  public var value: Value {
    var writer = FieldWriter(withDefaults: false)
    writer.put("ca", .bytes(certificateAuthority))
    writer.put(
      "peers",
      .list(
        peers.map { peer in
          var fields: [String: Value] = [
            "key": .bytes(peer.key.bytes),
            "addresses": .list(peer.addresses.map { .string($0) }),
          ]
          if !peer.certificateAuthority.isEmpty { fields["ca"] = .bytes(peer.certificateAuthority) }
          return .map(fields: fields)
        }))
    writer.put("version", .string(version))
    if ranges != ClusterRanges() { writer.put("ranges", ranges.value) }
    return writer.value
  }
}

/// The address ranges that a cluster uses itself; slices may not overlap them.
public struct ClusterRanges: Hashable, Sendable {
  public var pods: [IPPrefix]
  public var services: [IPPrefix]
  public var nodes: [IPPrefix]

  static let limit = 64

  public init(pods: [IPPrefix] = [], services: [IPPrefix] = [], nodes: [IPPrefix] = []) {
    self.pods = pods
    self.services = services
    self.nodes = nodes
  }

  init(reading parent: inout FieldReader) {
    self.init()
    guard var reader = parent.map("ranges") else { return }
    let parse: (String) -> IPPrefix? = { IPPrefix($0) }
    pods = reader.texts("pods", limit: Self.limit, allowed: "a prefix", parse)
    services = reader.texts("services", limit: Self.limit, allowed: "a prefix", parse)
    nodes = reader.texts("nodes", limit: Self.limit, allowed: "a prefix", parse)
  }

  var value: Value {
    var writer = FieldWriter(withDefaults: false)
    writer.put("pods", pods.map(\.description))
    writer.put("services", services.map(\.description))
    writer.put("nodes", nodes.map(\.description))
    return writer.value
  }

  /// The first range that a prefix overlaps, with what it is for.
  public func overlap(with prefix: IPPrefix) -> (use: String, range: IPPrefix)? {
    for (use, ranges) in [("pod", pods), ("service", services), ("node", nodes)] {
      if let range = ranges.first(where: { $0.overlaps(prefix) }) { return (use, range) }
    }
    return nil
  }
}
