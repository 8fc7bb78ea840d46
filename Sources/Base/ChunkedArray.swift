/// An array in pieces: growing moves nothing, and of a copy only what is written is made anew. States of
/// a million changesets are copied to be looked at, and thousands of equal ones share what they hold.
public struct ChunkedArray<Element: Sendable>: Sendable {
  private static var bits: Int { 6 }
  private static var chunk: Int { 1 << bits }

  /// All full but the last.
  private var chunks: [[Element]] = []
  public private(set) var count = 0

  public init() {}

  public init(_ elements: some Sequence<Element>) {
    append(contentsOf: elements)
  }

  public mutating func append(_ element: Element) {
    if count & (Self.chunk - 1) == 0 { chunks.append([]) }
    chunks[chunks.count - 1].append(element)
    count += 1
  }

  public mutating func append(contentsOf elements: some Sequence<Element>) {
    for element in elements { append(element) }
  }
}

extension ChunkedArray: RandomAccessCollection, MutableCollection {
  public var startIndex: Int { 0 }
  public var endIndex: Int { count }

  @inlinable public func index(after i: Int) -> Int { i + 1 }
  @inlinable public func index(before i: Int) -> Int { i - 1 }

  public subscript(position: Int) -> Element {
    _read { yield chunks[position >> Self.bits][position & (Self.chunk - 1)] }
    _modify { yield &chunks[position >> Self.bits][position & (Self.chunk - 1)] }
  }
}
