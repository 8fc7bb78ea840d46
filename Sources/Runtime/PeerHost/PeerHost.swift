internal import Base
internal import Foundation
public import Logging
internal import Membership
public import NIOCore
internal import Peer
internal import Replication
public import ServiceLifecycle
internal import Slices
internal import Synchronization
internal import Wire

/// A cluster's peer with everything around it: store, transports, reconcilers. A `Service` of the
/// daemon, and the `PeerService` behind its API.
public final class PeerHost: Service, Sendable {
  let configuration: DaemonConfiguration
  let store: ChangesetStore
  let key: SigningKey
  let logger: Logger
  let registry: MetricsRegistry
  let group: any EventLoopGroup
  let started = WallClock.now
  private let joined = Mutex<Joined?>(nil)
  private let phase: Mutex<(APIStatus.Phase, String)>
  private let lock = AsyncLock()

  struct Joined: Sendable {
    var identity: PeerIdentity
    var engine: PeerEngine
    var transports: PeerEngine.Transports
    var platform: (any Platform)?
  }

  /// Opens the data directory; fails with one clear line where it cannot be used.
  public init(
    configuration: DaemonConfiguration, group: any EventLoopGroup, registry: MetricsRegistry,
    logger: Logger
  ) throws {
    self.configuration = configuration
    self.group = group
    self.registry = registry
    self.logger = logger
    advertised =
      configuration.advertise.isEmpty
      ? ReachableAddresses.of(configuration.listen).map(\.description) : configuration.advertise
    try FileManager.default.createDirectory(
      atPath: configuration.dataDir, withIntermediateDirectories: true,
      attributes: [.posixPermissions: 0o700])
    store = try ChangesetStore(
      directory: configuration.dataDir, maximumBytes: configuration.limits.storeBytes)
    key = try PeerIdentity.key(in: configuration.dataDir)
    phase = Mutex((.starting, "The peer is starting."))
  }

  var engine: PeerEngine? { joined.withLock { $0?.engine } }
  var current: Joined? { joined.withLock { $0 } }
  var currentPhase: (APIStatus.Phase, String) { phase.withLock { $0 } }

  func setPhase(_ phase: APIStatus.Phase, _ detail: String) {
    self.phase.withLock { $0 = (phase, detail) }
  }

  public func run() async throws {
    try await begin()
    try await gracefulShutdownOrNever()
    await end()
  }

  /// Joins with what is there: the directory's own identity, a token, or nothing yet.
  private func begin() async throws {
    if let identity = try PeerIdentity.load(from: store, now: WallClock.now) {
      try checkName(identity)
      try await boot(identity)
    } else if let token = try configuredToken() {
      _ = try await join(token: token)
    } else {
      setPhase(.unjoined, "This peer has not joined a ClusterSet: give it a token.")
      logger.notice("waiting for a join token", metadata: ["key": "\(key.publicKey.hex)"])
    }
  }

  private func configuredToken() throws -> String? {
    if let token = configuration.joinToken { return token }
    guard let path = configuration.joinTokenFile else { return nil }
    guard let data = FileManager.default.contents(atPath: path) else {
      throw APIProblem.badRequest("The join token file \(path) cannot be read.")
    }
    return String(decoding: data, as: UTF8.self)
  }

  private func checkName(_ identity: PeerIdentity) throws {
    guard let name = configuration.cluster, name != identity.cluster else { return }
    throw APIProblem.conflict(
      "\(configuration.dataDir) belongs to the cluster \(identity.cluster), not to \(name).",
      fix: "Set cluster: \(identity.cluster), or choose another dataDir.")
  }

  public func join(token text: String) async throws -> APIJoinAnswer {
    try await lock.run {
      guard self.current == nil else {
        throw APIProblem.conflict("This peer has joined a ClusterSet already.")
      }
      let token: JoinToken
      do throws(WireError) {
        token = try JoinToken(text, crypto: .sodium)
      } catch {
        throw APIProblem.badRequest(
          "This is no join token: \(error).", fix: "Copy the whole line that token create printed.")
      }
      if let name = self.configuration.cluster, name != token.cluster {
        throw APIProblem.badRequest(
          "The token is for the cluster \(token.cluster), this peer is of \(name).",
          fix: "Ask for a token for \(name).")
      }
      self.setPhase(.joining, "Enrolling with a token for \(token.cluster).")
      let identity: PeerIdentity
      do {
        identity = try await PeerIdentity.enrol(with: token, in: self.store, now: WallClock.now)
      } catch {
        self.setPhase(.unjoined, "The token was not taken: \(error)")
        throw error
      }
      try await self.boot(identity)
      return APIJoinAnswer(
        clusterSet: .init(id: identity.genesis.id, name: identity.genesis.name),
        cluster: identity.cluster, node: self.key.nodeID, key: self.key.publicKey,
        phase: self.currentPhase.0)
    }
  }

