public import Base
public import Peer
public import Replication

/// Many peers in virtual time, from one seed.
///
/// Runs the `Peer` core of the daemon; what is simulated is the world around it: links with delay and
/// loss, disks, crashes and restarts, partitions.
public struct Simulation {
  public struct Options: Sendable {
    /// One way, before `jitter`.
    public var delay: Duration = .milliseconds(5)
    public var jitter: Duration = .milliseconds(2)
    /// Share of datagrams that are lost; streams lose nothing but their connection.
    public var loss = 0.0
    /// Until what was given to the disk is durable.
    public var diskDelay: Duration = .milliseconds(1)

    public init() {}
  }

  struct Machine {
    var configuration: PeerConfiguration
    var peer: Peer?
    /// What is durable, in the order in which it became so.
    var disk: [Digest: Changeset] = [:]
    var wakeAt: Instant = .distantFuture
    /// Raised by every crash: what was on its way for an earlier life is dropped.
    var life = 0
  }

  enum Event {
    case wake(Int, life: Int)
    case deliver(from: Int, to: Int, [PeerMessage], life: Int)
    case stored(Int, [Changeset], life: Int)
    case seedReached(Int, Int, life: Int)
  }

  public private(set) var now: Instant = .zero
  public var options: Options
  /// Wall clock at instant zero.
  public static let epochMilliseconds: UInt64 = 1_750_000_000_000

  private var machines: [Machine] = []
  private var indices: [NodeID: Int] = [:]
  private var addresses: [String: Int] = [:]
  private var queue = EventQueue<Event>()
  private var rng: SeededGenerator
  /// Machines of different groups do not reach one another.
  private var groups: [Int]
  /// Events of interest in the order in which they came: (machine, effect).
  public private(set) var datagrams = 0
  public private(set) var frames = 0
  public private(set) var verdicts: [UInt64: [Peer.Verdict]] = [:]
  public private(set) var confirmations: [Digest: [NodeID: Instant]] = [:]

  public init(seed: UInt64, options: Options = Options()) {
    self.options = options
    rng = SeededGenerator(seed: seed)
    groups = []
  }

  public var count: Int { machines.count }

  public func peer(_ index: Int) -> Peer? { machines[index].peer }

  /// Adds a machine whose disk holds these changesets already; it starts at once.
  @discardableResult
  public mutating func add(_ configuration: PeerConfiguration, disk: [Changeset]) -> Int {
    let index = machines.count
    var machine = Machine(configuration: configuration)
    for changeset in disk { machine.disk[changeset.id] = changeset }
    machines.append(machine)
    groups.append(0)
    indices[SimulatedCrypto.crypto.nodeID(of: configuration.signer.publicKey)] = index
    for address in configuration.addresses { addresses[address] = index }
    boot(index)
    return index
  }

  // MARK: Faults

  public mutating func crash(_ index: Int) {
    machines[index].peer = nil
    machines[index].life += 1
  }

  public mutating func restart(_ index: Int) {
    machines[index].configuration.bootEpoch += 1
    machines[index].configuration.seed = rng.next()
    boot(index)
  }

  /// Splits the machines: each belongs to the group given for it.
  public mutating func partition(_ group: (Int) -> Int) {
    for index in groups.indices { groups[index] = group(index) }
  }

  public mutating func heal() {
    partition { _ in 0 }
  }

  // MARK: Running

  public mutating func handle(_ input: Peer.Input, at index: Int) {
    guard machines[index].peer != nil else { return }
    var effects: [Peer.Effect] = []
    let now = wallNow
    machines[index].peer?.handle(input, now: now, effects: &effects)
    for effect in effects { perform(effect, of: index) }
    scheduleWake(index)
  }

  /// Runs until the instant.
  public mutating func run(until end: Instant) {
    while let next = queue.nextInstant, next <= end { step() }
    now = max(now, end)
  }

  /// Runs until the condition holds; `false` where the deadline came first.
  public mutating func run(
    within limit: Duration, until condition: (Simulation) -> Bool
  ) -> Bool {
    let deadline = now + limit
    while !condition(self) {
      guard let next = queue.nextInstant, next <= deadline else {
        now = deadline
        return condition(self)
      }
      step()
    }
    return true
  }

