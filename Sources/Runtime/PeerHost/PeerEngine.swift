internal import Base
internal import Logging
internal import Membership
internal import NIOCore
internal import Peer
internal import Replication
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
  private let bound: NIOLoopBoundBox<Core>
  private let transports = Mutex<Transports?>(nil)
  /// What the TLS authenticator may read on any thread.
  private let trust = Mutex<[NodeID: TrustedPeer]>([:])

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
    var connections: [StreamID: StreamIdentity] = [:]
    var tickets: [UInt64: EventLoopPromise<[Peer.Verdict]>] = [:]
    var nextTicket: UInt64 = 0
    var durable: [Digest: [EventLoopPromise<Void>]] = [:]
    var progress: [Digest: [UInt64: AsyncStream<NodeID>.Continuation]] = [:]
    var nextWatcher: UInt64 = 0
    var memberWatchers: [UInt64: AsyncStream<MemberTransition>.Continuation] = [:]
    var received: [Digest: UInt64] = [:]
    var observers: [@Sendable (EngineChange) -> Void] = []
    var storageProblem: String?
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
  }

  init(
    identity: PeerIdentity, state: ReplicatedState, bootEpoch: UInt64, addresses: [String],
    seeds: [String], store: ChangesetStore, loop: any EventLoop, metrics: PeerMetrics,
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
    let peer = Peer(configuration, state: state, crypto: .sodium)
    let sessions = SealedSessions(
      me: peer.id, crypto: .sodium(identity.key),
      rng: SeededGenerator(seed: Sodium.randomSeed()))
    bound = NIOLoopBoundBox.makeBoxSendingValue(
      Core(peer: peer, sessions: sessions), eventLoop: loop)
  }

  var nodeID: NodeID { identity.key.nodeID }

  /// Begins to take part, once the transports are there.
  func start(_ transports: Transports) {
    self.transports.withLock { $0 = transports }
    loop.execute { self.handle(.start) }
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

  func leave() async {
    try? await loop.submit { self.handle(.leave) }.get()
  }

  /// Takes changesets in; returns when what was accepted is durable.
  func submit(_ changesets: [Changeset]) async throws -> [Peer.Verdict] {
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

  /// Waits until none of these waits for the disk.
  private func durable(_ ids: [Digest]) async throws {
    let promises = try await loop.submit { () -> [EventLoopFuture<Void>] in
      ids.filter { self.bound.value.peer.isUnstored($0) }.map { id in
        let promise = self.loop.makePromise(of: Void.self)
        self.bound.value.durable[id, default: []].append(promise)
        return promise.futureResult
      }
    }.get()
    for promise in promises { try await promise.get() }
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

  func storageProblem() async -> String? {
    (try? await loop.submit { self.bound.value.storageProblem }.get()) ?? nil
  }

  // MARK: From the network

  func receive(_ datagrams: [ReceivedDatagram]) {
    var replies: [OutgoingDatagram] = []
    for datagram in datagrams {
      let opened = bound.value.sessions.open(
        datagram.bytes, from: datagram.from, now: WallClock.now.instant, into: &replies)
      switch opened {
      case .message(let sender, let bytes):
        deliver(bytes, from: sender)
      case .handshake: break
      case .dropped(let reason): metrics.droppedDatagram(reason)
      }
    }
    transports.withLock { $0 }?.datagrams.send(replies)
    scheduleWake()
  }

  private func deliver(_ bytes: [UInt8], from sender: NodeID) {
    do throws(WireError) {
      let messages = try EnvelopeCodec.decode(bytes, crypto: .sodium)
      handle(.received(from: sender, messages))
    } catch {
      metrics.malformed("datagram")
      logger.debug("a datagram was refused", metadata: ["from": "\(sender)", "why": "\(error)"])
    }
  }

  func receive(_ event: StreamEvent) {
    switch event {
    case .opened(let stream, let identity, let direction, _):
      bound.value.connections[stream] = identity
      // Whoever calls says who it is: the other side may not know it yet.
      if direction == .outbound, identity == .unadmitted || !heardOf(identity) {
        sendIntroduction(on: stream)
      }
      if let node = identity.node { handle(.received(from: node, [])) }
    case .identified(let stream, let identity):
      bound.value.connections[stream] = identity
      if let node = identity.node { handle(.received(from: node, [])) }
    case .frame(let stream, let identity, let bytes):
      receive(frame: bytes, on: stream, from: identity)
    case .closed(let stream, _, _):
      bound.value.connections[stream] = nil
    case .unreachable(let node, let reason, _):
      logger.debug("no stream", metadata: ["to": "\(node)", "why": "\(reason)"])
      handle(.streamProbe(node, reachable: false))
    case .addressUnreachable(let address, let reason):
      logger.info("a seed does not answer", metadata: ["seed": "\(address)", "why": "\(reason)"])
    case .dropped(let node, let bytes):
      logger.warning("a frame was dropped", metadata: ["to": "\(node)", "bytes": "\(bytes)"])
    case .refused(let refusal, _):
      metrics.refusedStream(refusal)
    }
  }

  private func heardOf(_ identity: StreamIdentity) -> Bool {
    guard let node = identity.node else { return false }
    return bound.value.peer.membership.state(of: node).isPresent
  }

  private func sendIntroduction(on stream: StreamID) {
    let proof = bound.value.peer.introduction
    guard !proof.isEmpty else { return }
    transports.withLock { $0 }?.streams.send(
      EnvelopeCodec.encode([.introduce(proof)]), on: stream)
  }

  private func receive(frame: [UInt8], on stream: StreamID, from identity: StreamIdentity) {
    do throws(WireError) {
      let messages = try EnvelopeCodec.decode(frame, crypto: .sodium)
      if let node = identity.node {
        return handle(.received(from: node, messages), reply: stream)
      }
      for message in messages {
        switch message {
        case .introduce(let changesets): handle(.introduced(stream, changesets))
        case .refused(let reason):
          logger.error("the seed refused this peer", metadata: ["why": "\(reason)"])
        default: metrics.malformed("unadmitted")
        }
      }
      // What came may prove who is at the far end.
      transports.withLock { $0 }?.streams.trustChanged()
    } catch {
      metrics.malformed("frame")
      transports.withLock { $0 }?.streams.close(stream)
    }
  }

  // MARK: Inputs and effects

  private func handle(_ input: Peer.Input, reply stream: StreamID? = nil) {
    loop.assertInEventLoop()
    var effects: [Peer.Effect] = []
    bound.value.peer.handle(input, now: WallClock.now, effects: &effects)
    if let stream, case .received(_, let messages) = input {
      // A member that introduces itself wants to know this peer too.
      for case .introduce in messages { sendIntroductionOnce(on: stream) }
    }
    for effect in effects { perform(effect) }
    scheduleWake()
  }

  private func sendIntroductionOnce(on stream: StreamID) {
    guard bound.value.connections[stream] != nil else { return }
    sendIntroduction(on: stream)
  }

  private func perform(_ effect: Peer.Effect) {
    switch effect {
    case .datagram(let node, let messages): send(messages, to: node)
    case .frame(let node, let message): sendFrame(message, to: node)
    case .probeStream(let node): sendFrame(.streamPing(0), to: node)
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

  private func send(_ messages: [PeerMessage], to node: NodeID) {
    guard let address = address(of: node) else { return }
    var out: [OutgoingDatagram] = []
    bound.value.sessions.seal(
      EnvelopeCodec.encode(messages), to: node, at: address, now: WallClock.now.instant,
      into: &out)
    metrics.sent(datagrams: out)
    transports.withLock { $0 }?.datagrams.send(out)
  }

  private func sendFrame(_ message: PeerMessage, to node: NodeID) {
    let bytes = EnvelopeCodec.encode([message])
    metrics.sent(frameBytes: bytes.count)
    transports.withLock { $0 }?.streams.send(bytes, to: node, addresses: addresses(of: node))
  }

  private func addresses(of node: NodeID) -> [String] {
    if let member = bound.value.peer.membership.member(node), !member.addresses.isEmpty {
      return member.addresses
    }
    // Whoever was expelled by this very input is still told why.
    return bound.value.peer.admitted[node]?.addresses
      ?? trust.withLock { $0[node]?.addresses } ?? []
  }

  private func address(of node: NodeID) -> IPEndpoint? {
    for text in addresses(of: node) {
      if let endpoint = resolver.lookup(text) { return endpoint }
    }
    return nil
  }

  private func makeDurable(_ changesets: [Changeset]) {
    let now = WallClock.now
    for changeset in changesets { bound.value.received[changeset.id] = now.wallMilliseconds }
    if bound.value.received.count > Self.receivedLimit { bound.value.received.removeAll() }
    let ids = changesets.map(\.id)
    let began = now.instant
    store.write(StoreChanges(put: changesets.map { StoredChangeset($0, now: now) })) { result in
      self.loop.execute { self.written(ids, result, began: began) }
    }
  }

  /// Arrival times kept for `starling log`.
  private static let receivedLimit = 16_384

  private func written(
    _ ids: [Digest], _ result: Result<Void, StorageError>, began: Instant
  ) {
    switch result {
    case .success:
      metrics.stored(ids.count, took: WallClock.now.instant - began)
      bound.value.storageProblem = nil
      handle(.stored(ids))
      for id in ids { for promise in take(id) { promise.succeed() } }
    case .failure(let error):
      bound.value.storageProblem = "\(error)"
      logger.error("changes are not durable", metadata: ["why": "\(error)"])
      for id in ids { for promise in take(id) { promise.fail(error) } }
    }
  }

  private func take(_ id: Digest) -> [EventLoopPromise<Void>] {
    bound.value.durable.removeValue(forKey: id) ?? []
  }

  private func peersChanged() {
    let peer = bound.value.peer
    var next: [NodeID: TrustedPeer] = [:]
    for (node, admitted) in peer.admitted {
      let info = peer.state.value("cluster/\(admitted.cluster)/info")
      next[node] = TrustedPeer(
        key: admitted.key, cluster: admitted.cluster, addresses: admitted.addresses,
        authority: info?["ca"]?.bytes)
    }
    trust.withLock { $0 = next }
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
    case .alarm(let alarm):
      logger.warning("\(alarm)")
    case .cannotPublish(let reason):
      logger.error("own records are not written", metadata: ["why": "\(reason)"])
    default: break
    }
  }

  private func scheduleWake() {
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
