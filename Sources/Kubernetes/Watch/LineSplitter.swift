/// Cuts a stream of bytes into lines, whatever the pieces it arrives in. A watch is one JSON
/// document a line; the last line may be cut off with the connection and is no line then.
public struct LineSplitter: Sendable {
  private var partial: [UInt8] = []
  public let limit: Int

  /// One event holds one object.
  public static let lineLimit = JSONLimits.object.bytes

  public struct Overflow: Error, Hashable, Sendable {
    public var limit: Int
  }

  public init(limit: Int = lineLimit) {
    self.limit = limit
  }

  /// Bytes of a line that has not ended.
  public var pending: Int { partial.count }

  /// The lines that end within `chunk`, without their newline; empty ones are left out.
  public mutating func split(_ chunk: some Collection<UInt8>) throws(Overflow) -> [[UInt8]] {
    var lines: [[UInt8]] = []
    var rest = chunk[...]
    while let end = rest.firstIndex(of: 0x0a) {
      partial += rest[..<end]
      rest = rest[rest.index(after: end)...]
      guard partial.count <= limit else { throw Overflow(limit: limit) }
      if partial.last == 0x0d { partial.removeLast() }
      if !partial.isEmpty { lines.append(partial) }
      partial = []
    }
    partial += rest
    guard partial.count <= limit else { throw Overflow(limit: limit) }
    return lines
  }
}
