internal import Base
internal import Peer
internal import Replication
internal import Simulator

extension Scenario {
  /// A cluster dies and comes back: when do its endpoints leave the answers of all others, and when are
  /// they back? Then one peer is alone and goes on acting on what it has.
  static let names = Scenario(
    name: "names", summary: "endpoints of a dead cluster leave DNS and return; a peer acts alone",
    nodes: 24, least: 3
  ) { parameters in
    let fleet = Fleet("names", parameters)
    let simulation = fleet.simulation
    let invariants = Invariants()
    let slices = SliceInvariants(invariants)
    simulation.observers.append(slices)
    fleet.settle(extra: .seconds(5))
    let everyone = Array(0..<parameters.nodes)
    func apply(_ members: [Int], at index: Int) {
      if let change = fleet.slice(of: members, seenBy: index) { fleet.push(change, at: index) }
    }
    apply(everyone, at: 0)
    fleet.run(for: .seconds(10))
    let victim = 1 + fleet.random(parameters.nodes - 1)
    let addresses = slices.addresses(of: victim, in: "blue", seenBy: 0)
    if addresses.isEmpty { fleet.violate("nothing was exported") }
    func answer(_ index: Int) -> Set<String> { slices.answers(of: index, in: "blue") }
    simulation.crash(victim)
    let gone = fleet.time(within: .seconds(60)) {
      simulation.running.allSatisfy { answer($0).isDisjoint(with: addresses) }
    }
    if gone.map({ $0 > 10_000 }) ?? true { fleet.violate("a dead cluster was answered for 10 s") }
    simulation.restart(victim)
    let back = fleet.time(within: .seconds(60)) {
      simulation.running.allSatisfy { addresses.isSubset(of: answer($0)) }
    }
    if back.map({ $0 > 10_000 }) ?? true {
      fleet.violate("it was not answered 10 s after its return")
    }
    fleet.note(times: [gone, back].compactMap { $0 })
    // Alone, for longer than anybody is remembered alive; the last view stays, and changes are taken.
    let hermit = 0
    let own = slices.addresses(of: hermit, in: "blue", seenBy: hermit)
    simulation.partition { $0 == hermit ? 1 : 0 }
    fleet.run(for: .seconds(parameters.seconds ?? 120))
    if answer(hermit) != own {
      fleet.violate("a peer alone does not answer with what it has itself")
    }
    if slices.addresses(of: victim, in: "blue", seenBy: hermit) != addresses {
      fleet.violate("a peer alone has forgotten what others exported")
    }
    apply(everyone.filter { $0 != victim }, at: hermit)
    fleet.run(for: .seconds(1))
    if !slices.addresses(of: victim, in: "blue", seenBy: hermit).isEmpty {
      fleet.violate("a peer alone does not act on a change")
    }
    simulation.heal()
    let same = fleet.time(within: .seconds(60)) {
      simulation.running.allSatisfy { answer($0) == answer(victim == 1 ? 2 : 1) || $0 == victim }
    }
    if same == nil { fleet.violate("answers differ a minute after the partition") }
    invariants.violations.forEach { fleet.violate($0) }
    return fleet
  }
}
