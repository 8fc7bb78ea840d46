internal import Base
internal import Membership
internal import Peer
internal import Replication

/// One run of a plan, with all invariants; then faults stop and everything must converge.
public final class Rehearsal {
  public let plan: Plan
  public let simulation: Simulation
  public let invariants = Invariants()
  let slices: SliceInvariants
  var set = SimulatedClusterSet()
  var admins: [(signer: Signer, grant: Digest)] = []
  private var backups: [Int: Disk] = [:]
  /// Changesets of each admin, oldest first.
  private var written: [[Digest]] = [[], [], [], []]
  var revoked: Set<Int> = []
  /// Durable on the machine that took it, and so promised to whoever pushed it.
  private var acknowledged: [Digest: Changeset] = [:]
  /// Who else had what a machine forgot by coming back with an old disk.
  private var kept: [Digest: Set<Int>] = [:]
  private var pushed: [Digest: (changeset: Changeset, at: Int)] = [:]
  var sample: [(from: Int, messages: [PeerMessage])] = []
  var rng: SeededGenerator
  private var tweak: (Rehearsal) -> Void

  /// - Parameter tweak: plants a bug, for `mutants`.
  public init(_ plan: Plan, tweak: @escaping (Rehearsal) -> Void = { _ in }) {
    self.plan = plan
    slices = SliceInvariants(invariants)
    self.tweak = tweak
    var network = NetworkModel()
    network.loss = plan.loss
    if plan.isWorldwide { network.jitterShare = 0.1 }
    simulation = Simulation(seed: plan.seed, options: network)
    rng = simulation.streams.stream("rehearsal")
    admins = [(set.root, set.genesis.id)]
    for number in 0..<2 {
      let signer = SimulatedCrypto.signer(500_000 + UInt64(number))
      let grant = set.grant(to: signer)
      admins.append((signer, grant.id))
    }
  }

  public struct Outcome: Sendable {
    public var violations: [String]
    public var traceHash: String
    public var simulatedSeconds: Double
    public var events: Int
  }

  /// A fleet and, for one seed of four each, a pair of gateways, or two with relays between them.
  public static func outcome(of seed: UInt64) -> Outcome {
    var outcome = Rehearsal(Plan(seed: seed)).run()
    if seed.isMultiple(of: 4) {
      var tunnel = TunnelRehearsal(seed: seed)
      outcome.violations += tunnel.run()
    } else if seed % 4 == 2 {
      var relays = RelayRehearsal(seed: seed)
      outcome.violations += relays.run()
    }
    return outcome
  }

  public func run() -> Outcome {
    let configurations = (1...UInt64(plan.machines)).map {
      set.addCluster($0, seed: plan.seed)
    }
    simulation.observers = [invariants, slices, Watcher(self)]
    invariants.troubled(until: .zero + .seconds(10))
    tweak(self)
    for (index, configuration) in configurations.enumerated() {
      simulation.add(
        configuration, disk: set.history, region: plan.isWorldwide ? (index * 7) % 24 : nil)
      simulation.machines[index].clockDrift = index.isMultiple(of: 2) ? plan.clockDrift : 0
    }
    for step in plan.steps {
      simulation.run(until: .zero + step.at)
      perform(step.action)
    }
    converge()
    return Outcome(
      violations: invariants.violations, traceHash: simulation.trace.text,
      simulatedSeconds: (simulation.now - .zero).milliseconds / 1_000,
      events: simulation.eventCount)
  }

  // MARK: Steps

