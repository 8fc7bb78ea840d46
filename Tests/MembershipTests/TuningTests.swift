import Base
import Testing

@testable import Membership

@Suite struct TuningTests {
  @Test(arguments: [1, 2, 3, 4, 5, 8, 12, 30])
  func small(count: Int) {
    for seed in 1...5 as ClosedRange<UInt64> {
      let network = Network(nodes: count + 1, seed: seed)
      network.startAll()
      let joined = network.run(atMost: .seconds(30)) { network.isAccurate }
      network.run(for: .seconds(5))
      network.run(for: .milliseconds(Int64(seed) * 137))
      network.resetCounters()
      network.crash(0)
      let took = network.run(atMost: .seconds(20)) { network.allKnow(0, [.dead]) }
      network.run(for: .seconds(20))
      network.restart(0, bootEpoch: 2)
      let again = network.run(atMost: .seconds(20)) { network.isAccurate }
      print(
        "small", count + 1, joined?.milliseconds ?? -1, took?.milliseconds ?? -1,
        again?.milliseconds ?? -1, network.transitions.filter { $0.to == .dead && $0.subject != 0 }.count)
    }
  }
  @Test(arguments: 1...5 as ClosedRange<UInt64>)
  func outage(seed: UInt64) {
    let network = ScenarioTests.settled(60, seed: seed)
    for i in 0..<20 { network.crash(i * 3) }
    let took = network.run(atMost: .seconds(60)) { network.isAccurate }
    print("outage", took?.milliseconds ?? -1, network.falseEvictions().count)
  }
  @Test func stormProfile() {
    let network = Network(nodes: 1000, seed: 3)
    network.startAll()
    let took = network.run(atMost: .seconds(60)) { network.isAccurate }
    print("storm", took?.milliseconds ?? -1, network.datagramBytes.max() ?? 0, network.streamBytes.max() ?? 0)
    print("row", MemoryLayout<MemberTable.Row>.size, MemoryLayout<Membership>.size)
  }
}
