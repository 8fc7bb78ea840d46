public import Base
public import Peer
public import Replication

/// Many peers in virtual time, from one seed.
///
/// Runs the `Peer` core of the daemon; what is simulated is the world around it: clocks, links, disks,
/// crashes, and the streams and seeds that the daemon's runtime provides. A run is fixed by its seed:
/// `trace` is equal wherever everything that happened is.
public final class Simulation {
  public typealias Options = NetworkModel

  public private(set) var now: Instant = .zero
  /// The network as it is now.
  public var network: NetworkModel
  public var options: NetworkModel {
    get { network }
    set { network = newValue }
  }
  /// Until what was given to a disk is durable.
  public var diskDelay: Duration = .milliseconds(1)
  /// Wall clock at instant zero.
  public static let epochMilliseconds: UInt64 = 1_750_000_000_000

  public let streams: SeedStreams
  public let world: World
  public private(set) var machines: [Machine] = []
  public private(set) var trace = TraceHash()
  /// Inputs handled.
  public private(set) var eventCount = 0
  var indices: [NodeID: Int] = [:]
  var addresses: [String: Int] = [:]
  var queue = EventQueue<Event>()
  var connections = StreamTable()
  var diskRNG: SeededGenerator
  private var machineRNG: SeededGenerator
  private var diskWrites: UInt64 = 0
  private var effects: [Peer.Effect] = []
  private var isHandling = false
  /// Everybody who wants to see what happens.
  public var observers: [any Observer] = []

  /// What happened to machines and links, and when, for the report.
  public private(set) var script: [(at: Instant, what: String)] = []
  private static let scriptLimit = 1_000

  public func note(_ what: String) {
    if script.count < Self.scriptLimit { script.append((now, what)) }
  }

  public internal(set) var verdicts: [UInt64: [Peer.Verdict]] = [:]
  public internal(set) var confirmations: [Digest: [NodeID: Instant]] = [:]

  enum Event {
    case datagram(from: Int32, life: Int32, [PeerMessage])
    case frame(from: Int32, life: Int32, PeerMessage)
    /// The same two as bytes.
    case packet(from: Int32, life: Int32, [UInt8])
    case framed(from: Int32, life: Int32, [UInt8])
    /// Packets of a machine are due.
    case poll(life: Int32)
    case stored(life: Int32, number: UInt64)
    /// The first thing said on a new connection.
    case introduction(from: Int32, life: Int32, PeerMessage)
    case answer(from: Int32, life: Int32, PeerMessage)
    /// A connection is up and both sides know each other.
    case identified(with: Int32, life: Int32)
    case script((Simulation) -> Void)
  }

  public init(
    seed: UInt64, options: NetworkModel = NetworkModel(), world: World = .quick
  ) {
    self.world = world
    streams = SeedStreams(seed: seed)
    network = options
    network.rng = streams.stream("network")
    diskRNG = streams.stream("disk")
    machineRNG = streams.stream("machines")
  }

  // MARK: Looking

  public var count: Int { machines.count }

  public func peer(_ index: Int) -> Peer? { machines[index].peer }

  public func index(of node: NodeID) -> Int? { indices[node] }

  public var datagrams: Int { machines.reduce(0) { $0 + $1.traffic.datagrams } }
  public var frames: Int { machines.reduce(0) { $0 + $1.traffic.frames } }

  /// Machines whose peer runs.
  public var running: [Int] { machines.indices.filter { machines[$0].isUp } }

  // MARK: Machines