  private func perform(_ action: Plan.Action) {
    if action.isTrouble { invariants.troubled(until: simulation.now + action.lasting) }
    switch action {
    case .crash(let machine): simulation.crash(machine)
    case .restart(let machine): simulation.restart(machine)
    case .backUp(let machine): backups[machine] = simulation.machines[machine].disk
    case .restore(let machine): restore(machine)
    case .pause(let machine, let duration): simulation.pause(machine, for: duration)
    case .leave(let machine):
      simulation.leave(machine)
      simulation.run(for: .seconds(1))
      simulation.crash(machine)
    case .partition(let bits): simulation.partition { Int(bits >> UInt64($0 & 63) & 1) }
    case .cutOneWay(let from, let to):
      simulation.cut(from: machines(from), to: machines(to & ~from))
    case .cutBothWays(let one, let other):
      simulation.cut(from: machines(one), to: machines(other & ~one))
      simulation.cut(from: machines(other & ~one), to: machines(one))
    case .heal: simulation.heal()
    case .loss(let loss): simulation.network.loss = loss
    case .disorder(let duplication, let reordering):
      simulation.network.duplication = duplication
      simulation.network.reordering = reordering
    case .clock(let machine, let offset): simulation.machines[machine].clockOffset = offset
    case .fillDisk(let machine): simulation.machines[machine].disk.isFull = true
    case .apiServer(let machine, let trouble):
      slices.operators[machine].trouble(trouble, simulation)
    case .export(let machine, let slice, let endpoints):
      slices.operators[machine].set(
        ClusterAgent.key(ClusterAgent.slices[slice]), endpoints: endpoints, simulation)
    case .write(let admin, let register, let at): write(admin, register, at, isDeleting: false)
    case .delete(let admin, let register, let at): write(admin, register, at, isDeleting: true)
    case .publish(let machine, let version): publish(machine, version)
    case .revoke(let admin, let at, let keeps): revoke(admin, at, keeps)
    case .apply(let slice, let members, let admin, let at): apply(slice, members, admin, at)
    case .grant(let at): grant(at)
    case .expel(let machine, let at): expel(machine, at)
    case .replay(let machine): replay(machine)
    case .forge(let machine): forge(machine)
    case .garble(let machine): garble(machine)
    case .flood(let machine): flood(machine)
    case .withhold(let machine): withhold(machine)
    case .equivocate(let admin, let register, let at, let other):
      equivocate(admin, register, at, other)
    }
  }

  private func machines(_ bits: UInt64) -> Set<Int> {
    Set((0..<plan.machines).filter { bits >> UInt64($0 & 63) & 1 == 1 })
  }

  private func restore(_ machine: Int) {
    guard let old = backups[machine] else { return }
    // What only this disk held is lost with it; nobody promised more.
    for id in acknowledged.keys where !old.contains(id) {
      let others = simulation.machines.filter { $0.index != machine && $0.disk.contains(id) }
      if others.isEmpty { acknowledged[id] = nil } else { kept[id] = Set(others.map(\.index)) }
    }
    simulation.restart(machine, from: old)
  }

  private func write(_ admin: Int, _ register: Int, _ at: Int, isDeleting: Bool) {
    guard admins.indices.contains(admin) else { return }
    let (signer, grant) = admins[admin]
    guard let state = simulation.machines[at].process?.peer.state,
      let write = state.write(
        "slice/s\(register)",
        isDeleting ? nil : ["cidr": .string("10.\(rng.below(250)).0.0/16")],
        author: signer.publicKey)
    else { return }
    // Admins' clocks are wrong by up to some seconds, and a revoked one backdates.
    let error = Int64(rng.below(8_000)) - (revoked.contains(admin) ? 60_000 : 4_000)
    let time = UInt64(Int64(simulation.wallMilliseconds) + error)
    let changeset = set.signedApart(by: signer, under: grant, writes: [write], at: time)
    push(changeset, at, by: admin)
    // 4: it covers all that was there, so it alone is in force.
    guard let after = simulation.machines[at].process?.peer.state, after.counts(changeset.id) else {
      return
    }
    if after.value(write.path) != write.value || after.register(write.path)?.isConflict == true {
      invariants.violate("4: what \(write.path) held is not covered by a later write", simulation)
    }
  }

  func push(_ changeset: Changeset, _ at: Int, by admin: Int) {
    written[admin].append(changeset.id)
    pushed[changeset.id] = (changeset, at)
    if let floor = floors[admin] { invariants.voided[floor, default: []].append(changeset.id) }
    simulation.handle(.submitted([changeset], ticket: 0), at: at)
  }

