public import Base

/// Who sends what on to whom in a scope: the nearest members, and neighbours on a few rings.
///
/// The design page asks for "5 by rendezvous hash, symmetric", which needs messages to be symmetric: who
/// chose me I cannot know. Here each of three hashes puts all members on a ring, and a peer's
/// neighbours are the two beside it (random H-graphs: Law and Siu, INFOCOM 2003). That is symmetric by
/// construction, of the same degree for all, connected by each ring alone, with a diameter of
/// O(log n), and one member more or less moves two links a ring.
public enum Overlay {
  public static let rings = 3
  public static let nearest = 3
  /// Up to here everyone sends to everyone.
  public static let meshSize = 2 * rings + nearest + 1

  /// The neighbours of `local`, ascending. `peers` are the other members of the scope.
  public static func neighbours(
    of local: NodeID, in scope: Scope, among peers: [SyncPeer]
  ) -> [NodeID] {
    let others = Set(peers.map(\.id)).subtracting([local])
    guard others.count >= meshSize else { return others.sorted() }
    var chosen = Set<NodeID>()
    for ring in 0..<rings { chosen.formUnion(beside(local, others, ring: ring, scope: scope)) }
    let near = peers.filter { peer in
      peer.roundTrip != nil && others.contains(peer.id) && !chosen.contains(peer.id)
    }
    .sorted { a, b in a.roundTrip == b.roundTrip ? a.id < b.id : a.isNearer(than: b) }
    for peer in near.prefix(nearest) { chosen.insert(peer.id) }
    return chosen.sorted()
  }

  /// Successor and predecessor on one ring.
  private static func beside(
    _ local: NodeID, _ others: Set<NodeID>, ring: Int, scope: Scope
  ) -> [NodeID] {
    let salt = salt(ring: ring, scope: scope)
    let here = Place(local, salt)
    var (next, previous, first, last): (Place?, Place?, Place?, Place?)
    for id in others {
      let place = Place(id, salt)
      if place > here, place < next ?? .end { next = place }
      if place < here, previous.map({ $0 < place }) ?? true { previous = place }
      if place < first ?? .end { first = place }
      if last.map({ $0 < place }) ?? true { last = place }
    }
    return [next ?? first, previous ?? last].compactMap { $0?.id }
  }

  private struct Place: Comparable {
    var position: UInt64
    var id: NodeID

    static let end = Place(position: .max, id: Digest(words: (.max, .max, .max, .max)))

    init(_ id: NodeID, _ salt: UInt64) {
      self.id = id
      position = Overlay.mix(id.words.0 ^ Overlay.mix(id.words.1 ^ salt))
    }

    private init(position: UInt64, id: NodeID) {
      self.position = position
      self.id = id
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

extension SyncPeer {
  fileprivate func isNearer(than other: SyncPeer) -> Bool {
    guard let mine = roundTrip, let others = other.roundTrip else { return roundTrip != nil }
    return mine < others
  }
}
