import Base
import Testing

@testable import Simulator
@testable import Tunnel

/// Rotations while everything that the far side ever said is said again.
@Suite struct ReplayedControlTests {
  @Test(arguments: 0..<12 as Range<UInt64>) func rotationsCountOnceOnBothSides(seed: UInt64) {
    var rng = SeededGenerator(seed: seed)
    var network = SimulatedNetwork.pair(
      seed: seed, weather: .init(delay: .milliseconds(Int64.random(in: 1...80, using: &rng))))
    network.run(for: .seconds(2))
    #expect(network.established)
    for round in 1...10 {
      network.gateways[round % 2].handle(.renew(slice: "blue"), network.time)
      for step in 0..<80 {
        if step % 8 == 0 { network.gateways[step % 2].handle(.rekey, network.time) }
        network.gateways[0].inject(
          SimulatedNetwork.packet(from: 0, to: 1, number: UInt32(round * 100 + step)))
        network.run(for: .milliseconds(20))
        let said = network.recorded.filter { $0.from == network.gateways[1].endpoint }
        for _ in 0..<4 {
          guard let again = said.suffix(200).randomElement(using: &rng) else { break }
          network.gateways[0].arrive(again.bytes, from: again.from, network.time)
        }
      }
      let counts = network.gateways.map { $0.link(network.now)?.handshakes }
      #expect(counts == [UInt64(round + 1), UInt64(round + 1)], "round \(round)")
    }
    network.run(for: .seconds(1))
    #expect(network.gateways[1].delivered.count == 800)
    #expect(network.gateways[1].drops(.unknownSession) == 0)
  }
}
