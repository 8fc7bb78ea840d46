public import Base

/// A slice as every peer that holds the same registers sees it: what is in force, and what is wrong.
public struct SliceView: Hashable, Sendable {
  public var name: String
  /// `nil` while no valid `slice/<s>` register was ever seen: then nothing is acted on.
  public var network: SliceNetwork?
  public var isolation = SliceIsolation()
  public var rotation = SliceRotation()
  public var qos = SliceQoS()
  public var dns = SliceDNS()
  public var placement = SlicePlacement()
  /// Ascending by cluster.
  public var members: [MemberView] = []
  /// Pairs of active members that have a tunnel, ascending.
  public var links: [ClusterPair] = []
  /// Pairs of active members that have one through a common neighbour only, ascending.
  public var relayed: [ClusterPair] = []
  /// Put together from the exports of active members, ascending.
  public var services: [ServiceImport] = []
  /// Extra names with the service that has each, ascending by name.
  public var aliases: [ServiceAlias] = []
  /// Ascending by path, then reason.
  public var problems: [ViewProblem] = []

  public init(name: String, network: SliceNetwork? = nil) {
    self.name = name
    self.network = network
  }

  public func member(_ cluster: String) -> MemberView? {
    members.first { $0.cluster == cluster }
  }

  /// Exports of active members, ascending by service, then age.
  public var exports: [ServiceExport] { services.flatMap(\.exports) }

  public func service(_ name: ServiceName) -> ServiceImport? {
    let index = place(of: name)
    return index < services.count && services[index].service == name ? services[index] : nil
  }

  /// Where a service stands among the services, or would.
  func place(of name: ServiceName) -> Int {
    var low = 0
    var high = services.count
    while low < high {
      let middle = (low + high) / 2
      if services[middle].service < name { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// Active members that `cluster` has a tunnel to, ascending.
  public func neighbours(of cluster: String) -> [MemberView] {
    let others = Set(links.compactMap { $0.other(than: cluster) })
    return members.filter { others.contains($0.cluster) }
  }

  /// Active members that `cluster` has a tunnel to through a common neighbour only, ascending.
  public func relayedNeighbours(of cluster: String) -> [MemberView] {
    let others = Set(relayed.compactMap { $0.other(than: cluster) })
    return members.filter { others.contains($0.cluster) }
  }

  /// Whether `cluster` takes part and nothing holds it.
  public func isActive(_ cluster: String) -> Bool {
    network != nil && member(cluster)?.isActive == true
  }
}

/// A member of a slice, resolved.
public struct MemberView: Hashable, Sendable {
  public var cluster: String
  /// Those in force: consented, and held by no other slice of the cluster. Ascending; or
  /// `SliceMember.everyNamespace` alone, see `includes`.
  public var namespaces: [String]
  /// Which other slices of the cluster name: not in this one, whatever `namespaces` says.
  public var namespacesElsewhere: Set<String> = []
  public var gatewaySettings: MemberGateway
  public var blockIndex: Int?
  /// `nil` with overlay `none` and where the index does not exist.
  public var block: IPPrefix?
  /// What the cluster's gateways have published, ascending by replica; empty until they have.
  public var gateways: [GatewayRecord]
  /// `false`: held, see the slice's problems. Its traffic does not flow.
  public var isActive: Bool

  public init(
    cluster: String, namespaces: [String] = [], gatewaySettings: MemberGateway = MemberGateway(),
    blockIndex: Int? = nil, block: IPPrefix? = nil, gateways: [GatewayRecord] = [],
    isActive: Bool = true
  ) {
    self.cluster = cluster
    self.namespaces = namespaces
    self.gatewaySettings = gatewaySettings
    self.blockIndex = blockIndex
    self.block = block
    self.gateways = gateways
    self.isActive = isActive
  }

  /// Whether a namespace of the cluster takes part, as far as the signed state has it.
  public func includes(namespace: String) -> Bool {
    if namespaces.contains(namespace) { return true }
    return namespaces == [SliceMember.everyNamespace] && !namespacesElsewhere.contains(namespace)
      && !NameRules.isSystemNamespace(namespace)
  }

  /// The first gateway that has published where it is.
  public var gateway: GatewayRecord? { gateways.first }
}

/// Something in the converged state that is not acted on, and why.
public struct ViewProblem: Hashable, Comparable, Sendable, CustomStringConvertible {
  public enum Reason: String, Hashable, Sendable {
    /// The section is not valid; the last valid one stays in force.
    case invalidSection = "InvalidSection"
    /// Two users of one address range; the member is held and never renumbered by itself.
    case addressConflict = "AddressConflict"
    /// The namespace belongs to another slice of that cluster.
    case namespaceConflict = "NamespaceConflict"
    /// The cluster keeps the namespace to itself.
    case notConsented = "NotConsented"
    /// The member is no admitted cluster.
    case notAdmitted = "NotAdmitted"
    /// The topology names a cluster that is no member.
    case invalidLink = "InvalidLink"
    /// The endpoint is not in the block of its cluster, or has another's address.
    case invalidEndpoint = "InvalidEndpoint"
    /// Two services claim one alias; the older export has it.
    case aliasConflict = "AliasConflict"
    /// Exports of one service differ (KEP-1645); the oldest wins.
    case exportConflict = "ExportConflict"
  }

  /// The register.
  public var path: String
  public var reason: Reason
  public var message: String

  public init(path: String, reason: Reason, message: String) {
    self.path = path
    self.reason = reason
    self.message = message
  }

  public static func < (a: Self, b: Self) -> Bool {
    (a.path, a.reason.rawValue, a.message) < (b.path, b.reason.rawValue, b.message)
  }

  public var description: String { "\(path): \(reason.rawValue): \(message)" }
}
