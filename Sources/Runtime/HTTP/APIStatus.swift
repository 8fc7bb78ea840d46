public import Base
public import Replication

/// `GET /v1/status`: one peer as it sees itself.
public struct APIStatus: Codable, Hashable, Sendable {
  public enum Phase: String, Codable, Sendable {
    case starting
    /// Has no ClusterSet: waits for a token.
    case unjoined
    /// Has a token, is not admitted yet.
    case joining
    case joined
    /// Its grant is void: `detail` says by which floor.
    case removed
    case stopping
  }

  public var phase: Phase
  /// A sentence about the phase.
  public var detail: String
  public var version: String
  public var clusterSet: APIClusterSetName?
  public var cluster: String
  public var node: NodeID
  public var key: PublicKey
  /// `host:port` under which other peers reach this one.
  public var addresses: [String]
  public var startedAt: APITime
  public var uptimeMilliseconds: UInt64
  public var clusters: APIClusterCounts
  public var slices: Int
  public var services: Int
  public var tunnels: APITunnelCounts
  public var conflicts: Int
  /// Changesets that wait for their grant chain.
  public var pending: Int
  /// Changesets that are ahead of the local clock.
  public var held: Int
  /// Refused since the start.
  public var rejected: UInt64
  public var scopes: [APIScopeState]
  public var storage: APIHealthItem
  public var clock: APIHealthItem
  /// What a person should look at, the worst first.
  public var warnings: [APIWarning]

  public init(
    phase: Phase, detail: String, version: String, clusterSet: APIClusterSetName?, cluster: String,
    node: NodeID, key: PublicKey, addresses: [String], startedAt: APITime,
    uptimeMilliseconds: UInt64, clusters: APIClusterCounts = .init(), slices: Int = 0,
    services: Int = 0, tunnels: APITunnelCounts = .init(), conflicts: Int = 0, pending: Int = 0,
    held: Int = 0, rejected: UInt64 = 0, scopes: [APIScopeState] = [],
    storage: APIHealthItem = .init(ok: true), clock: APIHealthItem = .init(ok: true),
    warnings: [APIWarning] = []
  ) {
    self.phase = phase
    self.detail = detail
    self.version = version
    self.clusterSet = clusterSet
    self.cluster = cluster
    self.node = node
    self.key = key
    self.addresses = addresses
    self.startedAt = startedAt
    self.uptimeMilliseconds = uptimeMilliseconds
    self.clusters = clusters
    self.slices = slices
    self.services = services
    self.tunnels = tunnels
    self.conflicts = conflicts
    self.pending = pending
    self.held = held
    self.rejected = rejected
    self.scopes = scopes
    self.storage = storage
    self.clock = clock
    self.warnings = warnings
  }
}

public struct APIClusterSetName: Codable, Hashable, Sendable {
  public var id: Digest
  public var name: String

  public init(id: Digest, name: String) {
    self.id = id
    self.name = name
  }
}

/// Clusters by the best state of their peers.
public struct APIClusterCounts: Codable, Hashable, Sendable {
  public var admitted: Int
  public var alive: Int
  public var suspect: Int
  public var dead: Int

  public init(admitted: Int = 0, alive: Int = 0, suspect: Int = 0, dead: Int = 0) {
    self.admitted = admitted
    self.alive = alive
    self.suspect = suspect
    self.dead = dead
  }
}

public struct APITunnelCounts: Codable, Hashable, Sendable {
  public var configured: Int
  public var established: Int

  public init(configured: Int = 0, established: Int = 0) {
    self.configured = configured
    self.established = established
  }
}

public struct APIScopeState: Codable, Hashable, Sendable {
  public var scope: Scope
  /// Changesets of the compared set.
  public var changesets: Int
  /// 32 hexadecimal digits: equal on peers that hold the same.
  public var digest: String
  /// Whether an exchange with another peer ended with equal digests since the last change.
  public var synced: Bool

  public init(scope: Scope, changesets: Int, digest: String, synced: Bool) {
    self.scope = scope
    self.changesets = changesets
    self.digest = digest
    self.synced = synced
  }
}

public struct APIHealthItem: Codable, Hashable, Sendable {
  public var ok: Bool
  public var detail: String

  public init(ok: Bool, detail: String = "") {
    self.ok = ok
    self.detail = detail
  }
}

public struct APIWarning: Codable, Hashable, Sendable {
  public var title: String
  public var detail: String
  public var fix: String

  public init(title: String, detail: String, fix: String) {
    self.title = title
    self.detail = detail
    self.fix = fix
  }
}

/// `GET /readyz`.
public struct APIReadiness: Codable, Hashable, Sendable {
  public var joined: APIHealthItem
  public var storage: APIHealthItem
  public var synced: APIHealthItem

  public var isReady: Bool { joined.ok && storage.ok && synced.ok }

  public init(joined: APIHealthItem, storage: APIHealthItem, synced: APIHealthItem) {
    self.joined = joined
    self.storage = storage
    self.synced = synced
  }
}

/// `GET /v1/genesis`.
public struct APIGenesis: Codable, Hashable, Sendable {
  public var id: Digest
  public var name: String
  /// The root in force, after root changes.
  public var rootKeys: [PublicKey]
  public var rootThreshold: Int
  /// The ID of the root version in force: the genesis' own, or that of a root change.
  public var rootGrant: Digest
  public var zones: [String]
  public var createdAt: APITime
  /// The genesis' Protobuf bytes, hexadecimal.
  public var body: String
  /// Gossip addresses that a join token may name as seeds.
  public var seeds: [String]

  public init(
    id: Digest, name: String, rootKeys: [PublicKey], rootThreshold: Int, rootGrant: Digest,
    zones: [String], createdAt: APITime, body: String, seeds: [String]
  ) {
    self.id = id
    self.name = name
    self.rootKeys = rootKeys
    self.rootThreshold = rootThreshold
    self.rootGrant = rootGrant
    self.zones = zones
    self.createdAt = createdAt
    self.body = body
    self.seeds = seeds
  }
}

/// `POST /v1/join`.
public struct APIJoinRequest: Codable, Hashable, Sendable {
  /// `starling-token-v1:...`
  public var token: String

  public init(token: String) {
    self.token = token
  }
}

public struct APIJoinAnswer: Codable, Hashable, Sendable {
  public var clusterSet: APIClusterSetName
  public var cluster: String
  public var node: NodeID
  public var key: PublicKey
  public var phase: APIStatus.Phase

  public init(
    clusterSet: APIClusterSetName, cluster: String, node: NodeID, key: PublicKey,
    phase: APIStatus.Phase
  ) {
    self.clusterSet = clusterSet
    self.cluster = cluster
    self.node = node
    self.key = key
    self.phase = phase
  }
}