  private var floors: [Int: Digest] = [:]
  /// Kept by a floor that did not come into force where it was pushed.
  private var replaceable: Set<Digest> = []

  private func publish(_ machine: Int, _ version: Int) {
    let name = simulation.machines[machine].configuration.cluster
    let key = simulation.machines[machine].configuration.signer.publicKey
    let info: Value = [
      "ca": .bytes(Array(name.utf8)), "version": .string("\(version)"),
      "peers": [["key": .bytes(key.bytes), "addresses": [.string("\(name):7946")]]],
    ]
    simulation.handle(
      .publish([LocalRegister(scope: .clusterset, path: "cluster/\(name)/info", value: info)]),
      at: machine)
  }

  private func revoke(_ admin: Int, _ at: Int, _ keeps: Bool) {
    guard revoked.insert(admin).inserted, simulation.machines[at].isUp else { return }
    // Who revokes goes by what the peer at hand shows: what nobody else holds by then its own author may
    // have replaced.
    let state = simulation.machines[at].process?.peer.state
    let kept = keeps ? Set(written[admin].suffix(3)).filter { state?.contains($0) == true } : []
    let floor = set.byRoot(
      floors: [Floor(grant: admins[admin].grant, time: .max, keep: kept.sorted())],
      at: simulation.wallMilliseconds)
    floors[admin] = floor.id
    invariants.voided[floor.id] = written[admin].filter { !kept.contains($0) }
    invariants.kept[floor.id] = kept.sorted()
    pushed[floor.id] = (floor, at)
    simulation.handle(.submitted([floor], ticket: 0), at: at)
    // A peer whose clock is behind puts the floor off, and takes before it what replaces the kept.
    if simulation.machines[at].process?.peer.state.counts(floor.id) != true {
      replaceable.formUnion(kept)
    }
  }

  private func grant(_ at: Int) {
    guard admins.count < 4, simulation.machines[at].isUp else { return }
    let signer = SimulatedCrypto.signer(500_002)
    let grant = set.byRoot(
      grant: Grant(subject: signer.publicKey, capabilities: [.slice("*")]),
      at: simulation.wallMilliseconds)
    pushed[grant.id] = (grant, at)
    admins.append((signer, grant.id))
    simulation.handle(.submitted([grant], ticket: 0), at: at)
  }

  /// At most one, and never the machines that the end is judged by.
  private func expel(_ machine: Int, _ at: Int) {
    guard expelled == nil, machine > 1, machine != at, simulation.machines[at].isUp else { return }
    let configuration = simulation.machines[machine].configuration
    let (key, cluster) = (configuration.signer.publicKey, configuration.cluster)
    guard let own = simulation.machines[at].process?.peer.state.ownGrant(of: key, for: cluster)
    else { return }
    expelled = machine
    invariants.expelled = machine
    let floor = set.byRoot(
      floors: [Floor(grant: own, time: .max, keep: [])], at: simulation.wallMilliseconds)
    pushed[floor.id] = (floor, at)
    simulation.handle(.submitted([floor], ticket: 0), at: at)
  }

  var expelled: Int?

  /// Machines that belong to the ClusterSet by the state that the first one holds.
  private var members: [Machine] {
    simulation.machines.filter { machine in
      machine.index != expelled
        || simulation.machines[0].process?.peer.admitted[machine.id] != nil
    }
  }

  // MARK: The end

