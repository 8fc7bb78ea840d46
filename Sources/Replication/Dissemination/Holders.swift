public import Base

/// Who else holds a scope now, and how far away they are: one bit and two bytes for each member of a
/// shared roster.
public struct Holders: Sendable {
  public private(set) var roster: Roster
  public private(set) var count = 0
  /// By place: whether it holds the scope.
  private var bits: [UInt64]
  /// By place: round trips in tenths of a millisecond; 0 where they are not known.
  private var distances: [UInt16]

  public init(roster: Roster = .empty) {
    self.roster = roster
    bits = [UInt64](repeating: 0, count: (roster.count + 63) / 64)
    distances = [UInt16](repeating: 0, count: roster.count)
  }

  public init(_ peers: some Sequence<SyncPeer>) {
    let peers = Array(peers)
    self.init(roster: Roster(peers.map(\.id)))
    for peer in peers { insert(peer) }
  }

  // MARK: Asking

  public func contains(_ id: NodeID) -> Bool {
    roster.place(of: id).map(isSet) ?? false
  }

  /// `nil` where it is not known.
  public func roundTrip(_ id: NodeID) -> Duration? {
    guard let place = roster.place(of: id), isSet(place) else { return nil }
    return duration(place)
  }

  /// Anyone of them, all alike.
  public func random(using rng: inout SeededGenerator) -> NodeID? {
    guard count > 0 else { return nil }
    // Mostly nearly all of a roster hold a scope.
    for _ in 0..<8 {
      let place = Int.random(in: 0..<roster.count, using: &rng)
      if isSet(place) { return roster.ids[place] }
    }
    var skipped = Int.random(in: 0..<count, using: &rng)
    for (index, word) in bits.enumerated() {
      let here = word.nonzeroBitCount
      guard skipped >= here else { return roster.ids[64 * index + Self.bit(skipped, of: word)] }
      skipped -= here
    }
    return nil
  }

  /// In which place the n-th bit is that is set.
  private static func bit(_ n: Int, of word: UInt64) -> Int {
    var rest = word
    for _ in 0..<n { rest &= rest - 1 }
    return rest.trailingZeroBitCount
  }

  private func isSet(_ place: Int) -> Bool { bits[place >> 6] >> UInt64(place & 63) & 1 == 1 }

  private func duration(_ place: Int) -> Duration? {
    distances[place] == 0 ? nil : .microseconds(Int64(distances[place]) * 100)
  }

  // MARK: Changing

  public mutating func insert(_ peer: SyncPeer) {
    guard let place = roster.place(of: peer.id) else {
      // Rare: rosters are made of all that are admitted.
      var all = Array(self)
      all.append(peer)
      self = Holders(all)
      return
    }
    insert(at: place, peer.roundTrip)
  }

  /// The member at a place of the roster.
  public mutating func insert(at place: Int, _ roundTrip: Duration?) {
    if !isSet(place) { count += 1 }
    bits[place >> 6] |= 1 << UInt64(place & 63)
    distances[place] =
      roundTrip.map { UInt16(clamping: Swift.max($0.nanoseconds / 100_000, 1)) } ?? 0
  }

  public mutating func remove(_ id: NodeID) {
    guard let place = roster.place(of: id), isSet(place) else { return }
    bits[place >> 6] &= ~(1 << UInt64(place & 63))
    count -= 1
  }
}

/// In the order of IDs.
extension Holders: Sequence {
  public struct Iterator: IteratorProtocol {
    private let holders: Holders
    private var index = 0
    private var word: UInt64

    fileprivate init(_ holders: Holders) {
      self.holders = holders
      word = holders.bits.first ?? 0
    }

    public mutating func next() -> SyncPeer? {
      while word == 0 {
        index += 1
        guard index < holders.bits.count else { return nil }
        word = holders.bits[index]
      }
      let place = 64 * index + word.trailingZeroBitCount
      word &= word - 1
      return SyncPeer(id: holders.roster.ids[place], roundTrip: holders.duration(place))
    }
  }

  public func makeIterator() -> Iterator { Iterator(self) }

  public var underestimatedCount: Int { count }
}
