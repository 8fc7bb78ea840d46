import Base
import Testing

@testable import Replication

@Suite("Bytes of a sync")
struct SyncBytesTests {
  /// Every message between the two but the changesets themselves, however the session went.
  static func measure(d: Int, of total: Int, seed: UInt64) -> (control: Int, world: SyncWorld) {
    var world = SyncWorld(2, seed: seed)
    var rng = SeededGenerator(seed: seed &+ 77)
    let (a, b) = (world.ids[0], world.ids[1])
    let all = (0..<total).map { _ in makeChangeset(&rng, bytes: 8) }
    // Differences on both sides, as after a partition.
    world.preload(Array(all.dropLast(d - d / 3)), at: a)
    world.preload(Array(all.dropFirst(d / 3)), at: b)
    let counter = Counter()
    world.tamper = { _, _, message in
      counter.bytes += message.controlSize
      return message
    }
    AntiEntropyTests.mismatch(&world)
    world.run(for: .seconds(30)) { $0.isConverged() && $0.reports.count >= 1 }
    return (counter.bytes, world)
  }

  final class Counter { var bytes = 0 }

  @Test(
    "d differences of 100,000 cost at most 1.5 * 42 * d + 256 bytes",
    arguments: [1, 10, 100, 1_000])
  func goal(d: Int) {
    let goal = 1.5 * 42 * Double(d) + 256
    var worst = 0
    for seed in UInt64(0)..<3 {
      let (bytes, world) = Self.measure(d: d, of: 100_000, seed: seed)
      #expect(world.isConverged())
      worst = max(worst, bytes)
    }
    print("sync of d = \(d) of 100,000: at most \(worst) B, goal \(Int(goal)) B")
    #expect(Double(worst) <= goal)
    if d == 10 { #expect(worst <= 1_500) }
  }
}
