public import Base

/// The first grant of a ClusterSet: everything else hangs under it. Its identity (the SHA-256 of its
/// bytes) is the ClusterSet ID and the ID of root version 1.
public struct Genesis: Hashable, Sendable {
  /// SHA-256 of `bytes`.
  public var id: Digest
  /// The Protobuf bytes as they were made.
  public var bytes: [UInt8]
  public var name: String
  public var root: RootKeys
  /// DNS zones of slice names, `slice.local` unless said otherwise.
  public var zones: [String]
  public var createdMilliseconds: UInt64

  public init(
    id: Digest, bytes: [UInt8], name: String, root: RootKeys, zones: [String],
    createdMilliseconds: UInt64
  ) {
    self.id = id
    self.bytes = bytes
    self.name = name
    self.root = root
    self.zones = zones
    self.createdMilliseconds = createdMilliseconds
  }
}

/// k of n keys that speak as the root.
public struct RootKeys: Hashable, Sendable {
  /// Ascending, each once.
  public var keys: [PublicKey]
  /// 1...keys.count.
  public var threshold: Int

  public init(keys: [PublicKey], threshold: Int) {
    self.keys = keys
    self.threshold = threshold
  }
}

/// Sets or deletes one register.
public struct Write: Hashable, Sendable {
  /// `slice/blue/member/eu-1`.
  public var path: String
  /// `nil` deletes.
  public var value: Value?
  /// The dot is (author of the changeset, counter): one more than `context` has for that author.
  public var counter: UInt64
  /// The dots that the author had seen, cumulative (their contexts included).
  public var context: VersionVector

  public init(path: String, value: Value?, counter: UInt64, context: VersionVector) {
    self.path = path
    self.value = value
    self.counter = counter
    self.context = context
  }
}

/// Gives a key capabilities. Its ID is that of the changeset that carries it.
public struct Grant: Hashable, Sendable {
  public var subject: PublicKey
  /// Ascending, each once.
  public var capabilities: [Capability]
  /// Compared with the HLC of changesets under it; `nil`: no end.
  public var notAfterMilliseconds: UInt64?
  /// How many more links may hang under this one, 0...3.
  public var delegationDepth: Int
  /// What the subject may hold and send; `nil`: the defaults.
  public var quota: Quota?

  public init(
    subject: PublicKey, capabilities: [Capability], notAfterMilliseconds: UInt64? = nil,
    delegationDepth: Int = 0, quota: Quota? = nil
  ) {
    self.subject = subject
    self.capabilities = capabilities
    self.notAfterMilliseconds = notAfterMilliseconds
    self.delegationDepth = delegationDepth
    self.quota = quota
  }
}

public struct Quota: Hashable, Sendable {
  public var registers: Int
  public var bytes: Int
  public var changesetsPerMinute: Int

  public init(registers: Int, bytes: Int, changesetsPerMinute: Int) {
    self.registers = registers
    self.bytes = bytes
    self.changesetsPerMinute = changesetsPerMinute
  }
}

/// Voids what is under a grant and older than `time`, except what it keeps.
public struct Floor: Hashable, Sendable {
  public var grant: Digest
  public var time: HybridTime
  /// Changesets that stay, ascending, each once.
  public var keep: [Digest]

  public init(grant: Digest, time: HybridTime, keep: [Digest]) {
    self.grant = grant
    self.time = time
    self.keep = keep
  }
}

/// The next root version: signed by the thresholds of the old set and of this one.
public struct RootChange: Hashable, Sendable {
  public var root: RootKeys
  /// What stays of all under the old version, ascending, each once.
  public var keep: [Digest]

  public init(root: RootKeys, keep: [Digest]) {
    self.root = root
    self.keep = keep
  }
}

public struct Endorsement: Hashable, Sendable {
  public var key: PublicKey
  public var signature: Signature

  public init(key: PublicKey, signature: Signature) {
    self.key = key
    self.signature = signature
  }
}

/// The unit that is signed, sent, stored and applied, atomically.
public struct Changeset: Hashable, Sendable, Identifiable {
  /// SHA-256 of `signedBytes`; leaves the signatures out.
  public var id: Digest
  /// The Protobuf bytes of the body exactly as they were signed; relayed verbatim.
  public var body: [UInt8]
  /// One, by the author; under a root with a threshold, several.
  public var endorsements: [Endorsement]

  // What `body` says:
  public var formatVersion: Int
  public var clusterSet: Digest
  public var scope: Scope
  /// The grant it acts under: a changeset's ID, a root change's ID or the genesis'.
  public var under: Digest
  public var author: PublicKey
  public var time: HybridTime
  public var writes: [Write]
  public var grant: Grant?
  public var floors: [Floor]
  public var rootChange: RootChange?
  /// Why, in the author's words: shown by `starling log`.
  public var message: String

  public init(
    id: Digest, body: [UInt8], endorsements: [Endorsement], formatVersion: Int = 1,
    clusterSet: Digest, scope: Scope = .clusterset, under: Digest, author: PublicKey,
    time: HybridTime, writes: [Write] = [], grant: Grant? = nil, floors: [Floor] = [],
    rootChange: RootChange? = nil, message: String = ""
  ) {
    self.id = id
    self.body = body
    self.endorsements = endorsements
    self.formatVersion = formatVersion
    self.clusterSet = clusterSet
    self.scope = scope
    self.under = under
    self.author = author
    self.time = time
    self.writes = writes
    self.grant = grant
    self.floors = floors
    self.rootChange = rootChange
    self.message = message
  }

  public static func == (a: Changeset, b: Changeset) -> Bool { a.id == b.id }

  public func hash(into hasher: inout Hasher) { hasher.combine(id) }

  /// Domain separation: what is hashed and signed is this followed by the body.
  public static let signingPrefix: [UInt8] = Array("starling/changeset/v1\0".utf8)

  public var signedBytes: [UInt8] { Self.signingPrefix + body }

  public static let maximumBytes = 65_536
  public static let maximumWrites = 256
}