  private var wallNow: Now {
    Now(
      instant: now,
      wallMilliseconds: Self.epochMilliseconds + UInt64(max(0, now.nanoseconds)) / 1_000_000)
  }

  private mutating func boot(_ index: Int) {
    let configuration = machines[index].configuration
    var state = ReplicatedState(
      genesis: configuration.genesis, crypto: SimulatedCrypto.crypto)
    var changes = StateChanges()
    for changeset in machines[index].disk.values.sorted(by: { $0.id < $1.id }) {
      _ = state.ingest(changeset, now: wallNow, verified: true, changes: &changes)
    }
    machines[index].peer = Peer(configuration, state: state, crypto: SimulatedCrypto.crypto)
    handle(.start, at: index)
  }

  private mutating func step() {
    guard let (at, event) = queue.next() else { return }
    now = max(now, at)
    switch event {
    case .wake(let index, let life):
      guard machines[index].life == life, machines[index].wakeAt <= now else { return }
      machines[index].wakeAt = .distantFuture
      handle(.tick, at: index)
    case .deliver(let from, let to, let messages, let life):
      guard machines[to].life == life, groups[from] == groups[to] else { return }
      handle(.received(from: nodeID(from), messages), at: to)
    case .stored(let index, let changesets, let life):
      guard machines[index].life == life else { return }
      for changeset in changesets { machines[index].disk[changeset.id] = changeset }
      handle(.stored(changesets.map(\.id)), at: index)
    case .seedReached(let from, let to, let life):
      guard machines[from].life == life, machines[to].peer != nil, groups[from] == groups[to]
      else { return }
      handle(.received(from: nodeID(to), []), at: from)
    }
  }

  private func nodeID(_ index: Int) -> NodeID {
    SimulatedCrypto.crypto.nodeID(of: machines[index].configuration.signer.publicKey)
  }

  private mutating func scheduleWake(_ index: Int) {
    guard let peer = machines[index].peer else { return }
    let due = max(peer.nextDeadline, now)
    guard due < machines[index].wakeAt, due < .distantFuture else { return }
    machines[index].wakeAt = due
    queue.add(.wake(index, life: machines[index].life), at: due)
  }

  private mutating func perform(_ effect: Peer.Effect, of index: Int) {
    switch effect {
    case .datagram(let to, let messages):
      datagrams += 1
      send(messages, from: index, to: to, lossy: true)
    case .frame(let to, let message):
      frames += 1
      send([message], from: index, to: to, lossy: false)
    case .probeStream(let to):
      send([.streamPing(0)], from: index, to: to, lossy: false)
    case .contactSeed(let address, _):
      guard let to = addresses[address] else { return }
      queue.add(
        .seedReached(index, to, life: machines[index].life), at: now + delay() + delay())
    case .store(let changesets):
      queue.add(
        .stored(index, changesets, life: machines[index].life), at: now + options.diskDelay)
    case .forget(let ids):
      for id in ids { machines[index].disk[id] = nil }
    case .judged(let ticket, let verdicts):
      self.verdicts[ticket] = verdicts
    case .confirmed(let id, let node):
      confirmations[id, default: [:]][node] = now
    case .persistBootEpoch(let epoch):
      machines[index].configuration.bootEpoch = max(
        machines[index].configuration.bootEpoch, epoch)
    case .answer, .peersChanged, .registersChanged, .event:
      break
    }
  }

  private mutating func send(
    _ messages: [PeerMessage], from index: Int, to node: NodeID, lossy: Bool
  ) {
    guard let to = indices[node], machines[to].peer != nil, groups[index] == groups[to] else {
      return
    }
    if lossy, Double.random(in: 0..<1, using: &rng) < options.loss { return }
    queue.add(
      .deliver(from: index, to: to, messages, life: machines[to].life), at: now + delay())
  }

  private mutating func delay() -> Duration {
    options.delay
      + .nanoseconds(Int64.random(in: 0...max(options.jitter.nanoseconds, 0), using: &rng))
  }
}