  /// Rebuilds the state, opens the ports and begins to take part.
  private func boot(_ identity: PeerIdentity) async throws {
    let now = WallClock.now
    let loaded = try StateLoading.load(
      from: store, genesis: identity.genesis, cluster: identity.cluster, now: now)
    if let salvage = loaded.report.salvage {
      logger.error("the store was damaged and rebuilt", metadata: ["what": "\(salvage)"])
    }
    let epoch = try store.nextBootEpoch(wallMilliseconds: now.wallMilliseconds)
    let loop = group.next()
    let engine = PeerEngine(
      identity: identity, state: loaded.state, bootEpoch: epoch, addresses: advertised,
      seeds: try seeds(), limits: configuration.limits,
      clockTolerance: configuration.clockWarnOffset,
      isRestored: try store.restoredMilliseconds() != nil, store: store,
      loop: loop, metrics: PeerMetrics(registry),
      logger: logger)
    let transports = try await openTransports(engine, identity, on: loop)
    engine.start(transports, record: record(of: identity))
    let platform = try await startPlatform(engine, identity)
    joined.withLock {
      $0 = Joined(
        identity: identity, engine: engine, transports: transports, platform: platform)
    }
    collectMetrics(engine)
    setPhase(.joined, "Takes part in \(identity.genesis.name) as \(identity.cluster).")
    logger.notice(
      "joined",
      metadata: [
        "clusterSet": "\(identity.genesis.name)", "cluster": "\(identity.cluster)",
        "node": "\(engine.nodeID)", "changesets": "\(loaded.state.count)",
        "addresses": "\(advertised.joined(separator: ","))",
      ])
  }

  private func openTransports(
    _ engine: PeerEngine, _ identity: PeerIdentity, on loop: any EventLoop
  ) async throws -> PeerEngine.Transports {
    let datagrams = try await DatagramEndpoint.bind(
      to: configuration.listen, on: loop, onLost: { engine.metrics.lostDatagram() },
      onReceive: { engine.receive($0) })
    let leaf = try issuePeerLeaf(identity)
    let streams = try StreamTransport(
      me: engine.nodeID, leaf: leaf, on: loop, resolver: engine.resolver,
      authenticator: PeerAuthenticator.make(clusterSet: identity.genesis.id) { cluster, node in
        engine.authority(of: cluster, node)
      }, onEvent: { engine.receive($0) })
    do {
      _ = try await streams.listen(on: configuration.listen)
    } catch {
      await datagrams.close()
      throw error
    }
    renewLeaf(streams, identity, on: loop)
    return PeerEngine.Transports(datagrams: datagrams, streams: streams)
  }

  /// A fresh leaf for the API over TCP: the peer's own, so that its CA vouches for it.
  public func apiLeaf() throws -> LeafIdentity {
    guard let identity = current?.identity else {
      throw APIProblem.unavailable("This peer has no certificate before it has joined.")
    }
    return try issuePeerLeaf(identity)
  }

  func issuePeerLeaf(_ identity: PeerIdentity) throws -> LeafIdentity {
    try identity.authority.issue(
      SPIFFEIdentity(
        clusterSet: identity.genesis.id, cluster: identity.cluster,
        role: .peer(identity.key.nodeID)),
      now: WallClock.now)
  }

  /// A new leaf every eight hours, a third of its lifetime: connections from then on use it.
  private func renewLeaf(
    _ streams: StreamTransport, _ identity: PeerIdentity, on loop: any EventLoop
  ) {
    loop.scheduleRepeatedTask(initialDelay: .hours(8), delay: .hours(8)) { _ in
      do {
        try streams.setLeaf(try self.issuePeerLeaf(identity))
      } catch {
        self.logger.error("no new leaf certificate", metadata: ["why": "\(error)"])
      }
    }
  }

  private func startPlatform(
    _ engine: PeerEngine, _ identity: PeerIdentity
  ) async throws -> (any Platform)? {
    switch configuration.platform {
    case .none: return nil
    case .standalone:
      let platform = StandalonePlatform(
        configuration: configuration, identity: identity, engine: engine, store: store,
        registry: registry, loop: group.next(), logger: logger)
      try await platform.start()
      return platform
    case .kubernetes:
      let platform = try KubernetesPlatform(
        configuration: configuration, engine: engine, store: store, registry: registry,
        loop: group.next(), logger: logger)
      try await platform.start()
      return platform
    }
  }

  /// `cluster/<c>/info`: where this cluster's peers are and which CAs vouch for them.
  private func record(of identity: PeerIdentity) -> ClusterInfo {
    let ranges = configuration.ranges
    return ClusterInfo(
      certificateAuthority: identity.authority.certificate,
      peers: [.init(key: identity.key.publicKey, addresses: advertised)],
      version: StarlingVersion.current,
      ranges: ClusterRanges(pods: ranges.pods, services: ranges.services, nodes: ranges.nodes))
  }

  /// What others are told to use: `advertise`, else where this peer can be reached.
  let advertised: [String]

  private func seeds() throws -> [String] {
    let fromToken =
      try store.value("seeds").map { String(decoding: $0, as: UTF8.self) }?
      .split(separator: "\n").map(String.init) ?? []
    return Array(Set(configuration.seeds + fromToken).subtracting(advertised)).sorted()
  }

  private func end() async {
    setPhase(.stopping, "The peer is stopping.")
    if let joined = current {
      await joined.platform?.stop()
      await joined.engine.leave()
      await joined.transports.streams.shutdown()
      await joined.transports.datagrams.close()
    }
    store.close()
  }

  private func gracefulShutdownOrNever() async throws {
    try? await gracefulShutdown()
  }
}

/// One at a time, in order of arrival: joining is asked for by the configuration and by the API.
actor AsyncLock {
  private var tail: Task<Void, Never>?

  func run<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) async throws -> T {
    let previous = tail
    let task = Task { () async throws -> T in
      await previous?.value
      return try await body()
    }
    tail = Task { _ = try? await task.value }
    return try await task.value
  }
}
