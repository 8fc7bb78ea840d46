import Base
import Testing

@testable import Simulator
@testable import Tunnel

/// What a path carries is found, kept across rotations, and noticed when it changes.
@Suite struct PathSearchTests {
  private static let whole = TunnelLimits.innerMTU + PacketHeader.overhead

  private func sizes(_ network: SimulatedNetwork) -> [Int] {
    network.gateways.compactMap { $0.link(network.now)?.pathSize }
  }

  @Test func aWholePathIsUsedFromTheStart() {
    var network = SimulatedNetwork.pair(seed: 1)
    network.run(for: .milliseconds(500))
    #expect(sizes(network) == [Self.whole, Self.whole])
    #expect(network.gateways.map(\.mtu) == [TunnelLimits.innerMTU, TunnelLimits.innerMTU])
    network.run(for: .seconds(300))
    #expect(sizes(network) == [Self.whole, Self.whole])
  }

  @Test(arguments: [1_200, 1_209, 1_300, 1_400, 1_444, 1_451])
  func aNarrowPathIsMeasured(size: Int) {
    var network = SimulatedNetwork.pair(seed: 2, weather: .init(pathSize: size))
    network.run(for: .seconds(20))
    for (found, mtu) in zip(sizes(network), network.gateways.map(\.mtu)) {
      #expect(found <= size && found >= max(PathSearch.base, size - PathSearch.resolution))
      #expect(mtu == found - PacketHeader.overhead)
    }
    let before = sizes(network)
    network.gateways[0].handle(.renew(slice: "blue"), network.time)
    for _ in 0..<100 {
      network.run(for: .milliseconds(20))
      #expect(sizes(network) == before, "a rotation keeps what is known")
    }
    #expect(network.gateways[0].link(network.now)?.handshakes == 2)
  }

  @Test func changesOfThePathAreNoticed() {
    var network = SimulatedNetwork.pair(seed: 3, weather: .init(pathSize: 1_300))
    network.run(for: .seconds(20))
    network.weather.pathSize = .max
    network.run(for: .seconds(700))
    #expect(sizes(network) == [Self.whole, Self.whole])
    network.weather.pathSize = 1_250
    network.run(for: .seconds(60))
    for found in sizes(network) { #expect(found <= 1_250 && found >= 1_242) }
  }

  /// A far side that is gone says nothing of the path, and loss is no narrow path.
  @Test func silenceAndLossAreNoNarrowPath() {
    var network = SimulatedNetwork.pair(seed: 4)
    network.run(for: .seconds(40))
    network.silent = [network.gateways[1].endpoint]
    network.run(for: .seconds(40))
    network.silent = []
    network.run(for: .seconds(10))
    #expect(sizes(network) == [Self.whole, Self.whole])
    var lossy = SimulatedNetwork.pair(seed: 5, weather: .init(loss: 0.02))
    lossy.run(for: .seconds(200))
    for found in sizes(lossy) { #expect(found >= Self.whole - PathSearch.resolution) }
  }

  /// Whatever comes as an answer: within bounds, and it ends.
  @Test func answersThatWereNeverAskedForChangeNothing() {
    var rng = SeededGenerator(seed: 6)
    var now = Instant(nanoseconds: 1)
    var search = PathSearch(ceiling: Self.whole, timing: TunnelTiming(), now: now)
    for _ in 0..<20_000 {
      now = now + .milliseconds(Int64.random(in: 0...400, using: &rng))
      let probe = search.tick(
        now, probeTimeout: .milliseconds(10), answers: Bool.random(using: &rng))
      if let probe, Bool.random(using: &rng) { _ = search.answered(probe.number, now: now) }
      let before = search.limit
      _ = search.answered(UInt64.random(in: 0...(.max), using: &rng), now: now)
      #expect(search.limit == before && (PathSearch.base...Self.whole).contains(search.limit))
      let isOurs = search.answered(UInt64.random(in: 0..<PathSearch.numbers, using: &rng), now: now)
      #expect(!isOurs)
    }
  }
}
