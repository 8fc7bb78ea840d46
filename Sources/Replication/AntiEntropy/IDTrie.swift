public import Base

/// The IDs of a set, sorted, with the count and digest of every range of leading hexadecimal digits:
/// a 16-way trie with small leaves. A change costs O(log n), as does the summary of a range.
public struct IDTrie: Sendable {
  private var nodes = ChunkedArray([Node()])
  /// First indices of groups of 16 nodes that are free again.
  private var free: [Int] = []

  private struct Node: Sendable {
    var digest = SetDigest.zero
    var count = 0
    /// Index of the first of 16 children; 0 (the root, nobody's child) for a leaf.
    var children = 0
    /// Of a leaf: ascending.
    var ids: [Digest] = []

    var isLeaf: Bool { children == 0 }
  }

  private static let splitAbove = 32
  private static let joinBelow = 9

  public init() {}

  public var count: Int { nodes[0].count }
  public var digest: SetDigest { nodes[0].digest }

  private static func digit(_ id: Digest, _ depth: Int) -> Int {
    Int(id.words.0 >> UInt64(60 - 4 * depth) & 15)
  }

  public func contains(_ id: Digest) -> Bool {
    var node = 0
    var depth = 0
    while !nodes[node].isLeaf {
      node = nodes[node].children + Self.digit(id, depth)
      depth += 1
    }
    let at = nodes[node].ids.insertionIndex(of: id)
    return at < nodes[node].ids.count && nodes[node].ids[at] == id
  }

  /// Whether it was not there.
  @discardableResult
  public mutating func insert(_ id: Digest) -> Bool {
    guard !contains(id) else { return false }
    var node = 0
    var depth = 0
    while true {
      nodes[node].count += 1
      nodes[node].digest.insert(id)
      if nodes[node].isLeaf { break }
      node = nodes[node].children + Self.digit(id, depth)
      depth += 1
    }
    nodes[node].ids.insert(id, at: nodes[node].ids.insertionIndex(of: id))
    // Below 16 digits a range has no name: a leaf there grows (and needs equal 64-bit words to).
    while nodes[node].ids.count > Self.splitAbove, depth < RangePrefix.maximumNibbles {
      node = split(node, depth: depth)
      depth += 1
    }
    return true
  }

  /// Divides a leaf; returns its fullest child.
  private mutating func split(_ node: Int, depth: Int) -> Int {
    let first: Int
    if let group = free.popLast() {
      first = group
    } else {
      first = nodes.count
      nodes.append(contentsOf: repeatElement(Node(), count: 16))
    }
    let ids = nodes[node].ids
    nodes[node].ids = []
    nodes[node].children = first
    for id in ids {
      let child = first + Self.digit(id, depth)
      nodes[child].ids.append(id)
      nodes[child].count += 1
      nodes[child].digest.insert(id)
    }
    var fullest = first
    for child in first..<first + 16 where nodes[child].count > nodes[fullest].count {
      fullest = child
    }
    return fullest
  }

  /// Whether it was there.
  @discardableResult
  public mutating func remove(_ id: Digest) -> Bool {
    guard contains(id) else { return false }
    var path: [Int] = []
    var node = 0
    while true {
      nodes[node].count -= 1
      nodes[node].digest.remove(id)
      if nodes[node].isLeaf { break }
      path.append(node)
      node = nodes[node].children + Self.digit(id, path.count - 1)
    }
    nodes[node].ids.remove(at: nodes[node].ids.insertionIndex(of: id))
    for parent in path.reversed() where nodes[parent].count < Self.joinBelow { join(parent) }
    return true
  }

  /// Makes a node with few IDs a leaf again; its children are leaves by then.
  private mutating func join(_ node: Int) {
    let first = nodes[node].children
    var ids: [Digest] = []
    for child in first..<first + 16 {
      ids.append(contentsOf: nodes[child].ids)
      nodes[child] = Node()
    }
    nodes[node].children = 0
    nodes[node].ids = ids
    free.append(first)
  }
}

// MARK: Ranges

extension IDTrie {
  /// Count and digest of the IDs in a range.
  public func summary(of range: RangePrefix) -> (count: Int, digest: SetDigest) {
    var node = 0
    for depth in 0..<range.nibbles {
      guard !nodes[node].isLeaf else {
        let ids = nodes[node].ids.filter(range.contains)
        return (ids.count, SetDigest(ids))
      }
      node = nodes[node].children + range.digit(depth)
    }
    return (nodes[node].count, nodes[node].digest)
  }

  /// Up to `limit` IDs of a range, ascending, those beyond `after` only.
  public func ids(in range: RangePrefix, after: Digest? = nil, limit: Int) -> [Digest] {
    var found: [Digest] = []
    var node = 0
    var place = RangePrefix.all
    while place.nibbles < range.nibbles, !nodes[node].isLeaf {
      let digit = range.digit(place.nibbles)
      node = nodes[node].children + digit
      place = place.child(digit) ?? range
    }
    collect(node: node, at: place, in: range, after: after, limit: limit, into: &found)
    return found
  }

  private func collect(
    node: Int, at place: RangePrefix, in range: RangePrefix, after: Digest?, limit: Int,
    into found: inout [Digest]
  ) {
    guard nodes[node].count > 0, found.count < limit, place.reaches(beyond: after) else { return }
    if nodes[node].isLeaf {
      for id in nodes[node].ids where range.contains(id) && after.map({ id > $0 }) ?? true {
        guard found.count < limit else { return }
        found.append(id)
      }
    } else {
      for digit in 0..<16 {
        guard let child = place.child(digit) else { return }
        collect(
          node: nodes[node].children + digit, at: child, in: range, after: after, limit: limit,
          into: &found)
      }
    }
  }

  /// How many IDs of a range lie beyond `after`.
  public func count(in range: RangePrefix, after: Digest?) -> Int {
    guard let after else { return summary(of: range).count }
    guard range.contains(after) else {
      return range.word > after.words.0 ? summary(of: range).count : 0
    }
    // Walk towards `after`, adding what lies to its right.
    var node = 0
    var right = 0
    var depth = 0
    while !nodes[node].isLeaf {
      let digit = Self.digit(after, depth)
      if depth >= range.nibbles {
        for sibling in digit + 1..<16 { right += nodes[nodes[node].children + sibling].count }
      }
      node = nodes[node].children + digit
      depth += 1
    }
    return right + nodes[node].ids.count { range.contains($0) && $0 > after }
  }

  /// The leading word of every ID, in no particular order.
  public var words: some Sequence<UInt64> {
    nodes.lazy.flatMap { $0.ids.lazy.map(\.words.0) }
  }
}

extension RangePrefix {
  /// The greatest word in the range.
  private var lastWord: UInt64 {
    nibbles == 16 ? word : word | ~0 >> UInt64(4 * nibbles)
  }

  fileprivate func reaches(beyond after: Digest?) -> Bool {
    after.map { lastWord >= $0.words.0 } ?? true
  }
}

extension [Digest] {
  /// Where an ID is, or belongs, in an ascending list.
  func insertionIndex(of id: Digest) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if self[middle] < id { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
