public import Base
internal import Membership
internal import Peer
public import Replication

/// A ClusterSet of many one-peer clusters over the world, with what scenarios do to it.
public final class Fleet {
  public var set: SimulatedClusterSet
  public let world: World
  public let simulation: Simulation
  public let recorder = Recorder()
  public var figures: Figures
  private let knowsItself: Bool
  private var rng: SeededGenerator
  /// Dots that the root has used, by path.
  private var counters: [String: UInt64] = [:]

  /// - Parameters:
  ///   - lan: all links alike (5 ms) instead of 24 regions.
  ///   - common: registers that everybody holds from the beginning.
  ///   - starts: boots all machines at once, within `spread`.
  ///   - knowsItself: peers begin with one another's records, as after a long time, instead of
  ///     having to find one another.
  ///   - chronicle: writes down what a report draws.
  public init(
    _ scenario: String, seed: UInt64, nodes: Int, lan: Bool = false, common: Int = 0,
    starts: Bool = true, spread: Duration = .seconds(1), knowsItself: Bool = true,
    world: World = .quick, chronicle: Chronicle? = nil
  ) {
    self.world = world
    var set = SimulatedClusterSet(world)
    self.knowsItself = knowsItself
    var network = NetworkModel()
    if !lan {
      network.jitter = .microseconds(300)
      network.jitterShare = 0.05
    }
    simulation = Simulation(seed: seed, options: network, world: world)
    figures = Figures(scenario: scenario, seed: seed, nodes: nodes)
    rng = simulation.streams.stream("scenario")
    let configurations = (1...UInt64(nodes)).map { set.addCluster($0, seed: seed) }
    set.fill(registers: common)
    self.set = set
    let state = Self.state(set, world.crypto)
    // A signed record of each, as the peer makes it when it starts.
    let records = knowsItself ? configurations.map { Self.record($0, state, world) } : []
    let groundwork = Groundwork(state, crypto: world.crypto, records: records)
    for (index, configuration) in configurations.enumerated() {
      simulation.add(
        configuration, disk: [], region: lan ? nil : index % Regions.all.count, starts: false)
      guard starts else { continue }
      simulation.schedule(at: .zero + rng.duration(upTo: spread)) { simulation in
        simulation.boot(index, state: state, groundwork: groundwork)
      }
    }
    if starts { for machine in simulation.machines { keepHistory(on: machine) } }
    simulation.observers.append(recorder)
    if let chronicle { simulation.observers.append(chronicle) }
  }

  private static func record(
    _ configuration: PeerConfiguration, _ state: ReplicatedState, _ world: World
  ) -> MemberRecord {
    Peer(configuration, state: state, crypto: world.crypto).membership.record
  }