  /// Adds a machine whose disk holds these changesets already; it starts at once.
  ///
  /// - Parameter region: of `Regions.all`; `nil`: all links are alike.
  @discardableResult
  public func add(
    _ configuration: PeerConfiguration, disk: [Changeset] = [], region: Int? = nil,
    state: ReplicatedState? = nil, starts: Bool = true
  ) -> Int {
    let index = machines.count
    let id = world.crypto.nodeID(of: configuration.signer.publicKey)
    let machine = Machine(index: index, configuration: configuration, id: id)
    machine.disk.common = Dictionary(
      disk.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    machine.disk.bootEpoch = configuration.bootEpoch
    machines.append(machine)
    network.addMachine(region: region, using: &machineRNG)
    indices[id] = index
    for address in configuration.addresses { addresses[address] = index }
    if starts { boot(index, state: state) }
    return index
  }

  /// - Parameter state: what its disk comes to, where that is known already.
  public func boot(
    _ index: Int, state prepared: ReplicatedState? = nil, groundwork: Groundwork? = nil
  ) {
    let machine = machines[index]
    let state = prepared ?? load(machine)
    machine.start(
      Peer(
        machine.configuration, state: state, crypto: world.crypto,
        groundwork: groundwork))
    machine.started = now
    world.wire?.start(index, machine.configuration)
    for observer in observers { observer.booted(index, self) }
    handle(.start, at: index)
  }

  private func load(_ machine: Machine) -> ReplicatedState {
    let configuration = machine.configuration
    var state = ReplicatedState(
      genesis: configuration.genesis, crypto: world.crypto,
      cluster: configuration.cluster)
    var changes = StateChanges()
    state.load(machine.disk.sorted, now: clock(of: machine), changes: &changes)
    return state
  }

  func crashed(_ machine: Machine) {
    machine.stop()
    machine.life += 1
    machine.wakeAt = .distantFuture
    machine.pollAt = .distantFuture
  }

  func nextSeed() -> UInt64 { machineRNG.next() }

  /// True time of day.
  public var wallMilliseconds: UInt64 {
    Self.epochMilliseconds + UInt64(max(0, now.nanoseconds)) / 1_000_000
  }

  /// What a machine's clocks say.
  public func clock(of machine: Machine) -> Now {
    var nanoseconds = now.nanoseconds
    if machine.clockDrift != 0 || machine.clockOffset != .zero {
      nanoseconds += Int64(Double(nanoseconds) * machine.clockDrift)
      nanoseconds += machine.clockOffset.nanoseconds
    }
    let wall = Int64(Self.epochMilliseconds) + nanoseconds / 1_000_000
    return Now(instant: now, wallMilliseconds: UInt64(max(1, wall)))
  }

  // MARK: Running

  /// Hands an input to a machine's peer and carries out what comes of it.
  public func handle(_ input: Peer.Input, at index: Int) {
    let machine = machines[index]
    guard let process = machine.process else { return }
    // An effect never runs another input at once, so one buffer serves all; scripts and observers
    // that do get one of their own.
    var effects: [Peer.Effect] = []
    if !isHandling { swap(&effects, &self.effects) }
    let wasHandling = isHandling
    isHandling = true
    eventCount += 1
    process.peer.handle(input, now: clock(of: machine), effects: &effects)
    trace.add(UInt64(bitPattern: now.nanoseconds))
    trace.add((index << 16) | effects.count)
    for effect in effects { perform(effect, of: machine) }
    if !observers.isEmpty {
      for observer in observers { observer.handled(input, effects, at: index, self) }
    }
    effects.removeAll(keepingCapacity: effects.capacity < 1024)
    isHandling = wasHandling
    if !wasHandling { swap(&effects, &self.effects) }
    scheduleWake(machine)
  }

  func scheduleWake(_ machine: Machine) {
    guard let process = machine.process else { return }
    // In place: reading a property of the box would copy the whole peer first.
    let due = withUnsafeMutablePointer(to: &process.peer) { $0.pointee.nextDeadline }
    machine.due = due
    guard due < .distantFuture else { return }
    let at = max(due, now)
    guard at < machine.wakeAt else { return }
    machine.wakeAt = at
    queue.addWake(of: machine.index, at: at)
  }

  /// Runs until the instant.
  public func run(until end: Instant) {
    while let next = queue.nextInstant, next <= end { step() }
    now = max(now, end)
  }

  public func run(for duration: Duration) { run(until: now + duration) }

  /// Runs until the condition holds; `false` where the deadline came first.
  ///
  /// - Parameter every: how often it is looked at; `nil`: after each event.
  public func run(
    within limit: Duration, every interval: Duration? = nil,
    until condition: (Simulation) -> Bool
  ) -> Bool {
    let deadline = now + limit
    while !condition(self) {
      guard now < deadline else { return false }
      if let interval {
        run(until: min(now + interval, deadline))
      } else if let next = queue.nextInstant, next <= deadline {
        step()
      } else {
        now = deadline
      }
    }
    return true
  }

  /// Does something at a time of its own: scripts of faults, workloads.
  public func schedule(at instant: Instant, _ action: @escaping (Simulation) -> Void) {
    queue.add(.script(action), for: 0, at: max(instant, now))
  }

  private func step() {
    guard let key = queue.next() else { return }
    now = max(now, key.at)
    let machine = machines[Int(key.machine)]
    guard key.payload >= 0 else { return wake(machine, key.at) }
    if machine.pausedUntil > now, let event = queue.take(key.payload) {
      if case .script(let action) = event { return action(self) }
      return queue.add(event, for: machine.index, at: machine.pausedUntil)
    }
    guard let event = queue.take(key.payload) else { return }
    perform(event, at: machine)
  }

  private func wake(_ machine: Machine, _ at: Instant) {
    guard machine.wakeAt == at else { return }
    machine.wakeAt = .distantFuture
    if machine.pausedUntil > now {
      machine.wakeAt = machine.pausedUntil
      queue.addWake(of: machine.index, at: machine.pausedUntil)
    } else if machine.due > now {
      // Something else has done what was due.
      scheduleWake(machine)
    } else {
      handle(.tick, at: machine.index)
    }
  }

  // MARK: Disks

  func write(_ changesets: [Changeset], forget: [Digest] = [], on machine: Machine) {
    guard !machine.disk.isFull else { return }
    diskWrites += 1
    machine.disk.unsynced.append((diskWrites, changesets, forget))
    queue.add(
      .stored(life: machine.life, number: diskWrites), for: machine.index, at: now + diskDelay)
  }
}
