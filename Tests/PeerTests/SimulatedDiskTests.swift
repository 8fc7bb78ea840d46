import Base
import Peer
import Replication
import Testing

@testable import Simulator

@Suite struct SimulatedDiskTests {
  /// Two pauses that overlap, or one that ends before its time, let word of a later write come first.
  @Test func writesAreKeptInOrderWhereAMachineStoodStill() throws {
    var set = SimulatedClusterSet()
    let simulation = Simulation(seed: 1)
    let configuration = set.addCluster(1)
    simulation.add(configuration, disk: set.history)
    let machine = simulation.machines[0]
    let changeset = try #require(set.history.last)

    simulation.pause(0, for: .seconds(10))
    simulation.write([], forget: [changeset.id], on: machine)
    simulation.run(for: .seconds(1))
    machine.pausedUntil = simulation.now
    simulation.write([changeset], on: machine)
    simulation.run(for: .seconds(20))

    #expect(machine.disk.contains(changeset.id))
    #expect(machine.disk.unsynced.isEmpty)
  }
}
