import Base
import Testing

@testable import Membership

/// The scenarios of `gossip.md`, in virtual time over several seeds.
@Suite struct ScenarioTests {
  static func settled(_ count: Int, seed: UInt64) -> Network {
    let network = Network(nodes: count, seed: seed)
    network.startAll()
    let took = network.run(atMost: .seconds(30)) { network.isAccurate }
    #expect(took != nil, "\(count) members know one another")
    network.run(for: .seconds(20))
    network.resetCounters()
    return network
  }

  @Test(arguments: 1...5 as ClosedRange<UInt64>)
  func storm(seed: UInt64) {
    let network = Network(nodes: 60, seed: seed)
    network.startAll()
    let took = network.run(atMost: .seconds(15)) { network.isAccurate }
    print(
      "storm", seed, took.map { $0.milliseconds } ?? -1, "ms, most bytes",
      network.datagramBytes.max() ?? 0, network.streamBytes.max() ?? 0)
    #expect(took != nil)
    #expect(network.falseEvictions().isEmpty)
  }

  @Test(arguments: 1...10 as ClosedRange<UInt64>)
  func crash(seed: UInt64) {
    let network = Self.settled(60, seed: seed)
    network.run(for: .milliseconds(Int64(seed) * 137))
    network.crash(7)
    let took = network.run(atMost: .seconds(20)) { network.allKnow(7, [.dead]) }
    print("crash", seed, took.map { $0.milliseconds } ?? -1)
    #expect(took.map { $0 <= .seconds(6) } ?? false)
    #expect(network.falseEvictions().isEmpty)
  }

  @Test(arguments: 1...3 as ClosedRange<UInt64>)
  func idle(seed: UInt64) {
    let network = Self.settled(100, seed: seed)
    network.run(for: .seconds(60))
    let mean = network.datagramBytes.reduce(0, +) / network.nodes.count / 60
    let most = (network.datagramBytes.max() ?? 0) / 60
    print(
      "idle", seed, mean, most, network.transitions.count, network.accusations,
      network.streamBytes.max() ?? 0)
    #expect(mean <= 210, "leaves room for attachments within 250 B/s")
    #expect(network.transitions.isEmpty)
  }

  @Test(arguments: 1...5 as ClosedRange<UInt64>)
  func oneway(seed: UInt64) {
    let network = Self.settled(60, seed: seed)
    network.loss = { from, _ in from < 2 ? 0.8 : 0 }
    network.run(for: .seconds(60))
    let changes = network.transitions.count { $0.subject < 2 }
    var kinds: [String: Int] = [:]
    for t in network.transitions { kinds["\(t.subject < 2 ? "bad" : "good") \(t.from)-\(t.to)", default: 0] += 1 }
    print("kinds", kinds.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" })
    print(
      "oneway", seed, network.falseEvictions().count, network.transitions.count, changes,
      network.refutations)
    #expect(network.falseEvictions().isEmpty)
    #expect(network.largestDatagram <= 1_159)
  }

  @Test(arguments: 1...3 as ClosedRange<UInt64>)
  func loss30(seed: UInt64) {
    let network = Self.settled(60, seed: seed)
    network.loss = { _, _ in 0.3 }
    network.run(for: .seconds(600))
    let health = network.nodes.map(\.localHealth).reduce(0, +)
    print(
      "loss30", seed, network.falseEvictions().count, network.transitions.count,
      network.refutations, health, (network.datagramBytes.max() ?? 0) / 600,
      (network.streamBytes.max() ?? 0) / 600)
    var kinds: [String: Int] = [:]
    for t in network.transitions { kinds["\(t.from)-\(t.to)", default: 0] += 1 }
    print("kinds", kinds.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" })
    #expect(network.falseEvictions().count <= 1)
  }

  @Test(arguments: [(1, 60), (2, 60), (3, 600)] as [(UInt64, Int)])
  func heal(seed: UInt64, seconds: Int) {
    let network = Self.settled(60, seed: seed)
    for i in 0..<20 { network.group[i] = 1 }
    network.run(for: .seconds(seconds))
    #expect(network.nodes[0].count(.dead) == 40)
    #expect(network.nodes[59].count(.dead) == 20)
    for i in 0..<20 { network.group[i] = 0 }
    network.resetCounters()
    let took = network.run(atMost: .seconds(30)) { network.isAccurate }
    print(
      "heal", seed, took.map { $0.milliseconds } ?? -1, network.datagramBytes.max() ?? 0,
      network.streamBytes.max() ?? 0)
    #expect(took.map { $0 <= .seconds(10) } ?? false)
    network.run(for: .seconds(30))
    #expect(network.isAccurate)
  }

  @Test(arguments: [(1, 300), (2, 300), (3, 1000)] as [(UInt64, Int)])
  func crashLarge(seed: UInt64, count: Int) {
    let clock = ContinuousClock()
    let network = Network(nodes: count, seed: seed)
    let wall = clock.measure { network.startAll() 
    let took = network.run(atMost: .seconds(60)) { network.isAccurate }
    print("storm", count, took.map { $0.milliseconds } ?? -1, "bytes", network.datagramBytes.max() ?? 0, network.streamBytes.max() ?? 0, network.falseEvictions().count)
    }
    print("storm wall", count, wall)
    network.run(for: .seconds(20))
    network.resetCounters()
    print("idle wall", count, clock.measure { network.run(for: .seconds(60)) }, network.datagramBytes.reduce(0,+)/count/60, network.streamBytes.reduce(0,+)/count/60)
    for k in 0..<5 {
      network.resetCounters()
      network.run(for: .milliseconds(1370))
      network.crash(7 + k)
      let took = network.run(atMost: .seconds(20)) { network.allKnow(7 + k, [.dead]) }
      print("crash", count, took.map { $0.milliseconds } ?? -1, network.falseEvictions().count, "bytes", network.datagramBytes.reduce(0, +) / count, network.datagramBytes.max() ?? 0)
    }
  }

  @Test(arguments: 1...6 as ClosedRange<UInt64>)
  func crashSkewed(seed: UInt64) {
    let network = Network(nodes: 60, seed: seed)
    var rng = SeededGenerator(seed: seed)
    for i in 0..<60 { network.skew[i] = .random(in: -100_000...100_000, using: &rng) }
    network.startAll()
    network.run(for: .seconds(30))
    network.crash(7)
    let took = network.run(atMost: .seconds(20)) { network.allKnow(7, [.dead]) }
    print("crash skewed", seed, took.map { $0.milliseconds } ?? -1)
  }
}
