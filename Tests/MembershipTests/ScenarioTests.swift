import Base
import Testing

@testable import Membership

/// The scenarios of the design page on gossip, in virtual time over several seeds.
@Suite struct ScenarioTests {
  #if DEBUG
    /// Debug builds are ten times slower: fewer seeds and shorter runs.
    static let isQuick = true
  #else
    static let isQuick = false
  #endif

  static func seeds(_ count: UInt64) -> ClosedRange<UInt64> {
    1...(isQuick ? max(1, count / 4) : count)
  }

  /// Members that have known one another for a while.
  static func settled(
    _ count: Int, seed: UInt64, configuration: Membership.Configuration = .init()
  ) -> Network {
    let network = Network(nodes: count, seed: seed, configuration: configuration)
    network.startAll()
    let took = network.run(atMost: .seconds(30)) { network.isAccurate }
    #expect(took != nil, "\(count) members know one another")
    network.run(for: .seconds(15))
    network.resetCounters()
    return network
  }

  @Test(
    arguments: [(2, 1), (3, 2), (5, 3), (9, 4), (60, 5), (isQuick ? 60 : 200, 6)] as [(Int, UInt64)]
  )
  func storm(count: Int, seed: UInt64) throws {
    let network = Network(nodes: count, seed: seed)
    network.startAll()
    let took = try #require(network.run(atMost: .seconds(15)) { network.isAccurate })
    #expect(took <= .seconds(count < 30 ? 5 : 8))
    #expect(network.falseEvictions().isEmpty)
    #expect(network.datagramBytes.allSatisfy { $0 < 1 << 20 })
  }

