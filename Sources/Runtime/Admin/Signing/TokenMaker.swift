public import Base
public import Replication
internal import Slices
public import Wire

/// What `starling token create` asks for.
public struct TokenRequest: Hashable, Sendable {
  public var cluster: String
  public var labels: [String: String]
  /// Degrees, as written: latitude, longitude.
  public var location: (String, String)? {
    get { place.count == 2 ? (place[0], place[1]) : nil }
    set { place = newValue.map { [$0.0, $0.1] } ?? [] }
  }
  private var place: [String] = []
  /// `host:port` of gossip ports.
  public var seeds: [String]
  public var lifetimeMilliseconds: UInt64

  public static let standardLifetimeMilliseconds: UInt64 = 3_600_000

  public init(
    cluster: String, labels: [String: String] = [:], location: (String, String)? = nil,
    seeds: [String] = [], lifetimeMilliseconds: UInt64 = standardLifetimeMilliseconds
  ) {
    self.cluster = cluster
    self.labels = labels
    self.seeds = seeds
    self.lifetimeMilliseconds = lifetimeMilliseconds
    self.location = location
  }

  /// The register `cluster/<c>`: the one that is there with what the request says instead.
  func admission(over current: Value?) throws(AdminError) -> Value {
    var fields: [String: Value] = [:]
    for field in current?.fields ?? [] { fields[field.name] = field.value }
    if !labels.isEmpty { fields["labels"] = .map(fields: labels.mapValues { .string($0) }) }
    if let location {
      fields["location"] = [
        "latitude": .string(location.0), "longitude": .string(location.1),
      ]
    }
    let value = Value.map(fields: fields)
    do throws(ManifestError) {
      _ = try ClusterAdmission(value)
    } catch {
      throw .usage(error.description, fix: "Nothing was signed.")
    }
    return value
  }

  func check() throws(AdminError) {
    guard NameRules.isLabel(cluster) else {
      throw .usage(
        "the cluster's name \"\(cluster)\" is not allowed",
        fix: "Allowed: \(NameRules.labelRule).")
    }
    for seed in seeds where !ConfigurationOption.Kind.isHostPort(seed) {
      throw .usage(
        "the seed \"\(seed)\" is not host:port", fix: "For example peer.example.com:7946.")
    }
    guard (1000...30 * 86_400_000).contains(lifetimeMilliseconds) else {
      throw .usage("a token lives from 1s to 720h")
    }
  }
}

/// A token with the changeset that makes it good.
public struct MadeToken: Sendable {
  public var token: JoinToken
  /// Admits the cluster and grants the token's key `enrol:<cluster>`.
  public var changeset: Changeset
  public var notAfter: APITime

  /// - Parameters:
  ///   - choice: the grant to act under; needs `admit`.
  ///   - chain: the changesets from the root's first grant down to that one, it included.
  public init(
    _ request: TokenRequest, genesis: Genesis, choice: GrantChoice, chain: [Changeset],
    signer: Signer, snapshot: RegisterSnapshot, nowMilliseconds: UInt64
  ) throws(AdminError) {
    try request.check()
    let path = SlicePath.cluster(request.cluster).text
    let current = snapshot.table.value(path)
    let admission = try request.admission(over: current)
    let key = SigningKey()
    // A token cannot outlive the grant of who makes it.
    let end = min(
      nowMilliseconds + request.lifetimeMilliseconds, choice.notAfter?.milliseconds ?? .max)
    var builder = try ChangesetBuilder(
      clusterSet: genesis.id, under: choice.grant, signer: signer, snapshot: snapshot,
      nowMilliseconds: nowMilliseconds)
    changeset = try builder.changeset(
      writes: admission == current ? [] : [RegisterWrite(path: path, value: admission)],
      grant: Grant(
        subject: key.publicKey, capabilities: [.enrol(request.cluster)], notAfterMilliseconds: end),
      message: "join token for cluster \(request.cluster)", after: snapshot)
    notAfter = APITime(milliseconds: end)
    token = JoinToken(
      genesis: genesis, cluster: request.cluster, seeds: request.seeds, privateKey: key.seed,
      grant: changeset.id, chain: chain + [changeset])
  }
}
