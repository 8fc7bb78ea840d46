internal import Base
internal import Foundation
internal import Kubernetes
internal import Logging
internal import Membership
internal import NIOCore
internal import Naming
internal import Nodes
internal import Peer
internal import Replication
internal import Slices
internal import Synchronization

/// `platform: kubernetes`: makes this cluster's objects what the converged state says, and the
/// converged state what its ServiceExports say.
///
/// Level-triggered, like the standalone platform: whatever changes asks for one more pass over what is
/// known by then. Of a cluster's peers the lease's holder writes; all of them answer names. Nothing
/// here needs another cluster, and only writing needs the API server.
final class KubernetesPlatform: Platform {
  let configuration: DaemonConfiguration
  let cluster: String
  let engine: PeerEngine
  let store: ChangesetStore
  let registry: MetricsRegistry
  let logger: Logger
  private let consent: ExportReader.Consent
  private let access: ClusterAccess
  let transport: APITransport
  let dns: DNSServer
  /// Of load balancers that have names.
  let hosts = HostAddresses()
  let state = Mutex(State())

  struct State {
    var planner: KubernetesPlanner?
    /// Registers that changed since the last pass; `nil`: all are new.
    var registers: Set<RegisterName>?
    /// Objects that changed since the last pass; `nil`: all may have.
    var objects: Set<ObjectID>?
    var intake = ChangesetIntake()
    var nextIntake = Instant.zero
    var watch: ClusterWatch?
    var lease: LeaseRunner?
    var writer: ObjectWriter?
    /// Keeps who this peer is.
    var vault: Task<Void, Never>?
    var latest: PlatformPlan?
    var tunnels = GatewayOperator.Report()
    var secrets: SecretWatches?
    /// When there is something to do without any change, milliseconds since 1970.
    var nextMilliseconds: UInt64?
    /// Gateways need the CA of another peer of this cluster.
    var lacksAuthority = false
    /// Time alone may change which members are heard.
    var isUnsure = false
    /// How many nodes fare how, as their feeds say.
    var nodes: [NodeStatus.Reason?: Int] = [:]
    var clock: Task<Void, Never>?
    /// The peer has not learned the state, and goes by the cluster's objects.
    var isRemembering = false
    var isDirty = false
    var isRunning = false
    var isStopped = false
    var lastPass = Instant.zero
    /// How long it took.
    var passTime = Duration.zero
  }

  /// Changes that come close together make one pass: endpoints change in bursts. A pass is followed
  /// by as long a rest, up to `longestRest`, so that planning leaves a core to others.
  static let passInterval: Duration = .milliseconds(10)
  static let longestRest: Duration = .milliseconds(100)
  /// How often a handed-in change that waits for something is handed in again.
  static let intakeRetry: Duration = .seconds(10)

  init(
    configuration: DaemonConfiguration, engine: PeerEngine, store: ChangesetStore,
    registry: MetricsRegistry, loop: any EventLoop, logger: Logger
  ) throws {
    self.configuration = configuration
    self.engine = engine
    self.store = store
    self.registry = registry
    self.logger = logger
    cluster = engine.identity.cluster
    let options = configuration.kubernetes
    consent = ExportReader.Consent(rawValue: options.consent) ?? .labelled
    access = try AccessLoader.load(
      kubeconfig: options.kubeconfig ?? "", context: options.context ?? "",
      environment: ProcessInfo.processInfo.environment)
    transport = APITransport(access)
    dns = DNSServer(on: loop)
  }

  func start() async throws {
    let allocators = try AllocationStore.load(from: store)
    let watch = ClusterWatch(transport, logger: logger) { [weak self] type, keys in
      self?.changed(type, keys)
    }
    let genesis = engine.identity.genesis
    let gateways = makeGateways()
    let planner = KubernetesPlanner(
      OperatorPlanner.Configuration(
        cluster: cluster, clusterSet: genesis.name, namespace: namespace,
        dns: ClusterDNSPlanner.Adapter(rawValue: configuration.kubernetes.dnsAdapter) ?? .none,
        zones: genesis.zones + [NameRules.clustersetZone]),
      gateways: gateways, consent: consent,
      servers: configuration.kubernetes.dnsListen.map(\.address),
      instance: engine.nodeID.short, allocators: allocators)
    let lease = LeaseRunner(
      .init(
        lease: ObjectKey(namespace: namespace, name: "starling"),
        identity: engine.nodeID.hex), transport, logger: logger
    ) { [weak self] in self?.roleChanged($0) }
    let writer = ObjectWriter(
      transport, logger: logger, mayWrite: { await lease.mayWrite },
      compare: { [weak self] in self?.wake() },
      reverted: { [weak self] in self?.reverted($0) })
    let secrets = SecretWatches(
      transport, namespace: namespace,
      names: (0..<gateways.configuration.replicas).map { GatewayWorkloads.name($0) },
      logger: logger
    ) { [weak self] in self?.changed($0, $1) }
    state.withLock {
      $0.planner = planner
      $0.watch = watch
      $0.lease = lease
      $0.writer = writer
      $0.secrets = secrets
    }
    keepIdentity()
    try await dns.start(configuration.kubernetes.dnsListen)
    engine.observe { [weak self] change in self?.react(change) }
    await watch.start(Self.watches(in: namespace))
    await secrets.start()
    await lease.start()
    collectMetrics()
    keepTime()
    wake()
  }

