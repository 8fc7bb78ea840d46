public import Base

/// A changeset as it lies in the store: bytes that `ChangesetCodec` reads.
public struct StoredChangeset: Hashable, Sendable {
  public var id: Digest
  /// `Scope.description`.
  public var scope: String
  /// The signed body, verbatim.
  public var body: [UInt8]
  /// Of `ChangesetCodec.encodeEndorsements`.
  public var endorsements: [UInt8]
  /// Wall clock of this peer when it took the changeset.
  public var ingestedMilliseconds: UInt64

  public init(
    id: Digest, scope: String, body: [UInt8], endorsements: [UInt8], ingestedMilliseconds: UInt64
  ) {
    self.id = id
    self.scope = scope
    self.body = body
    self.endorsements = endorsements
    self.ingestedMilliseconds = ingestedMilliseconds
  }
}

/// What one transaction does, in this order.
public struct StoreChanges: Sendable {
  /// New changesets, or known ones with other endorsements. Their signatures were verified: each row
  /// gets a mark that says so.
  public var put: [StoredChangeset] = []
  public var delete: [Digest] = []
  /// `nil` removes the entry.
  public var meta: [(key: String, value: [UInt8]?)] = []

  public init(
    put: [StoredChangeset] = [], delete: [Digest] = [],
    meta: [(key: String, value: [UInt8]?)] = []
  ) {
    self.put = put
    self.delete = delete
    self.meta = meta
  }

  public var isEmpty: Bool { put.isEmpty && delete.isEmpty && meta.isEmpty }
}

/// What a store held when it was read.
public struct LoadReport: Sendable {
  public var loaded = 0
  /// Rows without a true mark: changed behind the store's back, damaged, or brought by a backup of
  /// another peer. They were not handed out with the others: take them only as if a stranger had sent
  /// them (verifying the signature), then `put` or `delete` them.
  public var unverified: [StoredChangeset] = []
  /// Rows that are not even changesets; deleted.
  public var unreadable = 0
  /// What the file lost: pages could not be read, so the readable rows were moved to a new file.
  public var salvage: String?

  public init() {}
}

/// Something that was refused, for `starling log --rejected`.
public struct Rejection: Hashable, Sendable {
  public var timeMilliseconds: UInt64
  /// A sentence, or the part after "because".
  public var reason: String
  /// A peer's NodeID, a socket address, "api".
  public var source: String
  public var author: PublicKey?
  public var id: Digest?
  /// The first bytes of what was refused.
  public var head: [UInt8]

  public static let maximumHead = 64
  public static let maximumReason = 512

  public init(
    timeMilliseconds: UInt64, reason: String, source: String, author: PublicKey? = nil,
    id: Digest? = nil, head: [UInt8] = []
  ) {
    self.timeMilliseconds = timeMilliseconds
    self.reason = String(reason.prefix(Self.maximumReason))
    self.source = String(source.prefix(128))
    self.author = author
    self.id = id
    self.head = Array(head.prefix(Self.maximumHead))
  }
}

/// Why the store did not do it. After `diskFull` nothing of the transaction is there, all else is, and
/// the next write is tried as ever.
public enum StorageError: Error, Hashable, Sendable, CustomStringConvertible {
  case diskFull
  /// Another daemon has the directory open.
  case inUse(directory: String, process: String)
  case unusable(path: String, reason: String)
  /// Not readable any more.
  case damaged(path: String, reason: String)
  /// Written by a later release.
  case tooNew(path: String, version: Int)
  case notAStore(path: String)
  /// More is waiting for the disk than is kept in memory.
  case overloaded
  case closed
  case failed(String)

  public var description: String {
    switch self {
    case .diskFull:
      "the disk is full: changes are refused until there is space"
    case .inUse(let directory, let process):
      "\(directory): another daemon uses this data directory (process \(process))"
    case .unusable(let path, let reason):
      "\(path): cannot use it: \(reason)"
    case .damaged(let path, let reason):
      "\(path): the store is damaged: \(reason)"
    case .tooNew(let path, let version):
      "\(path): the store has format \(version), written by a later release"
    case .notAStore(let path):
      "\(path): this is not a Starling store"
    case .overloaded:
      "too many changes wait for the disk"
    case .closed:
      "the store is closed"
    case .failed(let reason):
      "the store failed: \(reason)"
    }
  }
}
