internal import Base

/// Where a floor is found: which changeset carries it, and which of its floors it is.
struct FloorReference: Hashable, Sendable {
  var carrier: Slot
  var index: Int32
}

/// Valid floors on one grant, merged for one question: does a changeset of that time live?
struct FloorSet: Sendable {
  private struct Keeper: Sendable {
    var time: HybridTime
    var keep: [Digest]
    var carrier: Digest
  }

  /// The greatest of the floors that keep nothing.
  private var bare: HybridTime = .zero
  private var bareCarrier: Digest?
  private var keepers: [Keeper] = []
  /// Who carries a floor above all time: nothing new ever lives under the grant.
  private(set) var end: Digest?

  mutating func insert(time: HybridTime, keep: [Digest], carrier: Digest) {
    if time == .max { end = end.map { min($0, carrier) } ?? carrier }
    if !keep.isEmpty {
      keepers.append(Keeper(time: time, keep: keep, carrier: carrier))
    } else if bareCarrier == nil || time > bare {
      bare = time
      bareCarrier = carrier
    }
  }

  /// The changeset whose floor voids this one, `nil` if it lives.
  func voiding(_ id: Digest, _ time: HybridTime, _ rules: CountingRules) -> Digest? {
    if let bareCarrier, Self.isAbove(bare, time, rules) { return bareCarrier }
    for floor in keepers where Self.isAbove(floor.time, time, rules) {
      if !rules.keepListsSpare || !floor.keep.containsSorted(id) { return floor.carrier }
    }
    return nil
  }

  private static func isAbove(
    _ floor: HybridTime, _ time: HybridTime, _ rules: CountingRules
  ) -> Bool {
    rules.floorsAreStrict ? time < floor : time <= floor
  }
}

/// A grant or a root version, with what hangs under it.
struct GrantNode: Sendable {
  /// What acts under a grant in one scope.
  struct Branch: Sendable {
    /// Those that count, by time.
    var alive = SortedBuckets<TimedSlot>()
    /// Floors of the grant's own subject; they bind the scope that carries them.
    var own = FloorSet()
  }

  /// Of the changeset that makes it, of the root change, or the genesis'.
  let id: Digest
  /// -1: the genesis.
  let slot: Slot
  let grant: Grant
  /// Of a root version.
  let root: RootKeys?
  let isToken: Bool
  /// The cluster whose records it may write: `own:<c>`.
  let cluster: String?
  /// -1: the genesis.
  let parent: GrantIndex
  /// Links up to the genesis.
  let depth: Int
  var isLive: Bool
  /// All that is held under it, in no order.
  var children: [Slot] = []
  /// Grants and root changes among them.
  var makers: [Slot] = []
  var above = FloorSet()
  var branches: [ScopeNumber: Branch] = [:]
  /// The root change in force under a root version, -1 where none.
  var successor: Slot = -1
  var isDirty = false
  var usage = GrantUsage()

  var isRoot: Bool { root != nil }
  /// Whether its subject's own floors count: neither the root's nor a token's do.
  var heedsOwnFloors: Bool { !isRoot && !isToken }
}

/// What a grant's subject uses of its quota.
struct GrantUsage: Sendable {
  /// Writes and body bytes in compared sets.
  var registers = 0
  var bytes = 0
  /// Token bucket of changesets; `nil` until the first.
  var tokens: Double?
  var refilled: Instant = .zero
}
