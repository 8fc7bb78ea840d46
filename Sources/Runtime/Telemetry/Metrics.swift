internal import Synchronization

/// Only rises. Counts from the start of the process.
public final class Counter: Sendable {
  private let count = Atomic<UInt64>(0)

  init() {}

  public func increment(by amount: UInt64 = 1) {
    count.wrappingAdd(amount, ordering: .relaxed)
  }

  /// Takes over a count that is kept elsewhere; a smaller one is ignored.
  public func raise(to total: UInt64) {
    count.max(total, ordering: .relaxed)
  }

  public var value: UInt64 { count.load(ordering: .relaxed) }
}

/// Goes up and down.
public final class Gauge: Sendable {
  private let bits = Atomic<UInt64>(0)

  init() {}

  public func set(_ value: Double) {
    bits.store(value.bitPattern, ordering: .relaxed)
  }

  public func add(_ difference: Double) {
    var old = bits.load(ordering: .relaxed)
    while true {
      let new = (Double(bitPattern: old) + difference).bitPattern
      let (exchanged, current) = bits.weakCompareExchange(
        expected: old, desired: new, ordering: .relaxed)
      if exchanged { return }
      old = current
    }
  }

  public var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }
}

/// How often values fell below each of a row of bounds.
public final class Histogram: Sendable {
  struct State: Sendable {
    /// Per bucket, not cumulative; the last is above all bounds.
    var counts: [UInt64]
    var sum: Double
  }

  /// Ascending upper bounds, inclusive.
  let bounds: [Double]
  private let state: Mutex<State>

  init(bounds: [Double]) {
    self.bounds = bounds
    state = Mutex(State(counts: Array(repeating: 0, count: bounds.count + 1), sum: 0))
  }

  /// NaN is ignored: it would spoil the sum for ever.
  public func record(_ value: Double) {
    guard !value.isNaN else { return }
    let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
    state.withLock { state in
      state.counts[bucket] += 1
      state.sum += value
    }
  }

  /// In seconds, as Prometheus wants times.
  public func record(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    record(Double(seconds) + Double(attoseconds) * 1e-18)
  }

  var snapshot: State { state.withLock { $0 } }

  /// Seconds, from local calls to the other side of the world and its retries.
  public static let latencyBounds = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  ]
}
