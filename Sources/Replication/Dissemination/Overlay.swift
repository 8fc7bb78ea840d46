public import Base

/// Who sends what on to whom in a scope, chosen by each member alone.
///
/// The design page asks for "3 nearest and 5 by rendezvous hash, symmetric", which needs messages to
/// be symmetric: who chose me I cannot know. Here hashes put all members on rings, and a peer's
/// neighbours are those beside it (random H-graphs: Law and Siu, INFOCOM 2003): symmetric by
/// construction, connected by each ring alone, with a diameter of O(log n), and one member more or
/// less moves two links a ring. *World* rings run through all members, *local* ones through those
/// within `localRoundTrip` of one another.
///
/// The design's trees need to be learnt by what they save (duplicates) and mended by what they lose.
/// In the simulator, 1,000 peers of 24 regions, flooding few links does as well from the first
/// changeset on, for any author: local rings carry a changeset through a region within milliseconds,
/// and of a region's many world links some one is the direct one to any other region. A changeset
/// follows the rings in one direction, so each member is sent as many copies as it has predecessors:
/// two on local rings and, from seven members of eight, one around the world. `docs/gossip.md` has the
/// figures.
public struct Overlay: Hashable, Sendable {
  /// Changesets are pushed to them. Ascending.
  public var eager: [NodeID] = []
  /// Changesets are announced to them. Ascending.
  public var lazy: [NodeID] = []

  public static let worldRings = 3
  /// World rings on which the successor is pushed to, by seven members of eight: just below three
  /// copies for each.
  public static let eagerWorldRings = 1
  public static let localRings = 2
  /// Members nearer than this are local: within one region, or a few close ones.
  public static let localRoundTrip: Duration = .milliseconds(12)
  /// Up to here everyone sends to everyone.
  public static let meshSize = 10
  /// Up to here all members are local and all links eager: nothing is worth waiting for.
  public static let floodSize = 64

  public init() {}

  public var neighbours: [NodeID] { (eager + lazy).sorted() }

  /// The links of `local`; `peers` are the other members of the scope, each once.
  public init(of local: NodeID, in scope: Scope, among peers: some Collection<SyncPeer>) {
    self.init(of: local, in: scope, among: peers, count: peers.count)
  }

  /// - Parameter count: of `peers`.
  init(of local: NodeID, in scope: Scope, among peers: some Sequence<SyncPeer>, count: Int) {
    if count < Self.meshSize {
      eager = peers.lazy.map(\.id).filter { $0 != local }.sorted()
      return
    }
    var world = (0..<Self.worldRings).map { Beside(local, ring: $0, scope: scope) }
    var near = (0..<Self.localRings).map { Beside(local, ring: 16 + $0, scope: scope) }
    let isSmall = count < Self.floodSize
    for peer in peers where peer.id != local {
      for ring in world.indices { world[ring].consider(peer.id) }
      guard isSmall || peer.roundTrip.map({ $0 < Self.localRoundTrip }) ?? false else { continue }
      for ring in near.indices { near[ring].consider(peer.id) }
    }
    let locals = Set(near.flatMap(\.both))
    let all = locals.union(world.flatMap(\.both))
    var pushed = Set(near.flatMap(\.after))
    if isSmall || locals.count < 2 {
      // Who has nobody near, or does not know it yet, relies on the world.
      pushed = all
    } else if Place(local, Self.salt(ring: 32, scope: scope)).position % 8 != 0 {
      for beside in world.prefix(Self.eagerWorldRings) { pushed.formUnion(beside.after) }
    }
    eager = pushed.sorted()
    lazy = all.subtracting(pushed).sorted()
  }

  /// Successor and predecessor on one ring, found in one pass.
  private struct Beside {
    private let here: Place
    private let salt: UInt64
    private var next: Place?
    private var previous: Place?
    private var first: Place?
    private var last: Place?

    init(_ local: NodeID, ring: Int, scope: Scope) {
      salt = Overlay.salt(ring: ring, scope: scope)
      here = Place(local, salt)
    }

    mutating func consider(_ id: NodeID) {
      let place = Place(id, salt)
      if place > here, next.map({ place < $0 }) ?? true { next = place }
      if place < here, previous.map({ $0 < place }) ?? true { previous = place }
      if first.map({ place < $0 }) ?? true { first = place }
      if last.map({ $0 < place }) ?? true { last = place }
    }

    var after: [NodeID] { (next ?? first).map { [$0.id] } ?? [] }
    var both: [NodeID] { after + ((previous ?? last).map { [$0.id] } ?? []) }
  }

  private struct Place: Comparable {
    var position: UInt64
    var id: NodeID

    init(_ id: NodeID, _ salt: UInt64) {
      self.id = id
      position = Overlay.mix(id.words.0 ^ Overlay.mix(id.words.1 ^ salt))
    }

    static func < (a: Place, b: Place) -> Bool {
      a.position == b.position ? a.id < b.id : a.position < b.position
    }
  }

  /// FNV-1a over the scope's name: each scope has rings of its own.
  private static func salt(ring: Int, scope: Scope) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325 &+ UInt64(ring)
    for byte in scope.description.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return mix(hash)
  }

  private static func mix(_ word: UInt64) -> UInt64 {
    var z = word &+ 0x9e37_79b9_7f4a_7c15
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
