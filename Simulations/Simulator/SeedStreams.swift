public import Base

/// Independent random streams of one seed, by name: drawing more from one does not disturb another, so
/// that a change to the disk model leaves the network's fate as it was.
public struct SeedStreams: Sendable {
  public let seed: UInt64

  public init(seed: UInt64) {
    self.seed = seed
  }

  /// FNV-1a of the name beside the seed.
  public func stream(_ name: String) -> SeededGenerator {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return SeededGenerator(seed: hash ^ (seed &* 0x9e37_79b9_7f4a_7c15))
  }
}

extension SeededGenerator {
  /// Uniform in `0..<1`, the same on every platform and in every release of the standard library.
  public mutating func unit() -> Double {
    Double(next() >> 11) * 0x1p-53
  }

  /// Whether something of this probability happens; draws nothing where it cannot.
  public mutating func happens(_ probability: Double) -> Bool {
    probability > 0 && unit() < probability
  }

  /// Uniform in `0..<bound`; `bound` is positive.
  public mutating func below(_ bound: Int) -> Int {
    Int(next().multipliedFullWidth(by: UInt64(max(bound, 1))).high)
  }

  public mutating func pick<T>(_ items: [T]) -> T? {
    items.isEmpty ? nil : items[below(items.count)]
  }

  public mutating func duration(upTo limit: Duration) -> Duration {
    .nanoseconds(Int64(Double(max(limit.nanoseconds, 0)) * unit()))
  }
}