  /// 2: after faults stop, all converge, membership included.
  private func converge() {
    simulation.heal()
    simulation.network.loss = 0
    (simulation.network.duplication, simulation.network.reordering) = (0, 0)
    for made in slices.operators { made.trouble(nil, simulation) }
    for machine in simulation.machines {
      machine.clockOffset = .zero
      machine.tamper = nil
      machine.disk.isFull = false
      machine.pausedUntil = min(machine.pausedUntil, simulation.now)
      simulation.restart(machine.index)
    }
    let isDone = simulation.run(within: .seconds(180), every: .milliseconds(500)) { _ in
      agree && isAccurate
    }
    if !isDone {
      invariants.violate(
        agree ? "2: views of members differ: \(odditiesOfViews)" : "2: sets differ", simulation)
    }
    checkAcknowledged()
    // 6: no flapping: once converged, it stays so.
    simulation.run(for: .seconds(60))
    if isDone, !isAccurate { invariants.violate("6: a healthy member was evicted", simulation) }
    checkStored()
    for machine in members {
      guard let peer = machine.process?.peer, peer.membership.count(.suspect) > 0 else { continue }
      invariants.violate("6: peer \(machine.index) suspects a healthy member", simulation)
    }
    // 11: the reconcilers have had their time, too.
    if isDone { slices.checkEnd(members.map(\.index), simulation) }
    // 7: and then there is little to say, once what was held up for a minute, lies too, is answered.
    let rates = (0..<3).map { _ in idleRate() }
    if isDone, let least = rates.min(), least > Self.idleBytesPerSecond {
      invariants.violate("7: idle peers send \(least) bytes a second each", simulation)
    }
  }

  private static let idleBytesPerSecond = 600

  /// Bytes a second that a member sends, over twenty seconds.
  private func idleRate() -> Int {
    let before = members.reduce(0) { $0 + $1.traffic.bytes }
    simulation.run(for: .seconds(20))
    return (members.reduce(0) { $0 + $1.traffic.bytes } - before) / members.count / 20
  }

  /// All hold the same of each scope that they hold.
  private var agree: Bool {
    let states = members.compactMap { $0.process?.peer }
    for scope in [.clusterset] + ClusterAgent.slices.map({ Scope.slice($0.0) }) {
      let holders = states.filter { $0.state.isHeld(scope) }
      guard Set(holders.map { $0.state.digest(scope) }).count <= 1 else { return false }
    }
    return true
  }

  private var isAccurate: Bool {
    let members = members
    let views = members.compactMap { $0.process?.peer.membership.viewHash }
    return Set(views).count == 1
      && members.allSatisfy { machine in
        guard let membership = machine.process?.peer.membership else { return false }
        let present =
          membership.count(.alive) + membership.count(.degraded) + membership.count(.suspect)
        return present == members.count - 1
      }
  }

  /// Who holds whom not present, for whoever has to find out why.
  private var odditiesOfViews: String {
    let members = members
    let oddities = members.flatMap { machine in
      members.compactMap { other -> String? in
        guard other.index != machine.index,
          let state = machine.process?.peer.membership.state(of: other.id), !state.isPresent
        else { return nil }
        return "\(machine.index) holds \(other.index) \(state)"
      }
    }
    return oddities.isEmpty
      ? "about who is no member" : oddities.prefix(6).joined(separator: ", ")
  }

  /// 8: giving a peer all that was ever acknowledged changes nothing. 4: nor do deleted registers
  /// return, since deletions are among it.
  private func checkAcknowledged() {
    guard var state = simulation.peer(0)?.state else { return }
    let before = state.digest(.clusterset)
    let now = simulation.clock(of: simulation.machines[0])
    for id in acknowledged.keys.sorted() {
      // What only an expelled peer took, nobody else takes from it.
      guard let changeset = acknowledged[id], pushed[id]?.at != expelled,
        !replaceable.contains(id)
      else { continue }
      // Nor what it alone still had when the disk of who took it was set back.
      if let expelled, kept[id] == [expelled] { continue }
      var changes = StateChanges()
      _ = state.ingest(changeset, now: now, changes: &changes)
      guard state.digest(.clusterset) != before else { continue }
      return invariants.violate("8: the acknowledged changeset \(id) is lost", simulation)
    }
  }

  /// 8: what a peer keeps is on its disk.
  private func checkStored() {
    for machine in members {
      guard let state = machine.process?.peer.state else { continue }
      for id in state.scopes.flatMap(state.compared) where !machine.disk.keeps(id) {
        invariants.violate("8: peer \(machine.index) did not store \(id)", simulation)
        break
      }
    }
  }

  func stored(_ ids: [Digest], at machine: Int) {
    for id in ids {
      guard let (changeset, at) = pushed[id], at == machine else { continue }
      acknowledged[id] = changeset
    }
  }
}
