import Base
import Testing

@testable import Simulator
@testable import Tunnel

@Suite struct RoamingTests {
  private static let elsewhere = IPEndpoint(IPAddress(v4: 0x0a00_0909), port: 4_000)

  private func target(_ network: SimulatedNetwork, _ index: Int) -> TunnelTarget? {
    let control = network.gateways[index].control
    return control.session(control.links[0]?.active)?.target
  }

  @Test func theSessionFollowsAFarSideThatMoved() {
    var network = SimulatedNetwork.pair(seed: 1)
    network.run(for: .seconds(2))
    #expect(network.gateways[1].link(network.now)?.observed == network.gateways[1].endpoint)
    network.gateways[1].endpoint = Self.elsewhere
    network.run(for: .seconds(1))
    #expect(target(network, 0) == .address(Self.elsewhere))
    #expect(network.gateways[0].link(network.now)?.state == .established)
    #expect(network.gateways[0].link(network.now)?.handshakes == 1)
    network.run(for: .seconds(1))
    #expect(network.gateways[1].link(network.now)?.observed == Self.elsewhere)
    network.gateways[0].inject(SimulatedNetwork.packet(from: 0, to: 1, number: 7))
    network.run(for: .milliseconds(50))
    #expect(network.gateways[1].delivered.map(SimulatedNetwork.number) == [7])
  }

  /// Somebody forwards the newest packets, faster than they come by themselves, and answers to nothing.
  @Test func forwardedPacketsMoveNothing() {
    var network = SimulatedNetwork.pair(seed: 2)
    network.run(for: .seconds(2))
    let home = target(network, 0)
    for _ in 0..<1_000 {
      let known = network.recorded.count
      network.run(for: .milliseconds(2))
      for entry in network.recorded[known...] where entry.from == network.gateways[1].endpoint {
        network.gateways[0].arrive(entry.bytes, from: Self.elsewhere, network.time)
      }
    }
    #expect(network.recorded.contains { $0.to == Self.elsewhere })
    #expect(target(network, 0) == home)
    #expect(network.gateways[0].link(network.now)?.handshakes == 1)
  }

  /// The same, and the forwarder passes challenges on to the true far side, whose old path answers too.
  @Test func aForwarderOfChallengesMovesNothingWhileTheOldPathWorks() {
    var network = SimulatedNetwork.pair(seed: 3)
    network.run(for: .seconds(2))
    let home = target(network, 0)
    var toElsewhere = 0
    for _ in 0..<1_000 {
      let known = network.recorded.count
      network.run(for: .milliseconds(2))
      for entry in Array(network.recorded[known...]) {
        if entry.from == network.gateways[1].endpoint {
          network.gateways[0].arrive(entry.bytes, from: Self.elsewhere, network.time)
        } else if entry.to == Self.elsewhere {
          toElsewhere += 1
          network.gateways[1].arrive(entry.bytes, from: Self.elsewhere, network.time)
        }
      }
    }
    #expect(toElsewhere > 0)
    #expect(target(network, 0) == home)
  }

  /// Recorded packets from elsewhere cause no challenge at all.
  @Test func replayedPacketsCauseNoChallenge() {
    var network = SimulatedNetwork.pair(seed: 4)
    network.run(for: .seconds(3))
    let said = network.recorded.filter { $0.from == network.gateways[1].endpoint }
    for entry in said {
      network.gateways[0].arrive(entry.bytes, from: Self.elsewhere, network.time)
    }
    network.run(for: .seconds(1))
    #expect(!network.recorded.contains { $0.to == Self.elsewhere && $0.bytes[0] >> 4 == 3 })
  }
}
