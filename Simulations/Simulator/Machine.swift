public import Base
public import Peer
internal import Replication

/// One computer: the peer that runs on it, what its disk holds, and what ails it.
public final class Machine {
  public let index: Int
  public internal(set) var configuration: PeerConfiguration
  public let id: NodeID
  /// `nil` while it is down.
  public private(set) var process: Process?
  public internal(set) var disk = Disk()
  /// Raised by every crash: what was on its way within an earlier life is dropped.
  var life: Int32 = 0
  var wakeAt = Instant.distantFuture
  /// When its packets are looked after, where messages travel as bytes.
  var pollAt = Instant.distantFuture
  /// When its peer has something to do.
  var due = Instant.distantFuture
  /// Until then it stands still; what arrives waits.
  var pausedUntil = Instant.zero
  /// What its wall clock is ahead of true time, and how fast it drifts.
  public var clockOffset: Duration = .zero
  public var clockDrift = 0.0
  /// A machine that does not run the peer but an adversary's program: what arrives is handed to it.
  public var program: ((Simulation, NodeID, [PeerMessage]) -> Void)?

  /// What becomes of what its peer says: the peer of a liar runs as all do, and others hear something else.
  /// `nil`: nothing is said.
  public var tamper: ((PeerMessage) -> PeerMessage?)?

  public internal(set) var traffic = Traffic()
  /// When it was started last.
  public internal(set) var started = Instant.zero

  init(index: Int, configuration: PeerConfiguration, id: NodeID) {
    self.index = index
    self.configuration = configuration
    self.id = id
  }

  public var isUp: Bool { process != nil }
  /// Some time.
  var hasStarted: Bool { isUp || started > .zero }
  /// A copy; to look at one thing of many machines, look into `process`.
  public var peer: Peer? { process?.peer }

  func start(_ peer: Peer) { process = Process(peer) }
  func stop() { process = nil }

  /// A box, so that a running peer is never copied: it has hundreds of fields.
  public final class Process {
    public internal(set) var peer: Peer

    init(_ peer: Peer) { self.peer = peer }

    /// In place: reading a property of the box would copy the whole peer first.
    func look<T>(_ body: (borrowing Peer) -> T) -> T {
      withUnsafeMutablePointer(to: &peer) { body($0.pointee) }
    }
  }
}

/// What a machine has sent, headers of IP, transport and sealing included.
public struct Traffic: Sendable {
  public var datagrams = 0
  public var datagramBytes = 0
  public var frames = 0
  public var streamBytes = 0

  public var bytes: Int { datagramBytes + streamBytes }

  /// IPv4 and UDP, and the sealed datagram's header and tag.
  public static let datagramOverhead = 28 + 41
  /// TCP/IP with timestamps, TLS record, length; a frame is mostly a packet of its own, with its
  /// acknowledgement.
  public static let frameOverhead = 52 + 22 + 4 + 52
}

/// The store: what is durable, and what is on its way there.
public struct Disk: Sendable {
  /// What many disks began with, shared by them; `contents` overrides it.
  var common: [Digest: Changeset] = [:]
  /// Written since; `nil` where it was forgotten.
  private var written: [Digest: Changeset?] = [:]
  /// Written and not synced: a crash keeps any part of it.
  var unsynced: [(number: UInt64, changesets: [Changeset], forgotten: [Digest])] = []
  public internal(set) var bootEpoch: UInt64 = 0
  /// Nothing more can be written.
  public var isFull = false

  public init() {}

  mutating func apply(_ changesets: [Changeset], _ forgotten: [Digest]) {
    for changeset in changesets { written[changeset.id] = .some(changeset) }
    for id in forgotten { written[id] = .some(nil) }
  }

  public func contains(_ id: Digest) -> Bool {
    written[id].map { $0 != nil } ?? (common[id] != nil)
  }

  /// On it, or on its way there.
  func keeps(_ id: Digest) -> Bool {
    contains(id) || unsynced.contains { $0.changesets.contains { $0.id == id } }
  }

  /// In the order of IDs: a dictionary's order must not reach the run.
  var sorted: [Changeset] {
    let kept = common.lazy.filter { written[$0.key] == nil }.map(\.value)
    return (Array(kept) + written.values.compactMap { $0 }).sorted { $0.id < $1.id }
  }
}
