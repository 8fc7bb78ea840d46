import Base
import Testing

@testable import Tunnel

@Suite struct ReplayWindowTests {
  @Test func isLargeEnough() {
    #expect(ReplayWindow.size >= 8_192)
  }

  /// Against the obvious model: a set of all counters, and the newest one.
  @Test(arguments: 0..<20 as Range<UInt64>) func agreesWithAModel(seed: UInt64) {
    var rng = SeededGenerator(seed: seed)
    var window = ReplayWindow()
    var seen: Set<UInt64> = []
    var next: UInt64 = 0
    for _ in 0..<20_000 {
      let counter: UInt64
      switch Int.random(in: 0..<20, using: &rng) {
      case 0: counter = next + UInt64.random(in: 0..<40_000, using: &rng)
      case 1..<10: counter = next + UInt64.random(in: 0..<100, using: &rng)
      default:
        let back = UInt64.random(in: 0..<2 * ReplayWindow.size, using: &rng)
        counter = next > back ? next - back : 0
      }
      let fresh =
        !seen.contains(counter) && (counter >= next || next - counter <= ReplayWindow.size)
      #expect(window.check(counter) == fresh)
      holds(window.record(counter) == fresh)
      #expect(!window.check(counter))
      seen.insert(counter)
      next = max(next, counter + 1)
    }
  }

  @Test func edges() {
    var window = ReplayWindow()
    holds(window.record(TunnelLimits.counter))
    #expect(!window.check(TunnelLimits.counter + 1))
    holds(!window.record(0))
    holds(window.record(TunnelLimits.counter - ReplayWindow.size + 1))
    holds(!window.record(TunnelLimits.counter - ReplayWindow.size))
  }
}
