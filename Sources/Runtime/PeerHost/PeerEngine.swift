internal import Base
internal import Logging
internal import Membership
internal import NIOCore
internal import Peer
internal import Replication
internal import Slices
internal import Synchronization
internal import Wire

/// Runs one `Peer` on one event loop: the only place that touches it. Inputs come from sockets, the
/// store, the API and timers; effects go back to them.
final class PeerEngine: Sendable {
  let identity: PeerIdentity
  let loop: any EventLoop
  let store: ChangesetStore
  let logger: Logger
  let metrics: PeerMetrics
  let resolver = AddressResolver()
  /// Addresses that a token or the configuration named; they are tried until somebody answers.
  let seeds: [String]
  let bound: NIOLoopBoundBox<Core>
  let transports = Mutex<Transports?>(nil)
  /// What the TLS authenticator may read on any thread.
  let trust = Mutex<[NodeID: TrustedPeer]>([:])

  struct Transports: Sendable {
    var datagrams: DatagramEndpoint
    var streams: StreamTransport
  }

  struct TrustedPeer: Sendable {
    var key: PublicKey
    var cluster: String
    var addresses: [String]
    var authority: [UInt8]?
  }

  /// What lives on the loop.
  struct Core {
    var peer: Peer
    var sessions: SealedSessions
    var wake: Scheduled<Void>?
    var wakeAt: Instant = .distantFuture
    /// Streams on which this peer has said who it is.
    var introducedOn: Set<StreamID> = []
    var nextIntroduction = Instant.zero
    var silence = DatagramSilence()
    var nextSilenceWarning = Instant.zero
    var tickets: [UInt64: EventLoopPromise<[Peer.Verdict]>] = [:]
    var nextTicket: UInt64 = 0
    var durable: [Digest: [EventLoopPromise<Void>]] = [:]
    var progress: [Digest: [UInt64: AsyncStream<NodeID>.Continuation]] = [:]
    var nextWatcher: UInt64 = 0
    var memberWatchers: [UInt64: AsyncStream<MemberTransition>.Continuation] = [:]
    var received: [Digest: UInt64] = [:]
    var observers: [@Sendable (EngineChange) -> Void] = []
    var storageProblem: StorageError?
    var nextClockWarning = Instant.zero
  }

  struct MemberTransition: Sendable {
    var node: NodeID
    var previous: MemberState
    var current: MemberState
  }

  /// What reconcilers react to. Called on the loop.
  enum EngineChange: Sendable {
    case registers([RegisterName])
    case presence(NodeID)
    /// A restored state is up to date.
    case caughtUp
  }

  init(
    identity: PeerIdentity, state: ReplicatedState, bootEpoch: UInt64, addresses: [String],
    seeds: [String], limits: DaemonConfiguration.Limits, clockTolerance: Duration, isRestored: Bool,
    store: ChangesetStore, loop: any EventLoop,
    metrics: PeerMetrics,
    logger: Logger
  ) {
    self.identity = identity
    self.loop = loop
    self.store = store
    self.logger = logger
    self.metrics = metrics
    self.seeds = seeds
    var configuration = PeerConfiguration(
      genesis: identity.genesis, cluster: identity.cluster, signer: identity.key.signer,
      bootEpoch: bootEpoch, addresses: addresses, seed: Sodium.randomSeed(),
      seal: { ChangesetCodec.seal($0, crypto: .sodium) })
    configuration.membership.seeds = seeds
    configuration.isRestored = isRestored
    configuration.clockTolerance = clockTolerance
    configuration.gossipBudget = .init(
      bytesPerSecond: limits.gossipBytesPerSecond, burst: limits.gossipBurstBytes)
    let peer = Peer(configuration, state: state, crypto: .sodium)
    let sessions = SealedSessions(
      me: peer.id, crypto: .sodium(identity.key),
      rng: SeededGenerator(seed: Sodium.randomSeed()))
    bound = NIOLoopBoundBox.makeBoxSendingValue(
      Core(peer: peer, sessions: sessions), eventLoop: loop)
  }

  var nodeID: NodeID { identity.key.nodeID }

  /// Begins to take part, once the transports are there.
  ///
  /// - Parameter record: what this peer says of itself in its cluster's record. In the same turn of the
  ///   loop, as whoever introduces itself to a seed without it is not vouched for.
  func start(_ transports: Transports, record: ClusterInfo) {
    self.transports.withLock { $0 = transports }
    loop.execute {
      self.handle(.start)
      self.handle(.record(record))
    }
  }

