internal import Base
internal import Peer
internal import Replication
internal import Simulator

extension Scenario {
  /// Two peers that hold 100,000 changesets differ in d of them: what evening out costs, beside the
  /// changesets themselves. The figures are those of d = 1,000; smaller ones are checked too.
  static let sync = Scenario(
    name: "sync", summary: "d = 1, 10, 100 and 1,000 differences in 100,000 changesets", nodes: 2
  ) { parameters in
    let fleet = Fleet(
      "sync", seed: parameters.seed, nodes: 2, common: Int(parameters.seconds ?? 100_000))
    fleet.settle(extra: .seconds(10))
    let simulation = fleet.simulation
    for differences in [1, 10, 100, 1_000] {
      simulation.partition { $0 }
      fleet.run(for: .seconds(30))
      for number in 0..<differences {
        let path = "slice/d\(differences)-\(number)"
        let change = fleet.change(path, ["cidr": "10.1.0.0/16"])
        simulation.handle(.submitted([change], ticket: 0), at: number % 3 == 0 ? 0 : 1)
      }
      fleet.run(for: .seconds(5))
      let known = fleet.recorder.sessions.count
      let before = fleet.recorder.reconciliationBytes
      simulation.heal()
      let took = fleet.time(within: .seconds(120)) {
        simulation.machines[0].process?.peer.state.digest(.clusterset)
          == simulation.machines[1].process?.peer.state.digest(.clusterset)
      }
      fleet.run(for: .seconds(10))
      let sessions = fleet.recorder.sessions.dropFirst(known)
      let bytes = fleet.recorder.reconciliationBytes - before
      let allowed = differences * 63 + 256
      if took == nil { fleet.violate("\(differences) differences were not evened out") }
      if bytes > allowed {
        let kinds = sessions.map { "\($0.kind) \($0.outcome) \($0.controlBytes)" }
        fleet.violate(
          "\(differences) differences took \(bytes) bytes, \(allowed) are allowed: \(kinds)")
      }
      fleet.note(times: took.map { [$0] } ?? [])
      fleet.figures.syncDifferences = differences
      fleet.figures.syncBytes = bytes
      fleet.figures.syncBytesAllowed = allowed
    }
    return fleet
  }
}
