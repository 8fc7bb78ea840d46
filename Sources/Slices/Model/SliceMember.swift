internal import Base

/// How a cluster's gateways are reached.
public struct MemberGateway: Hashable, Sendable {
  public enum Exposure: String, CaseIterable, Hashable, Sendable {
    /// A port of the nodes. The default.
    case nodePort = "NodePort"
    case loadBalancer = "LoadBalancer"
    case hostNetwork = "HostNetwork"
    /// No path of its own: through a common member.
    case relay = "Relay"
  }

  public var type: Exposure
  /// 1...8, default 2.
  public var replicas: Int

  public static let replicaRange = 1...8
  public static let defaultReplicas = 2

  public init(type: Exposure = .nodePort, replicas: Int = defaultReplicas) {
    self.type = type
    self.replicas = replicas
  }
}

/// The section `slice/<s>/member/<c>`.
public struct SliceMember: Hashable, Sendable {
  /// Stands in the manifest and in the register's path, not in its value.
  public var cluster: String
  /// Ascending, each once; or `everyNamespace` alone. Empty: the cluster takes part with no namespace
  /// yet.
  public var namespaces: [String]
  public var gateway: MemberGateway
  /// Index of the block. In a manifest `nil` leaves the choice to the plan.
  public var block: Int?

  public static let namespaceLimit = 256
  /// Stands for each namespace that no slice of the cluster names and that is not the cluster's own.
  public static let everyNamespace = "*"

  public init(
    cluster: String, namespaces: [String] = [], gateway: MemberGateway = MemberGateway(),
    block: Int? = nil
  ) {
    self.cluster = cluster
    self.namespaces = namespaces.sorted()
    self.gateway = gateway
    self.block = block
  }
}

extension SliceMember: SliceSection {
  init(reading reader: inout FieldReader) {
    self.init(cluster: "", reading: &reader)
  }

  init(cluster: String, reading reader: inout FieldReader) {
    self.cluster = cluster
    namespaces = reader.texts(
      "namespaces", limit: Self.namespaceLimit, allowed: NameRules.labelRule + "; or * alone"
    ) { NameRules.isLabel($0) || $0 == Self.everyNamespace ? $0 : nil }.sorted()
    if namespaces.count > 1, namespaces.contains(Self.everyNamespace) {
      reader.report("namespaces", "\"\(Self.everyNamespace)\" stands alone: it means all of them")
    }
    for namespace in namespaces where NameRules.isSystemNamespace(namespace) {
      reader.report("namespaces", "\"\(namespace)\" belongs to the cluster itself")
    }
    block = reader.integer("block", in: 0...BlockLayout.clusterRange.upperBound - 1)
    gateway = MemberGateway()
    if var gateway = reader.map("gateway") {
      self.gateway.type = gateway.choice("type", of: MemberGateway.Exposure.self) ?? .nodePort
      self.gateway.replicas =
        gateway.integer("replicas", in: MemberGateway.replicaRange)
        ?? MemberGateway.defaultReplicas
      gateway.refuseUnknownFields()
    }
  }

  func write(_ writer: inout FieldWriter) {
    writer.put("namespaces", namespaces)
    if let block { writer.put("block", .integer(Int64(block))) }
    writer.put("gateway", gateway, default: MemberGateway()) {
      ["type": .string($0.type.rawValue), "replicas": .integer(Int64($0.replicas))]
    }
  }

  /// As an item of `spec.members`.
  func manifestValue(withDefaults: Bool) -> Value {
    var writer = FieldWriter(withDefaults: withDefaults)
    writer.put("cluster", .string(cluster))
    write(&writer)
    return writer.value
  }
}
