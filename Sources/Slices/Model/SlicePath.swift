/// The names of the registers that the slice model uses (the table in `docs/` has the writers).
public enum SlicePath: Hashable, Sendable {
  case cluster(String)
  case clusterInfo(String)
  case slice(String)
  case section(String, Section)
  case member(slice: String, cluster: String)
  /// The first gateway's register is the cluster's own name, as in releases that knew one only.
  case gateway(slice: String, cluster: String, replica: String = GatewayRecord.first)
  case export(slice: String, cluster: String, service: ServiceName)
  case exportShard(slice: String, cluster: String, service: ServiceName, shard: Int)

  public enum Section: String, CaseIterable, Hashable, Sendable {
    case qos, rotation, isolation, dns, placement
  }

  /// `nil` where it is no register of this model.
  public init?(_ path: String) {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false).map { String($0) }
    guard parts.count >= 2, parts.allSatisfy({ NameRules.isLabel($0) }) else { return nil }
    switch (parts[0], parts.count) {
    case ("cluster", 2): self = .cluster(parts[1])
    case ("cluster", 3) where parts[2] == "info": self = .clusterInfo(parts[1])
    case ("slice", 2): self = .slice(parts[1])
    case ("slice", 3):
      guard let section = Section(rawValue: parts[2]) else { return nil }
      self = .section(parts[1], section)
    case ("slice", 4) where parts[2] == "member":
      self = .member(slice: parts[1], cluster: parts[3])
    case ("slice", 4) where parts[2] == "gateway":
      self = .gateway(slice: parts[1], cluster: parts[3])
    case ("slice", 5) where parts[2] == "gateway":
      // One gateway, one register.
      guard parts[4] != GatewayRecord.first else { return nil }
      self = .gateway(slice: parts[1], cluster: parts[3], replica: parts[4])
    case ("slice", 6) where parts[2] == "export":
      self = .export(
        slice: parts[1], cluster: parts[3],
        service: ServiceName(namespace: parts[4], name: parts[5]))
    case ("slice", 7) where parts[2] == "export":
      guard let shard = Int(parts[6]), String(shard) == parts[6] else { return nil }
      self = .exportShard(
        slice: parts[1], cluster: parts[3],
        service: ServiceName(namespace: parts[4], name: parts[5]), shard: shard)
    default: return nil
    }
  }

  public var text: String {
    switch self {
    case .cluster(let cluster): "cluster/\(cluster)"
    case .clusterInfo(let cluster): "cluster/\(cluster)/info"
    case .slice(let slice): "slice/\(slice)"
    case .section(let slice, let section): "slice/\(slice)/\(section.rawValue)"
    case .member(let slice, let cluster): "slice/\(slice)/member/\(cluster)"
    case .gateway(let slice, let cluster, let replica):
      "slice/\(slice)/gateway/\(cluster)" + (replica == GatewayRecord.first ? "" : "/\(replica)")
    case .export(let slice, let cluster, let service):
      "slice/\(slice)/export/\(cluster)/\(service)"
    case .exportShard(let slice, let cluster, let service, let shard):
      "slice/\(slice)/export/\(cluster)/\(service)/\(shard)"
    }
  }

  /// The slice that it belongs to, `nil` for registers of clusters.
  public var slice: String? {
    switch self {
    case .cluster, .clusterInfo: nil
    case .slice(let slice), .section(let slice, _), .member(let slice, _),
      .gateway(let slice, _, _), .export(let slice, _, _), .exportShard(let slice, _, _, _):
      slice
    }
  }
}

/// A service within a slice: the same name is the same service in every cluster (KEP-1645,
/// namespace sameness).
public struct ServiceName: Hashable, Comparable, Sendable, CustomStringConvertible {
  public var namespace: String
  public var name: String

  public init(namespace: String, name: String) {
    self.namespace = namespace
    self.name = name
  }

  public static func < (a: Self, b: Self) -> Bool {
    a.namespace == b.namespace ? a.name < b.name : a.namespace < b.namespace
  }

  /// `namespace/name`.
  public var description: String { "\(namespace)/\(name)" }
}
