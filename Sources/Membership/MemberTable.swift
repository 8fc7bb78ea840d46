import Base

/// Everyone else, one row each: 56 bytes and two shared pointers' targets a member, plus 12 to 20
/// for the index and the ring. Slots are stable until a member is expelled.
struct MemberTable: Sendable {
  struct Row: Sendable {
    /// `nil` where the slot is free.
    var peer: AdmittedPeer?
    var record: MemberRecord?
    /// Of the last change of state.
    var since: Instant
    /// When it last spoke to us directly.
    var heard: Instant
    /// Smoothed round-trip time and its deviation in seconds (RFC 6298); 0 is "unknown".
    var smoothed: Float = 0
    var deviation: Float = 0
    /// Where its `Case` is, while it is suspect or dead.
    var caseIndex: Int32 = -1
    var coordinate: NetworkCoordinate = .origin
    var state: MemberState = .unknown
    /// Share of direct pings to it that were lost, smoothed, in 1/255.
    var loss: UInt8 = 0
  }

  private(set) var rows: [Row] = []
  private var free: [Int32] = []
  /// Open addressing over the ids' first words, which are uniform already; -1 is empty.
  private var index: [Int32] = [Int32](repeating: -1, count: 16)
  /// Slots in the order of ids: the ring that probes go around, and the order of every listing.
  private(set) var ring: [Int32] = []
  /// How many members are in each state.
  private(set) var counts = [Int](repeating: 0, count: 6)
  /// The view's digests by bucket, self included; their exclusive or is the view's digest.
  private(set) var buckets = [UInt32](repeating: 0, count: Membership.bucketCount)
  private(set) var view: UInt32 = 0

  var count: Int { ring.count }
  var presentCount: Int {
    count(.alive) + count(.degraded) + count(.suspect)
  }

  func count(_ state: MemberState) -> Int { counts[Int(state.rawValue)] }

  subscript(slot: Int32) -> Row {
    _read { yield rows[Int(slot)] }
    // State and record go through `change`, which keeps counts and digests true.
    _modify { yield &rows[Int(slot)] }
  }

  // MARK: Finding

  func slot(of id: NodeID) -> Int32? {
    var at = Int(truncatingIfNeeded: id.words.0) & (index.count - 1)
    while index[at] >= 0 {
      if rows[Int(index[at])].peer?.id == id { return index[at] }
      at = (at + 1) & (index.count - 1)
    }
    return nil
  }

  func slot(prefix: UInt64) -> Int32? {
    var at = Int(truncatingIfNeeded: prefix) & (index.count - 1)
    while index[at] >= 0 {
      if rows[Int(index[at])].peer?.id.words.0 == prefix { return index[at] }
      at = (at + 1) & (index.count - 1)
    }
    return nil
  }

  func id(_ slot: Int32) -> NodeID { rows[Int(slot)].peer?.id ?? .zero }

  /// Where `id` is in the ring, or would be.
  func ringPosition(of id: NodeID) -> Int {
    partition { $0 < id }
  }

  /// The ring's positions whose ids begin with this bucket's bits.
  func ringRange(ofBucket bucket: Int) -> Range<Int> {
    let shift = UInt64(64 - 6)
    let start = partition { Int($0.words.0 >> shift) < bucket }
    let end = partition { Int($0.words.0 >> shift) <= bucket }
    return start..<end
  }

  static func bucket(of prefix: UInt64) -> Int { Int(prefix >> 58) }

  private func partition(where isBefore: (NodeID) -> Bool) -> Int {
    var (low, high) = (0, ring.count)
    while low < high {
      let middle = (low + high) / 2
      if isBefore(id(ring[middle])) { low = middle + 1 } else { high = middle }
    }
    return low
  }

  // MARK: Changing

  /// Adds members and refreshes the addresses of those there; returns the slots that are new.
  mutating func admit(_ peers: [AdmittedPeer], except own: NodeID, now: Instant) -> [Int32] {
    var added: [Int32] = []
    // Exactly, not doubling: in a simulation of thousands the slack would be most of the memory.
    if peers.count > 16 { rows.reserveCapacity(rows.count + peers.count) }
    for peer in peers where peer.id != own {
      if let slot = slot(of: peer.id) {
        rows[Int(slot)].peer = peer
        continue
      }
      let row = Row(peer: peer, since: now, heard: Instant(nanoseconds: .min))
      let slot: Int32
      if let reused = free.popLast() {
        slot = reused
        rows[Int(slot)] = row
      } else {
        slot = Int32(rows.count)
        rows.append(row)
      }
      counts[Int(MemberState.unknown.rawValue)] += 1
      added.append(slot)
      if (rows.count + 1) * 2 > index.count { reindex(capacity: index.count * 2) }
      insertIntoIndex(slot)
    }
    if added.count == 1, let slot = added.first {
      ring.insert(slot, at: ringPosition(of: id(slot)))
    } else if !added.isEmpty {
      ring.append(contentsOf: added)
      let order = rows
      ring.sort { a, b in
        (order[Int(a)].peer?.id ?? .zero) < (order[Int(b)].peer?.id ?? .zero)
      }
    }
    return added
  }

