/// Members in the order of their IDs, found by ID: immutable, so that whatever is kept by member is
/// kept in plain arrays by place, and that the scopes of a peer, or the peers of a simulation, share it.
public final class Roster: Sendable {
  /// Ascending, each once.
  public let ids: [NodeID]
  /// IDs are hashes, so their leading bits divide them evenly: where each of the `count` next powers
  /// of two begins, and one more.
  private let starts: [Int32]
  private let shift: UInt64

  public static let empty = Roster([])

  public init(_ members: some Sequence<NodeID>) {
    var sorted = Array(members)
    if !zip(sorted, sorted.dropFirst()).allSatisfy({ $0 < $1 }) { sorted = Set(sorted).sorted() }
    ids = sorted
    let bits = max(1, Int.bitWidth - sorted.count.leadingZeroBitCount)
    shift = UInt64(64 - bits)
    var starts = [Int32](repeating: 0, count: (1 << bits) + 1)
    for id in sorted { starts[Int(id.words.0 >> shift) + 1] += 1 }
    for bucket in 1..<starts.count { starts[bucket] += starts[bucket - 1] }
    self.starts = starts
  }

  public var count: Int { ids.count }

  /// `nil` where it is not among them.
  public func place(of id: NodeID) -> Int? {
    let place = insertionPlace(of: id)
    return place < ids.count && ids[place] == id ? place : nil
  }

  /// Of the first whose ID begins with this word.
  public func place(prefix: UInt64) -> Int? {
    let place = insertionPlace(ofPrefix: prefix)
    return place < ids.count && ids[place].words.0 == prefix ? place : nil
  }

  /// How many are less.
  public func insertionPlace(of id: NodeID) -> Int {
    search(in: id.words.0) { $0 < id }
  }

  /// How many begin with less.
  public func insertionPlace(ofPrefix prefix: UInt64) -> Int {
    search(in: prefix) { $0.words.0 < prefix }
  }

  private func search(in prefix: UInt64, where isBefore: (NodeID) -> Bool) -> Int {
    let bucket = Int(prefix >> shift)
    var (low, high) = (Int(starts[bucket]), Int(starts[bucket + 1]))
    while low < high {
      let middle = (low + high) / 2
      if isBefore(ids[middle]) { low = middle + 1 } else { high = middle }
    }
    return low
  }

  public func contains(_ id: NodeID) -> Bool { place(of: id) != nil }
}