  /// What all disks hold; one dictionary shared by all.
  private lazy var history: [Digest: Changeset] = Dictionary(
    set.history.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })

  private func keepHistory(on machine: Machine) { machine.disk.common = history }

  /// All that the fleet begins with, judged once: copies share their storage.
  private static func state(_ set: SimulatedClusterSet, _ crypto: Crypto) -> ReplicatedState {
    var state = ReplicatedState(genesis: set.genesis, crypto: crypto)
    var changes = StateChanges()
    let now = Now(instant: .zero, wallMilliseconds: Simulation.epochMilliseconds)
    state.load(set.history, now: now, changes: &changes)
    return state
  }

  // MARK: Time

  public var now: Instant { simulation.now }

  public func run(for duration: Duration) { simulation.run(for: duration) }

  /// Whether every running peer holds exactly the running ones it can reach present.
  public var isAccurate: Bool {
    let running = simulation.running
    let view = running.first.flatMap { simulation.machines[$0].process?.peer.membership.viewHash }
    for index in running {
      guard let membership = simulation.machines[index].process?.peer.membership else { continue }
      let present =
        membership.count(.alive) + membership.count(.degraded) + membership.count(.suspect)
      guard membership.viewHash == view, present == running.count - 1 else { return false }
    }
    return true
  }

  /// Runs until all know all, and a while longer for distances to be learnt.
  public func settle(extra: Duration = .seconds(60)) {
    let found = simulation.run(within: .seconds(120), every: .milliseconds(500)) { _ in
      isAccurate
    }
    if !found { figures.violations.append("the fleet did not find itself within 120 s") }
    if knowsItself, extra > Self.placing {
      // What acks tell of others' places in the course of half an hour, and a newcomer at once.
      run(for: Self.placing)
      tellPlaces()
      run(for: extra - Self.placing)
    } else {
      run(for: extra)
    }
    recorder.forgetTransitions()
    recorder.restartPeak()
  }

  /// Until peers have measured their own places, and those have come to rest.
  private static let placing: Duration = .seconds(280)

  /// Hands each peer the places of all, as one message of another that has synchronised with it.
  private func tellPlaces() {
    let running = simulation.running
    let places = running.compactMap { index -> Membership.SyncRecords.Hint? in
      simulation.machines[index].process?.look {
        .init(prefix: $0.id.words.0, coordinate: $0.membership.coordinate)
      }
    }
    for (number, index) in running.enumerated() {
      let other = simulation.machines[running[(number + 1) % running.count]].id
      for start in stride(from: 0, to: places.count, by: Membership.syncEvidenceLimit) {
        let some = Array(places[start..<min(start + Membership.syncEvidenceLimit, places.count)])
        let message = Membership.Message.syncRecords(.init(evidence: [], coordinates: some))
        simulation.handle(.received(from: other, [.membership(message)]), at: index)
      }
    }
  }

  /// Until the condition holds, looked at every 10 ms; `nil`: it did not within the limit.
  public func time(
    within limit: Duration, every interval: Duration = .milliseconds(10),
    until condition: () -> Bool
  ) -> Double? {
    let began = now
    let held = simulation.run(within: limit, every: interval) { _ in condition() }
    return held ? (now - began).milliseconds : nil
  }

  // MARK: Changes

  /// The root sets or deletes a register, after all that it wrote there before.
  public func change(_ path: String, _ value: Value?) -> Changeset {
    var context = VersionVector()
    let counter = counters[path] ?? 0
    if counter > 0 { context.include(set.root.publicKey, counter) }
    counters[path] = counter + 1
    return set.byRoot(
      writes: [Write(path: path, value: value, counter: counter + 1, context: context)],
      at: simulation.wallMilliseconds)
  }

  /// Hands a changeset to a machine's peer and watches it spread.
  public func push(_ changeset: Changeset, at index: Int) {
    recorder.watch(changeset.id, at: now)
    simulation.handle(.submitted([changeset], ticket: 0), at: index)
  }

  public func random(_ bound: Int) -> Int { rng.below(bound) }

  public func random() -> Double { rng.unit() }

  // MARK: Figures

  /// Bytes a second of each peer while `body` runs.
  public func measureBytes(_ body: () -> Void) {
    let before = simulation.machines.reduce(0) { $0 + $1.traffic.bytes }
    let began = now
    recorder.restartPeak()
    let start = CoreClock.seconds
    body()
    let spent = max(CoreClock.seconds - start, 1e-9)
    let bytes = simulation.machines.reduce(0) { $0 + $1.traffic.bytes } - before
    let seconds = max((now - began).milliseconds / 1_000, 1e-9)
    figures.settledSpeed = seconds / spent
    figures.bytesPerSecondPerPeer = Double(bytes) / seconds / Double(max(simulation.count, 1))
    figures.peakBytesPerSecond = Double(recorder.peakBytes)
  }

  public func note(times: [Double]) {
    figures.p50 = times.percentile(0.5)
    figures.p99 = times.percentile(0.99)
    figures.maximum = times.max()
  }

  public func violate(_ sentence: String) { figures.violations.append(sentence) }

  /// Fills in what every scenario has.
  public func finish() -> Figures {
    figures.farthestPath = simulation.network.farthestPath(among: simulation.running).milliseconds
    if let refused = world.wire?.refused, refused > 0 {
      violate("\(refused) messages were refused by the codec")
    }
    figures.falseEvictions = recorder.falseEvictions
    figures.peersOverBudget = recorder.peersOverBudget
    figures.flaps = recorder.flaps
    figures.traceHash = simulation.trace.text
    figures.simulatedSeconds = now.nanosecondsSinceZero / 1e9
    figures.events = simulation.eventCount
    return figures
  }
}

extension Instant {
  fileprivate var nanosecondsSinceZero: Double { Double(nanoseconds) }
}