  func authority(of cluster: String, _ node: NodeID) -> [UInt8]? {
    trust.withLock { trust in
      guard let peer = trust[node], peer.cluster == cluster else { return nil }
      return peer.authority
    }
  }

  // MARK: Asked from elsewhere

  /// Reads the core on its loop.
  func read<T: Sendable>(_ body: @escaping @Sendable (Peer) throws -> T) async throws -> T {
    try await loop.submit { try body(self.bound.value.peer) }.get()
  }

  func observe(_ observer: @escaping @Sendable (EngineChange) -> Void) {
    loop.execute { self.bound.value.observers.append(observer) }
  }

  func publish(_ registers: [LocalRegister]) {
    loop.execute { self.handle(.publish(registers)) }
  }

  /// Reconcilers cannot act on a slice as it is, or (`nil`) they can again.
  func report(slice: String, complaint: String?) {
    loop.execute { self.handle(.reconciled(slice: slice, complaint: complaint)) }
  }

  /// Another replica publishes this cluster's slice registers now.
  func relinquish() {
    loop.execute { self.handle(.relinquish) }
  }

  func leave() async {
    try? await loop.submit { self.handle(.leave) }.get()
  }

  /// Takes changesets in; returns when what was accepted is durable. While the disk refuses writes it
  /// takes none: what it could not keep it must not promise.
  func submit(_ changesets: [Changeset]) async throws -> [Peer.Verdict] {
    if let problem = await storageProblem() { throw problem }
    let judged = loop.makePromise(of: [Peer.Verdict].self)
    loop.execute {
      let ticket = self.bound.value.nextTicket
      self.bound.value.nextTicket += 1
      self.bound.value.tickets[ticket] = judged
      self.handle(.submitted(changesets, ticket: ticket))
    }
    let verdicts = try await judged.futureResult.get()
    try await durable(verdicts.map(\.id))
    return verdicts
  }

  func progress(of id: Digest, timeout: Duration) async throws -> AsyncStream<NodeID> {
    let (stream, continuation) = AsyncStream<NodeID>.makeStream(bufferingPolicy: .unbounded)
    try await loop.submit {
      let watcher = self.bound.value.nextWatcher
      self.bound.value.nextWatcher += 1
      self.bound.value.progress[id, default: [:]][watcher] = continuation
      continuation.onTermination = { _ in
        self.loop.execute {
          self.bound.value.progress[id]?[watcher] = nil
          if self.bound.value.progress[id]?.isEmpty == true {
            self.bound.value.progress[id] = nil
          }
        }
      }
      self.handle(.track(id, until: WallClock.now.instant + timeout))
    }.get()
    return stream
  }

  func memberTransitions() async throws -> AsyncStream<MemberTransition> {
    let (stream, continuation) = AsyncStream<MemberTransition>.makeStream(
      bufferingPolicy: .bufferingNewest(256))
    try await loop.submit {
      let watcher = self.bound.value.nextWatcher
      self.bound.value.nextWatcher += 1
      self.bound.value.memberWatchers[watcher] = continuation
      continuation.onTermination = { _ in
        self.loop.execute { self.bound.value.memberWatchers[watcher] = nil }
      }
    }.get()
    return stream
  }

  func receivedMilliseconds(of ids: [Digest]) async throws -> [Digest: UInt64] {
    try await loop.submit { self.bound.value.received.filter { ids.contains($0.key) } }.get()
  }

  // MARK: Inputs and effects

  func handle(_ input: Peer.Input, reply stream: StreamID? = nil) {
    loop.assertInEventLoop()
    var effects: [Peer.Effect] = []
    bound.value.peer.handle(input, now: WallClock.now, effects: &effects)
    if let stream, case .received(let node, let messages) = input {
      // A member that introduces itself wants to know this peer too.
      for case .introduce in messages { sendIntroduction(on: stream, to: node) }
    }
    for effect in effects { perform(effect) }
    scheduleWake()
  }