  func stop() async {
    let (watch, lease, writer, secrets) = state.withLock { state in
      state.isStopped = true
      state.vault?.cancel()
      state.clock?.cancel()
      return (state.watch, state.lease, state.writer, state.secrets)
    }
    await secrets?.stop()
    await writer?.clear()
    await lease?.stop()
    await watch?.stop()
    await dns.stop()
    await transport.shutdown()
  }

  private func keepIdentity() {
    guard
      let vault = IdentityVault(
        configuration, transport, namespace: namespace, logger: logger)
    else { return }
    let seeds =
      (try? store.value("seeds")).flatMap { $0 }
      .map { String(decoding: $0, as: UTF8.self).split(separator: "\n").map(String.init) } ?? []
    let (engine, store, known) = (engine, store, configuration.seeds + seeds)
    let task = Task { await vault.keep(engine, store, seeds: known) }
    state.withLock { $0.vault = task }
  }

  var latest: PlatformPlan? { state.withLock { $0.latest } }
  var reachableClusters: [String: Set<String>]? {
    state.withLock { $0.latest?.reachability.mapValues(\.reachable) }
  }
  var gatewayStatuses: [GatewayStatus] { state.withLock { $0.tunnels.statuses } }
  var gatewayProblem: String? { state.withLock { $0.tunnels.problem } }
  var lostGateways: [String] { state.withLock { $0.tunnels.lost } }

  // MARK: What asks for a pass

  private func react(_ change: PeerEngine.EngineChange) {
    switch change {
    case .registers(let names):
      state.withLock { $0.registers?.formUnion(names) }
    case .presence(let node): tellLease(of: node)
    case .caughtUp: break
    }
    wake()
  }

  /// - Parameter keys: empty where everything of the type was listed for the first time.
  private func changed(_ type: ResourceType, _ keys: [ObjectKey]) {
    state.withLock { state in
      if keys.isEmpty {
        state.objects = nil
      } else {
        state.objects?.formUnion(keys.map { ObjectID(type, $0) })
      }
    }
    wake()
  }

  /// A dead holder's lease need not expire first.
  private func tellLease(of node: NodeID) {
    guard let lease = state.withLock({ $0.lease }) else { return }
    Task {
      let isDead = try await engine.read { $0.membership.state(of: node) == .dead }
      if isDead { await lease.died(node.hex) } else { await lease.lives(node.hex) }
    }
  }

  /// Events are a courtesy: one try.
  private func send(_ events: [APIRequest]) {
    guard !events.isEmpty else { return }
    Task { for event in events { _ = try? await transport.send(event) } }
  }

  private func reverted(_ id: ObjectID) {
    guard let planner = state.withLock({ $0.planner }) else { return }
    Task { if let event = await planner.reverted(id) { send([event]) } }
  }

  var namespace: String { configuration.kubernetes.namespace ?? access.namespace }

  private func roleChanged(_ role: LeaseElector.Role) {
    if role == .follower {
      engine.relinquish()
      let writer = state.withLock { $0.writer }
      Task { await writer?.clear() }
    }
    wake()
  }

  func wake(after delay: Duration) {
    Task {
      try? await Task.sleep(for: delay)
      self.wake()
    }
  }

  func wake() {
    let starts = state.withLock { state -> Bool in
      state.isDirty = true
      guard !state.isRunning, !state.isStopped else { return false }
      state.isRunning = true
      return true
    }
    if starts { Task { await self.runPasses() } }
  }

  private func runPasses() async {
    while let wait = nextPass() {
      if wait > .zero { try? await Task.sleep(for: wait) }
      state.withLock { $0.isDirty = false }
      let start = WallClock.now.instant
      await pass()
      state.withLock {
        $0.lastPass = WallClock.now.instant
        $0.passTime = $0.lastPass - start
      }
    }
  }

