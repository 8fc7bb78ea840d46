import Base
import Testing

@testable import Replication

@Suite("Bytes of a sync")
struct SyncBytesTests {
  /// Two peers that both hold the same 100,000 changesets (by ID: nobody will ask for them); made
  /// once, copied for each measurement.
  static func base() -> SyncWorld {
    var world = SyncWorld(2, seed: 201)
    var rng = SeededGenerator(seed: 202)
    var index = ScopeIndex()
    for _ in 0..<100_000 { index.insert(IDTrieTests.id(&rng)) }
    _ = index.symbols(0..<2_048)
    for id in world.ids { world.nodes[id]?.entropy.scopes[.clusterset]?.index = index }
    return world
  }

  /// Bytes of every message between the two but the changesets themselves, whatever it was for.
  static func measure(d: Int, seed: UInt64, from base: SyncWorld) -> (control: Int, SyncWorld) {
    var world = base
    var rng = SeededGenerator(seed: seed)
    let (a, b) = (world.ids[0], world.ids[1])
    // Differences on both sides, as after a partition.
    world.preload((0..<d / 3).map { _ in makeChangeset(&rng) }, at: a)
    world.preload((0..<d - d / 3).map { _ in makeChangeset(&rng) }, at: b)
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

  @Test("d differences of 100,000 cost at most 1.5 * 42 * d + 256 bytes")
  func goal() {
    let base = Self.base()
    for d in [1, 10, 100, 1_000] {
      let goal = 1.5 * 42 * Double(d) + 256
      var all: [Int] = []
      for seed in UInt64(0)..<(d > 100 ? 3 : 15) {
        let (bytes, world) = Self.measure(d: d, seed: seed, from: base)
        #expect(world.isConverged())
        all.append(bytes)
      }
      all.sort()
      let worst = all.last ?? .max
      print(
        "sync of d = \(d) of 100,000: median \(all[all.count / 2]) B, at most \(worst) B,"
          + " goal \(Int(goal)) B")
      #expect(Double(worst) <= goal)
      if d == 10 { #expect(worst <= 1_500) }
    }
  }
}
