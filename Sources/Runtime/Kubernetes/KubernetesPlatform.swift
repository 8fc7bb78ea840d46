internal import Base
internal import Foundation
internal import Kubernetes
internal import Logging
internal import Membership
internal import NIOCore
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
  private let configuration: DaemonConfiguration
  private let cluster: String
  private let engine: PeerEngine
  private let store: ChangesetStore
  private let registry: MetricsRegistry
  private let logger: Logger
  private let consent: ExportReader.Consent
  private let access: ClusterAccess
  private let transport: APITransport
  let dns: DNSServer
  private let state = Mutex(State())

  private struct State {
    var memory = PlatformMemory()
    var intake = ChangesetIntake()
    var nextIntake = Instant.zero
    var watch: ClusterWatch?
    var lease: LeaseRunner?
    var writer: ObjectWriter?
    var allocations = ""
    var latest: PlatformPlan?
    var isDirty = false
    var isRunning = false
    var isStopped = false
    /// The last pass that knew the API's objects, for the names until they are known again.
    var lastPass = Instant.zero
  }

  /// Changes that come close together make one pass: endpoints change in bursts.
  static let passInterval: Duration = .milliseconds(25)
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
    let watch = ClusterWatch(transport, logger: logger) { [weak self] _, _ in self?.wake() }
    let lease = LeaseRunner(
      .init(
        lease: ObjectKey(
          namespace: configuration.kubernetes.namespace ?? access.namespace, name: "starling"),
        identity: engine.nodeID.hex), transport, logger: logger
    ) { [weak self] in self?.roleChanged($0) }
    let writer = ObjectWriter(
      transport, logger: logger, mayWrite: { await lease.mayWrite },
      compare: { [weak self] in self?.wake() })
    state.withLock {
      $0.memory.allocators = allocators
      $0.memory.hasTunnels = false
      $0.memory.showsAllSlices = true
      $0.watch = watch
      $0.lease = lease
      $0.writer = writer
    }
    try await dns.start(configuration.kubernetes.dnsListen)
    engine.observe { [weak self] change in self?.react(change) }
    await watch.start(Self.watches)
    await lease.start()
    collectMetrics()
    wake()
  }

  func stop() async {
    let (watch, lease, writer) = state.withLock { state in
      state.isStopped = true
      return (state.watch, state.lease, state.writer)
    }
    await writer?.clear()
    await lease?.stop()
    await watch?.stop()
    await dns.stop()
    await transport.shutdown()
  }

  /// What is watched in every cluster. The MCS types may not be served.
  static var watches: [WatchConfiguration] {
    let types: [ResourceType] = [
      .namespaces, .services, .endpointSlices, .serviceExports, .serviceImports, .slices,
      .clusterPeers, .signedChangesets,
    ]
    return types.map {
      var configuration = WatchConfiguration($0)
      // Defined by CRDs, which may be installed later or never.
      configuration.isOptional = [MCS.group, ResourceType.slices.group].contains($0.group)
      return configuration
    }
  }

  var latest: PlatformPlan? { state.withLock { $0.latest } }
  var reachableClusters: [String: Set<String>]? { nil }
  var gatewayStatus: GatewayStatus? { nil }
  var gatewayProblem: String? { nil }

  // MARK: What asks for a pass

  private func react(_ change: PeerEngine.EngineChange) {
    switch change {
    case .registers(let names):
      state.withLock { $0.memory.touched?.append(contentsOf: names.map(\.path)) }
    case .presence(let node): tellLease(of: node)
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

  private func roleChanged(_ role: LeaseElector.Role) {
    if role == .follower {
      engine.relinquish()
      let writer = state.withLock { $0.writer }
      Task { await writer?.clear() }
    }
    wake()
  }

  private func wake(after delay: Duration) {
    Task {
      try? await Task.sleep(for: delay)
      self.wake()
    }
  }

  private func wake() {
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
      await pass()
      state.withLock { $0.lastPass = WallClock.now.instant }
    }
  }

  /// How long to wait for the next pass; `nil`: there is nothing to do.
  private func nextPass() -> Duration? {
    state.withLock { state in
      guard state.isDirty, !state.isStopped else {
        state.isRunning = false
        return nil
      }
      return max(.zero, Self.passInterval - (WallClock.now.instant - state.lastPass))
    }
  }

  // MARK: One pass

  private func pass() async {
    guard
      let (watch, lease, writer) = state.withLock({ state in
        state.watch.flatMap { watch in
          state.lease.flatMap { lease in state.writer.map { (watch, lease, $0) } }
        }
      })
    else { return }
    let objects = await watch.objects
    let isHolder = await lease.isHolder
    let holder = await lease.holder
    let servers = configuration.kubernetes.dnsListen.map(\.address)
    guard
      let outcome = try? await engine.read({ [self] peer in
        state.withLock { state in
          plan(peer, objects, servers: servers, holder: holder, &state)
        }
      })
    else { return }
    keepAllocations()
    dns.serve(outcome.plan.names)
    state.withLock { $0.latest = outcome.plan }
    // Before everything was listed once nothing is known to be absent.
    guard objects != nil, isHolder else { return }
    if !outcome.plan.publications.isEmpty { engine.publish(outcome.plan.publications) }
    if let objects { handIn(objects) }
    if await lease.mayWrite { await writer.replace(outcome.actions) }
  }

  /// Gives the peer what was handed in as objects.
  private func handIn(_ objects: ClusterObjects) {
    let todo = state.withLock { state in
      let now = WallClock.now.instant
      let isRetry = now >= state.nextIntake
      if isRetry { state.nextIntake = now + Self.intakeRetry }
      return state.intake.next(objects, retry: isRetry)
    }
    for (uid, bytes) in todo {
      let (changeset, verdict) = ChangesetIntake.Verdict.read(bytes)
      guard let changeset else {
        state.withLock { $0.intake.judged(uid, verdict) }
        wake()
        continue
      }
      Task {
        let verdicts = try? await engine.submit([changeset])
        state.withLock { state in
          let unknown = ChangesetIntake.Verdict(
            .pending, reason: "Unavailable", message: "the peer cannot take changes now")
          state.intake.judged(
            uid, verdicts?.first.map { .init($0.outcome, of: changeset) } ?? unknown)
        }
        wake()
        if state.withLock({ $0.intake.isWaiting }) { wake(after: Self.intakeRetry) }
      }
    }
  }

  private struct Outcome: Sendable {
    var plan: PlatformPlan
    var actions: [ObjectDiffer.Action]
  }

  /// On the peer's loop, with the registers as they are.
  private func plan(
    _ peer: Peer, _ objects: ClusterObjects?, servers: [IPAddress], holder: String,
    _ state: inout State
  ) -> Outcome {
    let now = WallClock.now
    state.memory.refreshView(StateRegisters(state: peer.state))
    guard let objects else {
      let plan = state.memory.plan(peer, endpoints: [], gatewayKey: [], servers: servers, now: now)
      return Outcome(plan: plan, actions: [])
    }
    let reader = ExportReader(objects, view: state.memory.view, cluster: cluster, consent: consent)
    state.memory.local = reader.services
    let imports = ImportPlanner(
      state.memory.view, objects,
      .init(
        cluster: cluster, consent: consent,
        reachability: state.memory.reachability(peer, cluster: cluster), local: reader.services,
        families: ImportPlanner.families(in: objects),
        nowMilliseconds: now.wallMilliseconds))
    state.memory.serviceAddresses = imports.addresses
    var plan = state.memory.plan(peer, endpoints: [], gatewayKey: [], servers: servers, now: now)
    let isWhole = [ResourceType.services, .endpointSlices, .serviceExports, .namespaces]
      .allSatisfy { objects.isComplete($0) }
    // What did not fit into the store may well exist.
    if !isWhole { plan.publications.removeAll { $0.value == nil } }
    let refusals = Dictionary(
      plan.refusals.map { ($0.service, $0.reason) }, uniquingKeysWith: { a, _ in a })
    let statuses = ExportStatus.desired(
      reader.findings, state.memory.view, objects, cluster: cluster, refusals: refusals,
      now: now.wallMilliseconds)
    let mirrors = MirrorPlanner.desired(
      state.memory.view,
      peers: MirrorPlanner.PeerFacts.all(peer, view: state.memory.view, holder: holder),
      cluster: cluster, objects, now: now.wallMilliseconds)
    let desired = imports.desired + statuses + mirrors + state.intake.desired(objects)
    return Outcome(
      plan: plan,
      actions: ObjectDiffer.actions(
        desired.filter { objects.isServed($0.id.type) }, observed: objects,
        managed: isWhole
          ? ImportPlanner.managed(imports: .serviceImports) + MirrorPlanner.managed : []))
  }

  private func keepAllocations() {
    let text = state.withLock { state -> String? in
      let text = AllocationStore.text(state.memory.allocators)
      guard text != state.allocations else { return nil }
      state.allocations = text
      return text
    }
    guard let text else { return }
    do throws(StorageError) {
      try store.setValue(Array(text.utf8), for: AllocationStore.name)
    } catch {
      logger.error("addresses may change at a restart", metadata: ["why": "\(error)"])
    }
  }

  // MARK: Metrics

  private func collectMetrics() {
    registry.collect { [weak self] registry in
      guard let self else { return }
      for (outcome, count) in self.dns.counters.byOutcome.sorted(by: { $0.key < $1.key }) {
        registry.counter(
          "starling_dns_answers_total", help: "DNS messages by what became of them.",
          labels: ["outcome": outcome]
        ).raise(to: count)
      }
      for (method, count) in self.transport.sent.counts.sorted(by: { $0.key < $1.key }) {
        registry.counter(
          "starling_kubernetes_requests_total", help: "Requests to the API server, by method.",
          labels: ["method": method]
        ).raise(to: count)
      }
    }
  }
}
