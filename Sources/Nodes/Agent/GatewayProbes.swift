public import Base

/// Which gateways answer: each is asked every 300 ms, and three unanswered questions in a row make it
/// dead; one answer makes it live again.
public struct GatewayProbes: Sendable {
  public static let intervalMilliseconds = 300
  public static let missLimit = 3

  private struct State: Hashable, Sendable {
    var unanswered = 0
  }

  public struct Key: Hashable, Comparable, Sendable {
    public var slice: String
    public var gateway: IPAddress

    public init(slice: String, gateway: IPAddress) {
      self.slice = slice
      self.gateway = gateway
    }

    public static func < (a: Key, b: Key) -> Bool { (a.slice, a.gateway) < (b.slice, b.gateway) }
  }

  private var states: [Key: State] = [:]

  public init() {}

  /// Those that are no longer asked are forgotten.
  public mutating func expect(_ keys: [Key]) {
    let old = states
    states = Dictionary(keys.map { ($0, old[$0] ?? State()) }, uniquingKeysWith: { a, _ in a })
  }

  /// One question goes out to each of these.
  public mutating func ask() -> [Key] {
    for key in states.keys { states[key]?.unanswered += 1 }
    return states.keys.sorted()
  }

  public mutating func answered(_ key: Key) {
    states[key]?.unanswered = 0
  }

  /// By slice.
  public var dead: [String: Set<IPAddress>] {
    states.reduce(into: [:]) { out, entry in
      if entry.value.unanswered > Self.missLimit {
        out[entry.key.slice, default: []].insert(entry.key.gateway)
      }
    }
  }
}