  @Test(arguments: seeds(10))
  func crash(seed: UInt64) throws {
    let network = Self.settled(60, seed: seed)
    network.run(for: .milliseconds(Int64(seed) * 137))
    network.crash(7)
    let took = try #require(
      network.run(atMost: .seconds(20)) { network.allKnow(7, [.dead]) })
    #expect(took <= .seconds(6))
    #expect(network.falseEvictions().isEmpty)
    #expect(network.transitions.allSatisfy { $0.subject == 7 })
  }

  @Test(arguments: isQuick ? [2, 3, 4, 6, 12, 30] : [2, 3, 4, 6, 12, 30, 300])
  func crashInOtherSizes(count: Int) throws {
    let network = Self.settled(count, seed: UInt64(count))
    network.crash(0)
    let took = try #require(
      network.run(atMost: .seconds(20)) { network.allKnow(0, [.dead]) })
    #expect(took <= .seconds(6))
    #expect(network.falseEvictions().isEmpty)
    network.run(for: .seconds(10))
    network.restart(0, bootEpoch: 2)
    let back = try #require(network.run(atMost: .seconds(20)) { network.isAccurate })
    #expect(back <= .seconds(3))
  }

  /// Its suspicion takes longer each time, but not until nobody counts on it.
  @Test(arguments: seeds(8))
  func aMemberThatComesAndGoesIsNotHeardSoon(seed: UInt64) throws {
    let network = Self.settled(3, seed: seed)
    for round in 1...6 {
      network.run(for: .milliseconds(4_000 + Int64(seed) * 137 * Int64(round)))
      network.group[0] = round
      let took = try #require(
        network.run(atMost: .seconds(20)) { (1...2).allSatisfy { !network.hears($0, 0) } })
      #expect(took <= .milliseconds(5_100), "cut \(round)")
      network.run(for: .seconds(1))
      network.group[0] = 0
      let back = try #require(
        network.run(atMost: .seconds(20)) { (1...2).allSatisfy { network.hears($0, 0) } })
      #expect(back <= .seconds(3), "cut \(round)")
    }
  }

  /// Nothing but the speed of detection may rest on the common order of probes.
  @Test(arguments: seeds(5))
  func crashWithWrongClocks(seed: UInt64) throws {
    let network = Network(nodes: 60, seed: seed)
    var rng = SeededGenerator(seed: seed)
    for i in network.nodes.indices {
      network.skew[i] = .random(in: -1_000_000...1_000_000, using: &rng)
    }
    network.startAll()
    network.run(for: .seconds(30))
    network.crash(7)
    let took = try #require(
      network.run(atMost: .seconds(20)) { network.allKnow(7, [.dead]) })
    #expect(took <= .seconds(9))
    #expect(network.falseEvictions().isEmpty)
  }

  /// A third of all members goes down at once, confirmers included.
  @Test(arguments: seeds(3))
  func outage(seed: UInt64) throws {
    let network = Self.settled(60, seed: seed)
    for i in 0..<20 { network.crash(i * 3) }
    let took = try #require(network.run(atMost: .seconds(30)) { network.isAccurate })
    #expect(took <= .seconds(12))
    #expect(network.falseEvictions().isEmpty)
  }

  @Test(arguments: seeds(3))
  func idle(seed: UInt64) {
    let network = Self.settled(100, seed: seed)
    network.run(for: .seconds(60))
    let mean = network.datagramBytes.reduce(0, +) / network.nodes.count / 60
    #expect(mean <= 200, "which leaves 50 B/s of 250 to attachments")
    #expect(network.streamBytes.allSatisfy { $0 == 0 })
    #expect(network.transitions.isEmpty)
    #expect(network.accusations == 0)
  }

  @Test(arguments: seeds(5))
  func oneway(seed: UInt64) {
    let network = Self.settled(60, seed: seed)
    network.loss = { from, _ in from < 2 ? 0.8 : 0 }
    network.run(for: .seconds(60))
    #expect(network.falseEvictions().isEmpty)
    #expect(network.largestDatagram <= 1_150)
    // The two are told apart from the rest: used last by those who noticed.
    let degraded = network.transitions.filter { $0.to == .degraded }
    let rightly = degraded.count { $0.subject < 2 }
    #expect(rightly * 2 > degraded.count)
    network.loss = { _, _ in 0 }
    network.run(for: .seconds(120))
    #expect(network.allKnow(0, [.alive]) && network.allKnow(1, [.alive]), "they recover")
  }

  @Test(arguments: seeds(2))
  func loss30(seed: UInt64) {
    let network = Self.settled(60, seed: seed)
    network.loss = { _, _ in 0.3 }
    var unheard = 0
    let seconds = Self.isQuick ? 120 : 600
    for _ in 0..<seconds {
      network.run(for: .seconds(1))
      unheard += network.pairsUnheard
    }
    #expect(unheard == 0, "who speaks with losses is heard")
    #expect(network.falseEvictions().count <= 1)
    #expect(network.isAccurate)
    #expect(network.datagramBytes.allSatisfy { $0 < 600 * 4_096 })
  }

  @Test(arguments: [(1, 60), (2, isQuick ? 120 : 3_600)] as [(UInt64, Int)])
  func heal(seed: UInt64, seconds: Int) throws {
    let network = Self.settled(60, seed: seed)
    for i in 0..<20 { network.group[i] = 1 }
    network.run(for: .seconds(seconds))
    #expect(network.nodes[0].count(.dead) == 40)
    #expect(network.nodes[59].count(.dead) == 20)
    for i in 0..<20 { network.group[i] = 0 }
    let took = try #require(network.run(atMost: .seconds(30)) { network.isAccurate })
    #expect(took <= .seconds(10))
    network.resetCounters()
    network.run(for: .seconds(30))
    #expect(network.falseEvictions().isEmpty)
    #expect(network.isAccurate)
  }

  /// A frozen machine must not blame the others for its own absence.
  @Test func pause() {
    let network = Self.settled(30, seed: 4)
    network.pause(3, for: .seconds(20))
    network.run(for: .seconds(19))
    #expect(network.allKnow(3, [.dead]))
    network.resetCounters()
    network.run(for: .seconds(15))
    #expect(network.isAccurate)
    #expect(network.falseEvictions(since: network.elapsed).isEmpty)
    #expect(network.transitions.allSatisfy { $0.subject == 3 })
  }

  @Test func sameSeedSameRun() {
    func trace() -> [String] {
      let network = Network(nodes: 20, seed: 99)
      network.startAll()
      network.run(for: .seconds(5))
      network.loss = { _, _ in 0.3 }
      network.run(for: .seconds(60))
      return network.transitions.map { "\($0)" } + network.datagramBytes.map { "\($0)" }
    }
    #expect(trace() == trace())
  }
}