  private func perform(_ effect: Peer.Effect) {
    switch effect {
    case .datagram(let node, let messages): send(messages, to: node)
    case .frame(let node, let message): sendFrame([message], to: node)
    case .probeStream(let node): sendFrame([.streamPing(0)], to: node)
    case .contactSeed(let address, _):
      transports.withLock { $0 }?.streams.contact(address, joining: true)
    case .answer(let stream, let message):
      transports.withLock { $0 }?.streams.send(EnvelopeCodec.encode([message]), on: stream)
    case .store(let changesets): makeDurable(changesets)
    case .forget(let ids): store.write(StoreChanges(delete: ids)) { _ in }
    case .peersChanged: peersChanged()
    case .registersChanged(let names):
      for observer in bound.value.observers { observer(.registers(names)) }
    case .judged(let ticket, let verdicts):
      bound.value.tickets.removeValue(forKey: ticket)?.succeed(verdicts)
    case .confirmed(let id, let node):
      for watcher in bound.value.progress[id]?.values.map({ $0 }) ?? [] { watcher.yield(node) }
    case .persistBootEpoch(let epoch):
      try? store.raiseBootEpoch(to: epoch)
    case .event(let event): note(event)
    }
  }

  private func peersChanged() {
    let peer = bound.value.peer
    var next: [NodeID: TrustedPeer] = [:]
    for admitted in peer.admitted.values {
      let info = peer.state.value(SlicePath.clusterInfo(admitted.cluster).text)
      next[admitted.id] = TrustedPeer(
        key: admitted.key, cluster: admitted.cluster, addresses: admitted.addresses,
        authority: info.flatMap { try? ClusterInfo($0) }?.certificateAuthority(of: admitted.key))
    }
    trust.withLock { $0 = next }
    bound.value.silence.retain { next[$0] != nil }
    bound.value.sessions.setPeers(
      next.sorted { $0.key < $1.key }.map { ($0.key, $0.value.key) },
      now: WallClock.now.instant)
    transports.withLock { $0 }?.streams.trustChanged()
  }

  private func note(_ event: PeerEvent) {
    metrics.count(event)
    switch event {
    case .membership(.state(let node, let old, let new)):
      let cluster = bound.value.peer.admitted[node]?.cluster ?? "?"
      logger.notice(
        "member \(new)", metadata: ["cluster": "\(cluster)", "node": "\(node)", "was": "\(old)"])
      for watcher in bound.value.memberWatchers.values.map({ $0 }) {
        watcher.yield(MemberTransition(node: node, previous: old, current: new))
      }
      for observer in bound.value.observers { observer(.presence(node)) }
    case .refused(let id, let author, let origin, let outcome):
      logger.info(
        "changeset not taken",
        metadata: ["id": "\(id)", "author": "\(author)", "why": "\(outcome.sentence)"])
      store.record(
        Rejection(
          timeMilliseconds: WallClock.now.wallMilliseconds, reason: outcome.sentence,
          source: origin.map { "peer \($0.short)" } ?? "api", author: author, id: id))
    case .caughtUp:
      logger.notice("knows what other peers know")
      try? store.clearRestored()
      for observer in bound.value.observers { observer(.caughtUp) }
    case .clockBehind(let cluster, let milliseconds): clockIsBehind(cluster, milliseconds)
    case .alarm(let alarm):
      logger.warning("\(alarm)")
    case .cannotPublish(let reason):
      logger.error("own records are not written", metadata: ["why": "\(reason)"])
    default: break
    }
  }

  /// Once a minute at most: each change would say it again.
  private func clockIsBehind(_ cluster: String?, _ milliseconds: UInt64) {
    let now = WallClock.now.instant
    guard now >= bound.value.nextClockWarning else { return }
    bound.value.nextClockWarning = now + .seconds(60)
    logger.warning(
      "this clock is behind, or that of another is ahead: set them right",
      metadata: ["other": "\(cluster ?? "an admin")", "milliseconds": "\(milliseconds)"])
  }

  func scheduleWake() {
    let now = WallClock.now.instant
    var due = bound.value.peer.nextDeadline
    if let sealed = bound.value.sessions.nextDeadline { due = min(due, sealed) }
    guard due < .distantFuture else { return }
    // Timers in the past would starve the sockets.
    due = max(due, now + .milliseconds(1))
    guard bound.value.wake == nil || due < bound.value.wakeAt else { return }
    bound.value.wake?.cancel()
    bound.value.wakeAt = due
    bound.value.wake = loop.scheduleTask(in: .nanoseconds((due - now).nanoseconds)) {
      self.bound.value.wake = nil
      var out: [OutgoingDatagram] = []
      self.bound.value.sessions.poll(now: WallClock.now.instant, into: &out)
      self.transports.withLock { $0 }?.datagrams.send(out)
      self.handle(.tick)
    }
  }
}