  /// Frees a slot; its case must be closed already.
  mutating func remove(_ slot: Int32) {
    let position = ringPosition(of: id(slot))
    if position < ring.count, ring[position] == slot { ring.remove(at: position) }
    toggle(slot)
    counts[Int(self[slot].state.rawValue)] -= 1
    rows[Int(slot)] = Row(peer: nil, since: .zero, heard: .zero)
    free.append(slot)
    reindex(capacity: index.count)
  }

  /// The one way in which a member's state or record changes.
  mutating func change(_ slot: Int32, to state: MemberState, record: MemberRecord?, now: Instant) {
    toggle(slot)
    counts[Int(self[slot].state.rawValue)] -= 1
    if self[slot].state != state { rows[Int(slot)].since = now }
    rows[Int(slot)].state = state
    if let record { rows[Int(slot)].record = record }
    counts[Int(state.rawValue)] += 1
    toggle(slot)
  }

  /// Takes a member's share out of the digests, or puts it in.
  private mutating func toggle(_ slot: Int32) {
    let row = rows[Int(slot)]
    guard let record = row.record, let standing = row.state.standing else { return }
    toggle(record, standing)
  }

  mutating func toggle(_ record: MemberRecord, _ standing: Membership.SyncSummary.Standing) {
    let prefix = record.subject.words.0
    var hash = prefix &+ record.incarnation.bootEpoch &* 0x9e37_79b9_7f4a_7c15
    hash ^= UInt64(record.incarnation.counter) << 8 | UInt64(standing.rawValue)
    hash = (hash ^ (hash >> 32)) &* 0xd6e8_feb8_6659_fd93
    hash = (hash ^ (hash >> 32)) &* 0xd6e8_feb8_6659_fd93
    let short = UInt32(truncatingIfNeeded: hash >> 32)
    buckets[Self.bucket(of: prefix)] ^= short
    view ^= short
  }

  private mutating func reindex(capacity: Int) {
    index = [Int32](repeating: -1, count: capacity)
    for slot in 0..<rows.count where rows[slot].peer != nil { insertIntoIndex(Int32(slot)) }
  }

  private mutating func insertIntoIndex(_ slot: Int32) {
    var at = Int(truncatingIfNeeded: id(slot).words.0) & (index.count - 1)
    while index[at] >= 0 {
      if index[at] == slot { return }
      at = (at + 1) & (index.count - 1)
    }
    index[at] = slot
  }
}

extension MemberState {
  /// What a view's digest says of it: a suspicion is a matter of seconds and not part of it.
  var standing: Membership.SyncSummary.Standing? {
    switch self {
    case .unknown: nil
    case .alive, .degraded, .suspect: .alive
    case .left: .left
    case .dead: .dead
    }
  }
}

extension MemberTable {
  /// A random member that satisfies `condition`, or `nil`; looks at random places first and then,
  /// where such members are rare, walks the ring.
  func random(
    using rng: inout SeededGenerator, where condition: (borrowing Row) -> Bool
  ) -> Int32? {
    guard !ring.isEmpty else { return nil }
    for _ in 0..<8 {
      let slot = ring[Int.random(in: 0..<ring.count, using: &rng)]
      if condition(rows[Int(slot)]) { return slot }
    }
    let start = Int.random(in: 0..<ring.count, using: &rng)
    for step in 0..<ring.count {
      let slot = ring[(start + step) % ring.count]
      if condition(rows[Int(slot)]) { return slot }
    }
    return nil
  }

  /// Up to `count` distinct random present members; suspects only where `suspects` is set.
  func sample(
    _ count: Int, except: Int32? = nil, suspects: Bool = false, using rng: inout SeededGenerator
  ) -> [Int32] {
    var out: [Int32] = []
    out.reserveCapacity(count)
    for _ in 0..<count {
      let slot = random(using: &rng) { row in
        row.state.isPresent && (suspects || row.state != .suspect)
      }
      guard let slot else { break }
      if slot != except, !out.contains(slot) { out.append(slot) }
    }
    // Collisions are likely among few members: fill up from a random place on.
    if out.count < count, !ring.isEmpty {
      let start = Int.random(in: 0..<ring.count, using: &rng)
      for step in 0..<min(ring.count, 4 * count) where out.count < count {
        let slot = ring[(start + step) % ring.count]
        let state = rows[Int(slot)].state
        let fits = state.isPresent && (suspects || state != .suspect)
        if fits, slot != except, !out.contains(slot) { out.append(slot) }
      }
    }
    return out
  }
}
