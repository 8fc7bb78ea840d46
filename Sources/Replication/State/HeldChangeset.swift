internal import Base

/// Index of a held changeset; reused after it is forgotten.
typealias Slot = Int32
/// Index of a grant or root version; reused likewise.
typealias GrantIndex = Int32
/// Index of an interned scope.
typealias ScopeNumber = Int32

/// Shared, immutable: tables hold references instead of copying hundreds of bytes.
final class ChangesetBox: Sendable {
  let changeset: Changeset

  init(_ changeset: Changeset) {
    self.changeset = changeset
  }
}

/// A changeset within its grant, and what is known of it.
struct HeldChangeset: Sendable {
  struct Status: OptionSet, Sendable {
    let rawValue: UInt16

    static let counts = Status(rawValue: 1)
    /// Does not count, but keeps something else from counting.
    static let evidence = Status(rawValue: 2)
    /// In the compared set.
    static let compared = Status(rawValue: 4)
    /// Its writes and floors are in the indexes of what counts.
    static let indexed = Status(rawValue: 8)
    /// Listed in `CountingEngine.touched`.
    static let touched = Status(rawValue: 16)
    /// Has a floor on the grant that it acts under.
    static let ownFloor = Status(rawValue: 32)
    /// Has any floor.
    static let carriesFloors = Status(rawValue: 64)
    static let isRootChange = Status(rawValue: 128)
    static let makesGrant = Status(rawValue: 256)
    /// Was given out to be stored.
    static let stored = Status(rawValue: 512)
  }

  var box: ChangesetBox
  var scope: ScopeNumber
  var parent: GrantIndex
  /// The grant or root version that it makes, -1 where none.
  var made: GrantIndex = -1
  /// Where `GrantNode.children` has it.
  var position: Int32 = 0
  var status: Status = []
  /// Local wall clock when it was found not to count; 0 while it does.
  var idleSince: UInt64 = 0
}

/// Orders changesets of one grant by HLC.
struct TimedSlot: Comparable, Sendable {
  var time: HybridTime
  var slot: Slot

  static func < (a: TimedSlot, b: TimedSlot) -> Bool {
    a.time == b.time ? a.slot < b.slot : a.time < b.time
  }
}
