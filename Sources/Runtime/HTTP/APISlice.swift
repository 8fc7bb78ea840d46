public import Base

/// One slice of `GET /v1/slices`, ascending by name.
public struct APISlice: Codable, Hashable, Sendable {
  public enum State: String, Codable, Sendable {
    case active
    /// Valid, and this cluster takes no part in it.
    case notMember
    /// Held because of `problems`; the last valid sections stay in force where there are any.
    case invalid
    case addressConflict
  }

  public var name: String
  public var state: State
  public var detail: String
  /// Written as in a manifest's `spec`, from the registers' effective values.
  public var spec: Value
  public var members: [APISliceMember]
  public var problems: [APISliceProblem]
  public var services: Int
  /// Paths of registers with siblings.
  public var conflicts: [String]
  public var changedAt: APITime?
  public var changedBy: PublicKey?
  /// The changeset that the youngest effective write belongs to.
  public var changeset: Digest?

  public init(
    name: String, state: State, detail: String = "", spec: Value, members: [APISliceMember] = [],
    problems: [APISliceProblem] = [], services: Int = 0, conflicts: [String] = [],
    changedAt: APITime? = nil, changedBy: PublicKey? = nil, changeset: Digest? = nil
  ) {
    self.name = name
    self.state = state
    self.detail = detail
    self.spec = spec
    self.members = members
    self.problems = problems
    self.services = services
    self.conflicts = conflicts
    self.changedAt = changedAt
    self.changedBy = changedBy
    self.changeset = changeset
  }
}

public struct APISliceMember: Codable, Hashable, Sendable {
  public enum State: String, Codable, Sendable {
    case active
    case unreachable
    case addressConflict
    /// Named in the slice, not admitted to the ClusterSet (yet, or any more).
    case notAdmitted
    case draining
    case invalid
  }

  public var cluster: String
  public var block: Int?
  /// The block's prefix, `10.11.16.0/20`.
  public var blockCIDR: String?
  public var namespaces: [String]
  /// Published tunnel endpoints, `ip:port`.
  public var endpoints: [String]
  public var state: State
  public var detail: String

  public init(
    cluster: String, block: Int? = nil, blockCIDR: String? = nil, namespaces: [String] = [],
    endpoints: [String] = [], state: State, detail: String = ""
  ) {
    self.cluster = cluster
    self.block = block
    self.blockCIDR = blockCIDR
    self.namespaces = namespaces
    self.endpoints = endpoints
    self.state = state
    self.detail = detail
  }
}

/// Why a section is not acted on.
public struct APISliceProblem: Codable, Hashable, Sendable {
  /// The register.
  public var path: String
  /// The field inside it, `spec.qos.priority`.
  public var field: String
  public var message: String
  public var allowed: String

  public init(path: String, field: String, message: String, allowed: String) {
    self.path = path
    self.field = field
    self.message = message
    self.allowed = allowed
  }
}

/// One service of `GET /v1/services`, ascending by slice, namespace, name.
public struct APIService: Codable, Hashable, Sendable {
  public var slice: String
  public var namespace: String
  public var name: String
  /// `ClusterSetIP` or `Headless`.
  public var type: String
  public var ports: [APIServicePort]
  /// Names that answer, the shortest first, without a final dot.
  public var names: [String]
  /// What those names answer here at present.
  public var answers: [String]
  public var exporters: [APIExporter]
  /// As the MCS API names them.
  public var conditions: [APICondition]

  public init(
    slice: String, namespace: String, name: String, type: String, ports: [APIServicePort] = [],
    names: [String] = [], answers: [String] = [], exporters: [APIExporter] = [],
    conditions: [APICondition] = []
  ) {
    self.slice = slice
    self.namespace = namespace
    self.name = name
    self.type = type
    self.ports = ports
    self.names = names
    self.answers = answers
    self.exporters = exporters
    self.conditions = conditions
  }
}

public struct APIServicePort: Codable, Hashable, Sendable {
  public var name: String
  public var port: Int
  public var transport: String
  public var appProtocol: String?

  private enum CodingKeys: String, CodingKey {
    case name, port, appProtocol
    case transport = "protocol"
  }

  public init(name: String, port: Int, transport: String, appProtocol: String? = nil) {
    self.name = name
    self.port = port
    self.transport = transport
    self.appProtocol = appProtocol
  }
}

public struct APIExporter: Codable, Hashable, Sendable {
  public var cluster: String
  public var isLocal: Bool
  /// Whether its endpoints are in the answers.
  public var reachable: Bool
  /// Its control plane is away, its tunnel still answers.
  public var stale: Bool
  public var roundTripMilliseconds: Double?
  public var createdAt: APITime?
  public var endpoints: [APIServiceEndpoint]

  public init(
    cluster: String, isLocal: Bool, reachable: Bool, stale: Bool = false,
    roundTripMilliseconds: Double? = nil, createdAt: APITime? = nil,
    endpoints: [APIServiceEndpoint] = []
  ) {
    self.cluster = cluster
    self.isLocal = isLocal
    self.reachable = reachable
    self.stale = stale
    self.roundTripMilliseconds = roundTripMilliseconds
    self.createdAt = createdAt
    self.endpoints = endpoints
  }
}

public struct APIServiceEndpoint: Codable, Hashable, Sendable {
  /// The slice address.
  public var address: String
  public var hostname: String?
  public var node: String?
  public var ready: Bool

  public init(address: String, hostname: String? = nil, node: String? = nil, ready: Bool) {
    self.address = address
    self.hostname = hostname
    self.node = node
    self.ready = ready
  }
}

public struct APICondition: Codable, Hashable, Sendable {
  public var type: String
  /// `True`, `False` or `Unknown`.
  public var status: String
  public var reason: String
  public var message: String
  public var since: APITime?

  public init(
    type: String, status: String, reason: String, message: String, since: APITime? = nil
  ) {
    self.type = type
    self.status = status
    self.reason = reason
    self.message = message
    self.since = since
  }
}