  /// How long to wait for the next pass; `nil`: there is nothing to do.
  private func nextPass() -> Duration? {
    state.withLock { state in
      guard state.isDirty, !state.isStopped else {
        state.isRunning = false
        return nil
      }
      let rest = max(Self.passInterval, min(state.passTime, Self.longestRest))
      return max(.zero, rest - (WallClock.now.instant - state.lastPass))
    }
  }

  // MARK: One pass

  private func pass() async {
    guard
      let (watch, lease, writer, planner) = state.withLock({ state in
        state.watch.flatMap { watch in
          state.lease.flatMap { lease in
            state.writer.flatMap { writer in state.planner.map { (watch, lease, writer, $0) } }
          }
        }
      })
    else { return }
    guard let input = await look(watch, lease) else { return }
    guard !input.picture.isBare else { return await remember(input, planner) }
    let publication = await planner.publish(input)
    dns.serve(publication.plan.names)
    keep(publication.plan, publication.allocators)
    state.withLock { $0.tunnels = publication.tunnels }
    hosts.want(publication.hostNames)
    let isHolder = await lease.isHolder
    // Before everything was listed once nothing is known to be absent.
    guard let objects = input.objects else { return }
    if input.changed?.contains(where: { $0.type == .nodeNetworks }) ?? true {
      state.withLock { $0.nodes = NodeStatus.counts(objects.all(.nodeNetworks)) }
    }
    if isHolder {
      let registers = publication.plan.publications
      if !registers.isEmpty { engine.publish(registers) }
      handIn(objects)
    }
    let intake = state.withLock { $0.intake.desired(objects) }
    let work = await planner.objects(input, intake: intake)
    state.withLock {
      ($0.nextMilliseconds, $0.lacksAuthority) = (work.nextMilliseconds, work.lacksAuthority)
    }
    if isHolder, await lease.mayWrite {
      await writer.replace(work.actions)
      send(work.events)
    }
  }

  /// What a peer does that has not learned the state yet, as it is new or has lost it: it changes nothing,
  /// and answers what the cluster's objects say. Once it knows the state everything is new to it.
  private func remember(
    _ input: KubernetesPlanner.Input, _ planner: KubernetesPlanner
  ) async {
    let isNew = state.withLock { state in
      defer { state.isRemembering = true }
      (state.registers, state.objects) = (nil, nil)
      return !state.isRemembering
    }
    if isNew {
      logger.notice(
        "knows nothing but itself: changes nothing in this cluster until it has learned from a peer"
      )
    }
    guard let objects = input.objects else { return }
    dns.serve(await planner.remembered(objects, zones: input.picture.zones))
  }

  /// Takes what changed since the last pass: registers and members on the peer's loop, objects from
  /// the watches. What changes meanwhile is found by the next pass.
  private func look(_ watch: ClusterWatch, _ lease: LeaseRunner) async -> KubernetesPlanner.Input? {
    let changed = state.withLock { state in
      defer { state.objects = [] }
      return state.objects
    }
    var objects = await watch.objects
    if let secrets = state.withLock({ $0.secrets }) { await secrets.add(to: &objects) }
    if let objects, !objects.isServed(.serviceExports) { await watch.start(Self.oldWatches) }
    let holder = await lease.holder
    let isOther = !holder.isEmpty && holder != engine.nodeID.hex
    let mayWrite = await lease.mayWrite
    let role: KubernetesPlanner.Role = mayWrite ? .acts : isOther ? .follows : .waits
    let taken = try? await engine.read { [self] peer in
      let names = state.withLock { state in
        defer { state.registers = [] }
        return state.registers
      }
      return (
        names.map { $0.map(\.path) }, RegisterMirror.Changes(names, from: peer.state),
        PeerPicture(peer, now: WallClock.now.instant)
      )
    }
    guard let (paths, registers, picture) = taken else { return nil }
    state.withLock { $0.isUnsure = picture.isUnsure }
    return KubernetesPlanner.Input(
      registers: registers, paths: paths, picture: picture, objects: objects, changed: changed,
      holder: holder, role: role, resolved: hosts.addresses, now: WallClock.now)
  }

  private func keep(_ plan: PlatformPlan, _ allocators: [String: AddressAllocator]?) {
    state.withLock { $0.latest = plan }
    guard let text = allocators.map({ AllocationStore.text($0) }) else { return }
    do throws(StorageError) {
      try store.setValue(Array(text.utf8), for: AllocationStore.name)
    } catch {
      logger.error("addresses may change at a restart", metadata: ["why": "\(error)"])
    }
  }
}
