internal import Base
internal import Kubernetes
internal import Membership
public import Peer
internal import Replication
internal import Slices

/// Runs a `ClusterAgent` beside every peer and checks what it makes of the peer's view.
public final class SliceInvariants: Observer {
  private unowned let invariants: Invariants
  private(set) var agents: [ClusterAgent] = []
  /// The API server of each cluster.
  private(set) var operators: [SimulatedOperator] = []
  private var isPublishing: Set<Int> = []
  /// From a change of the view until the reconcilers have written what follows.
  static let reconcileDelay: Duration = .milliseconds(20)
  /// Of one collection, restarts of the peer included.
  private static let requestsPerMinute = 120

  public init(_ invariants: Invariants) { self.invariants = invariants }

  /// What a machine's DNS server answers for the service of a slice.
  public func answers(of index: Int, in slice: String) -> Set<String> {
    agents[index].answers(slice) ?? []
  }

  /// Addresses of one machine's cluster in a slice, as another one sees them.
  public func addresses(of index: Int, in slice: String, seenBy other: Int) -> Set<String> {
    let exports = agents[other].view.slices[slice]?.exports ?? []
    return Set(
      exports.filter { $0.cluster == agents[index].cluster }
        .flatMap { $0.endpoints.map { "\($0.address)" } })
  }

  public func booted(_ index: Int, _ simulation: Simulation) {
    while agents.count <= index {
      let number = agents.count
      agents.append(
        ClusterAgent(
          cluster: simulation.machines[number].configuration.cluster, number: number))
      let made = SimulatedOperator(
        number, simulation.streams.stream("operator \(number)")
      ) { [unowned self] in reconcile(number, $0) }
      for slice in ClusterAgent.slices {
        made.set(ClusterAgent.key(slice), endpoints: 2, simulation)
      }
      operators.append(made)
    }
    guard let process = simulation.machines[index].process else { return }
    agents[index].rebuild(from: process.peer.state)
    checkAddresses(index, simulation)
    operators[index].start(simulation)
    reconcile(index, simulation)
  }

  public func handled(
    _ input: Peer.Input, _ effects: [Peer.Effect], at index: Int, _ simulation: Simulation
  ) {
    guard let process = simulation.machines[index].process else { return }
    var hasChanged = false
    for effect in effects {
      switch effect {
      case .registersChanged(let registers):
        agents[index].update(registers.map(\.path), from: process.peer.state)
        checkAddresses(index, simulation)
        hasChanged = true
      case .event(.membership(.state(_, let old, let new))) where old.isPresent != new.isPresent:
        hasChanged = true
      default: break
      }
    }
    guard hasChanged else { return }
    rename(index, process.peer, simulation)
    reconcile(index, simulation)
  }

  /// Acts on the view a moment later, however many changes come meanwhile.
  private func reconcile(_ index: Int, _ simulation: Simulation) {
    guard isPublishing.insert(index).inserted else { return }
    simulation.schedule(at: simulation.now + Self.reconcileDelay) { [unowned self] simulation in
      isPublishing.remove(index)
      guard let process = simulation.machines[index].process else { return }
      let registers = agents[index].publications(
        process.peer.state, endpoints: operators[index].endpoints,
        now: simulation.clock(of: simulation.machines[index]))
      if !registers.isEmpty { simulation.handle(.publish(registers), at: index) }
    }
  }

  /// 5: nothing that is active in one view overlaps.
  private func checkAddresses(_ index: Int, _ simulation: Simulation) {
    let view = agents[index].view
    for slice in view.slices.values.sorted(by: { $0.name < $1.name }) {
      let active = slice.members.filter(\.isActive)
      for (place, one) in active.enumerated() {
        for other in active[(place + 1)...] {
          guard let a = one.block, let b = other.block, a.overlaps(b) else { continue }
          invariants.violate(
            "5: peer \(index) sees \(one.cluster) and \(other.cluster) use \(a) of \(slice.name)",
            simulation)
        }
      }
      var owners: [IPAddress: String] = [:]
      for export in slice.exports {
        let block = active.first { $0.cluster == export.cluster }?.block
        for address in export.endpoints.map(\.address) + export.vips {
          if block?.contains(address) != true {
            invariants.violate(
              "5: peer \(index) sees \(export.cluster) use \(address) outside its block",
              simulation)
          }
          if let owner = owners.updateValue(export.cluster, forKey: address) {
            invariants.violate(
              "5: peer \(index) sees \(owner) and \(export.cluster) use \(address)", simulation)
          }
        }
      }
    }
  }

  /// 11: who is held dead is not answered, who is present is; and the own services always are.
  private func rename(_ index: Int, _ peer: Peer, _ simulation: Simulation) {
    let agent = agents[index]
    var present: Set<String> = [agent.cluster]
    for member in peer.membership.presentMembers { present.insert(member.cluster) }
    agent.name(peer.configuration.genesis.zones) { present.contains($0) }
    for slice in agent.view.slices(of: agent.cluster) where slice.isActive(agent.cluster) {
      guard slice.exports.contains(where: { $0.cluster == agent.cluster }) else { continue }
      let answers = agent.answers(slice.name) ?? []
      for export in slice.exports {
        let addresses = Set(export.endpoints.filter(\.ready).map { "\($0.address)" })
        if present.contains(export.cluster), !addresses.isSubset(of: answers) {
          invariants.violate(
            "11: peer \(index) does not answer with \(export.cluster), which is there",
            simulation)
        } else if !present.contains(export.cluster), !addresses.isDisjoint(with: answers) {
          invariants.violate(
            "11: peer \(index) answers with \(export.cluster), which is gone", simulation)
        }
      }
    }
  }

  /// At the end everybody's services are answered everywhere in their slices; what a peer sees of
  /// them is what there is.
  func checkEnd(_ members: [Int], _ simulation: Simulation) {
    for (index, made) in operators.enumerated() where made.mostRequests > Self.requestsPerMinute {
      invariants.violate(
        "7: the operator of peer \(index) asks its API server \(made.mostRequests) times a minute",
        simulation)
    }
    for index in members {
      guard let peer = simulation.machines[index].process?.peer else { continue }
      if !agents[index].hasFollowed(peer.state) {
        invariants.violate("11: peer \(index) did not follow a change of the state", simulation)
      }
    }
    for (slice, namespace) in ClusterAgent.slices {
      var answers: [Set<String>: Int] = [:]
      for index in members {
        guard let peer = simulation.machines[index].process?.peer,
          agents[index].view.slices[slice]?.isActive(agents[index].cluster) == true
        else { continue }
        rename(index, peer, simulation)
        answers[agents[index].answers(slice) ?? []] = index
        let exported = addresses(of: index, in: slice, seenBy: index).count
        let served = operators[index].server.endpoints(
          ObjectKey(namespace: namespace, name: slice))
        if exported != served {
          invariants.violate(
            "11: peer \(index) exports \(exported) endpoints into \(slice), not \(served)",
            simulation)
        }
      }
      if answers.count > 1 {
        invariants.violate(
          "11: peers \(answers.values.sorted()) answer differently in \(slice)", simulation)
      }
    }
  }
}
