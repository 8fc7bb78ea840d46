import Base

/// Everyone else, one row of 48 bytes each, in the order of IDs: a slot is a place in the roster, which
/// may be shared by many tables, so it holds until somebody is admitted or expelled.
struct MemberTable: Sendable {
  struct Row: Sendable {
    var record: MemberRecord?
    /// Of the last change of state.
    var since: Instant
    /// When it last spoke to us directly.
    var heard = Instant(nanoseconds: .min)
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

  private(set) var admission = Admission.empty
  /// By slot; this peer has one that nothing is made of.
  private(set) var rows: [Row] = []
  /// This peer's slot, -1 where it is not admitted.
  private var own: Int32 = -1
  /// How many members are in each state.
  private(set) var counts = [Int](repeating: 0, count: 6)
  /// The view's digests by bucket, self included; their exclusive or is the view's digest.
  private(set) var buckets = [UInt32](repeating: 0, count: Membership.bucketCount)
  private(set) var view: UInt32 = 0

  /// The others.
  var count: Int { rows.count - (own < 0 ? 0 : 1) }
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

  /// Slots of the others in the order of ids: the ring that probes go around, and the order of every
  /// listing.
  struct Ring: RandomAccessCollection {
    fileprivate let own: Int32
    let endIndex: Int

    var startIndex: Int { 0 }

    subscript(position: Int) -> Int32 {
      let slot = Int32(truncatingIfNeeded: position)
      return own >= 0 && slot >= own ? slot + 1 : slot
    }
  }

  var ring: Ring { Ring(own: own, endIndex: count) }

  func slot(of id: NodeID) -> Int32? {
    guard let place = admission.roster.place(of: id), place != Int(own) else { return nil }
    return Int32(place)
  }

  func slot(prefix: UInt64) -> Int32? {
    guard let place = admission.roster.place(prefix: prefix), place != Int(own) else { return nil }
    return Int32(place)
  }

  func id(_ slot: Int32) -> NodeID { admission.roster.ids[Int(slot)] }

  func peer(_ slot: Int32) -> AdmittedPeer { admission.values[Int(slot)] }

  /// Where `id` is in the ring, or would be.
  func ringPosition(of id: NodeID) -> Int {
    let place = admission.roster.insertionPlace(of: id)
    return own >= 0 && place > Int(own) ? place - 1 : place
  }

  /// The slots whose ids begin with this bucket's bits, without this peer.
  func slots(inBucket bucket: Int) -> [Int32] {
    let start = admission.roster.insertionPlace(ofPrefix: UInt64(bucket) << 58)
    let end =
      bucket == Membership.bucketCount - 1
      ? rows.count : admission.roster.insertionPlace(ofPrefix: UInt64(bucket + 1) << 58)
    return (start..<end).compactMap { $0 == Int(own) ? nil : Int32($0) }
  }

  static func bucket(of prefix: UInt64) -> Int { Int(prefix >> 58) }

  // MARK: Changing

  /// Makes room for who is admitted now; who is no longer has been taken out by `remove`.
  ///
  /// Returns where each slot has moved, -1 where it is gone; `nil`: none has moved.
  mutating func adopt(_ next: Admission, own id: NodeID, now: Instant) -> [Int32]? {
    let before = admission
    admission = next
    guard next.roster.ids != before.roster.ids else { return nil }
    var moved = [Int32](repeating: -1, count: rows.count)
    var arranged = [Row](repeating: Row(since: now), count: next.count)
    var place = 0
    for slot in rows.indices {
      let id = before.roster.ids[slot]
      while place < next.count, next.roster.ids[place] < id { place += 1 }
      guard place < next.count, next.roster.ids[place] == id else { continue }
      arranged[place] = rows[slot]
      moved[slot] = Int32(place)
    }
    rows = arranged
    own = next.roster.place(of: id).map { Int32($0) } ?? -1
    let known = counts.dropFirst().reduce(0, +)
    counts[Int(MemberState.unknown.rawValue)] = count - known
    return moved
  }

  /// Begins with what somebody else has seen; `record` is this peer's own.
  mutating func restore(_ view: MembershipView, own record: MemberRecord) {
    self = view.table
    own = admission.roster.place(of: record.subject).map { Int32($0) } ?? -1
    if own >= 0 {
      toggle(own)
      counts[Int(self[own].state.rawValue)] -= 1
      rows[Int(own)] = Row(since: .zero)
    }
    toggle(record, record.presence == .alive ? .alive : .left)
  }

  /// All of these alive.
  init(_ admission: Admission, records: [MemberRecord]) {
    self.admission = admission
    rows = [Row](repeating: Row(since: .zero), count: admission.count)
    counts[Int(MemberState.unknown.rawValue)] = admission.count
    for record in records where record.presence == .alive {
      guard let slot = slot(of: record.subject) else { continue }
      change(slot, to: .alive, record: record, now: .zero)
    }
  }

  init() {}

  /// Takes a member that is admitted no longer out of counts and digests; its case must be closed
  /// already.
  mutating func remove(_ slot: Int32) {
    toggle(slot)
    counts[Int(self[slot].state.rawValue)] -= 1
    rows[Int(slot)] = Row(since: .zero)
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
