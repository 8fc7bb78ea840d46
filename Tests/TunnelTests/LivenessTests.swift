import Base
import Testing

@testable import Tunnel

@Suite struct LivenessTests {
  @Test(arguments: 0..<20 as Range<UInt64>) func deathIsNoticedWithinASecond(seed: UInt64) throws {
    var network = SimulatedNetwork.pair(seed: seed)
    network.run(for: .milliseconds(1_000 + Int64(seed) * 37))
    #expect(network.established)
    network.silent = [network.gateways[1].endpoint]
    network.run(for: .milliseconds(500))
    #expect(network.gateways[0].link(network.now)?.state == .established)
    network.run(for: .milliseconds(500))
    #expect(network.gateways[0].link(network.now)?.state == .unreachable)
    #expect(
      network.gateways[0].events.last(where: {
        if case .reachability = $0 { true } else { false }
      }) == .reachability(slice: "blue", cluster: "c1", reachable: false))
    network.silent = []
    network.run(for: .seconds(3))
    #expect(network.established)
  }

  /// One packet in twenty lost each way for ten minutes: never taken for dead.
  @Test(arguments: 0..<5 as Range<UInt64>) func lossIsNotDeath(seed: UInt64) throws {
    var network = SimulatedNetwork.pair(seed: seed, weather: .init(loss: 0.05))
    network.run(for: .seconds(600))
    let changes = network.gateways[0].events.filter {
      if case .reachability = $0 { true } else { false }
    }
    #expect(changes.count == 1)
    let status = try #require(network.gateways[0].link(network.now))
    let loss = try #require(status.loss)
    #expect(loss > 0.01 && loss < 0.25)
    #expect(status.roundTripTime == .milliseconds(10))
  }

  @Test func figures() throws {
    var network = SimulatedNetwork.pair(seed: 2, weather: .init(spread: .milliseconds(10)))
    network.run(for: .seconds(60))
    let status = try #require(network.gateways[0].link(network.now))
    let time = try #require(status.roundTripTime)
    #expect(time > .milliseconds(12) && time < .milliseconds(28))
    #expect(try #require(status.jitter) > .milliseconds(1))
    #expect(status.loss == 0)
  }
}
