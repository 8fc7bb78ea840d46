public import Base

/// Which dots were seen: per author the greatest counter, all below it included. Sorted by author.
public struct VersionVector: Hashable, Sendable {
  public struct Entry: Hashable, Sendable {
    public var author: PublicKey
    public var counter: UInt64

    public init(author: PublicKey, counter: UInt64) {
      self.author = author
      self.counter = counter
    }
  }

  /// Ascending by author, each author once, no counter of 0.
  public private(set) var entries: [Entry]

  public init() {
    entries = []
  }

  /// `nil` unless the entries are strictly ascending by author with counters above 0.
  public init?(sorted entries: [Entry]) {
    for (i, entry) in entries.enumerated() {
      if entry.counter == 0 || (i > 0 && entries[i - 1].author >= entry.author) { return nil }
    }
    self.entries = entries
  }

  public subscript(author: PublicKey) -> UInt64 {
    // Contexts hold a handful of authors: a scan beats a search.
    for entry in entries where entry.author == author { return entry.counter }
    return 0
  }

  public mutating func include(_ author: PublicKey, _ counter: UInt64) {
    guard counter > 0 else { return }
    let index = entries.firstIndex { $0.author >= author } ?? entries.endIndex
    if index < entries.endIndex, entries[index].author == author {
      entries[index].counter = max(entries[index].counter, counter)
    } else {
      entries.insert(Entry(author: author, counter: counter), at: index)
    }
  }

  public mutating func merge(_ other: VersionVector) {
    for entry in other.entries { include(entry.author, entry.counter) }
  }

  public func covers(_ author: PublicKey, _ counter: UInt64) -> Bool {
    self[author] >= counter
  }
}
