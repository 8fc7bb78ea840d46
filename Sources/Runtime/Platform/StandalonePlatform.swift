internal import Base
internal import Glibc
internal import Logging
internal import NIOCore
internal import Peer
internal import Replication
internal import Slices
internal import Synchronization

/// `platform: standalone`: makes this machine's network namespace what the converged state says.
///
/// Level-triggered: whatever changes (registers, members, the services file, tunnels) asks for one
/// more pass; passes run one after the other and act on the state as it is by then. They need no
/// other peer.
final class StandalonePlatform: Platform {
  private let configuration: DaemonConfiguration
  private let identity: PeerIdentity
  private let engine: PeerEngine
  private let store: ChangesetStore
  private let registry: MetricsRegistry
  private let logger: Logger
  private let loop: any EventLoop
  let dns: DNSServer
  private let state = Mutex(State())

  private struct State {
    var memory = PlatformMemory()
    var file: ServicesFile?
    var gateway: (any GatewayRunner)?
    var gatewayProblem: String?
    var leaves: [String: Leaf] = [:]
    var leavesAt: UInt64?
    var rules = RuleLoader()
    /// How the kernel lists them, as long as nobody else changes them.
    var listing: String?
    var areRulesLost = false
    /// Slices that could not be served, as last told to the peer.
    var failing: [String: String] = [:]
    /// By slice, why the gateway does not serve it.
    var gatewayRefusals: [String: String] = [:]
    var allocations = ""
    var latest: PlatformPlan?
    var isDirty = false
    var isRunning = false
    var isStopped = false
    var timers: [RepeatedTask] = []
  }

  private struct Leaf {
    var identity: TunnelIdentity
    var observed: CertificateReconciler.Leaf
  }

  /// How often the services file is looked at. A look is one `stat`.
  static let pollInterval = TimeAmount.milliseconds(100)
  /// How often packet rules are compared with what was loaded: a firewall that is restarted may have
  /// flushed them.
  static let checkInterval = TimeAmount.seconds(5)
  static let replica = "0"
  static let innerMTU = 1420

  init(
    configuration: DaemonConfiguration, identity: PeerIdentity, engine: PeerEngine,
    store: ChangesetStore, registry: MetricsRegistry, loop: any EventLoop, logger: Logger
  ) {
    self.configuration = configuration
    self.identity = identity
    self.engine = engine
    self.store = store
    self.registry = registry
    self.loop = loop
    self.logger = logger
    dns = DNSServer(on: loop)
  }

  func start() async throws {
    let allocators = try AllocationStore.load(from: store)
    state.withLock {
      $0.memory.allocators = allocators
      $0.file = configuration.standalone.services.map(ServicesFile.init)
    }
    try await dns.start(configuration.standalone.dnsListen)
    openGateway()
    engine.observe { [weak self] change in
      guard let self else { return }
      if case .registers(let names) = change {
        self.state.withLock { $0.memory.touched?.append(contentsOf: names.map(\.path)) }
      }
      self.wake()
    }
    let poll = loop.scheduleRepeatedTask(initialDelay: .zero, delay: Self.pollInterval) {
      [weak self] _ in self?.lookAtServices()
    }
    let check = loop.scheduleRepeatedTask(
      initialDelay: Self.checkInterval, delay: Self.checkInterval
    ) { [weak self] _ in
      Task { await self?.checkRules() }
    }
    state.withLock { $0.timers = [poll, check] }
    collectMetrics()
    wake()
  }

  func stop() async {
    let gateway = state.withLock { state in
      state.isStopped = true
      for timer in state.timers { timer.cancel() }
      defer { state.gateway = nil }
      return state.gateway
    }
    await dns.stop()
    gateway?.stop()
    if state.withLock({ !$0.rules.inForce.isEmpty }) {
      _ = try? await CommandRunner.run("nft", ["-f", "-"], input: NodeRules.removal)
    }
  }

  /// What was planned last.
  var latest: PlatformPlan? { state.withLock { $0.latest } }
  var gatewayStatus: GatewayStatus? { state.withLock { $0.gateway }?.latestStatus }
  var gatewayProblem: String? {
    let (gateway, problem) = state.withLock { ($0.gateway, $0.gatewayProblem) }
    return problem ?? gateway?.problem
  }

  // MARK: What asks for a pass

  private func lookAtServices() {
    var problem: LocatedError?
    let isChanged = state.withLock { state -> Bool in
      do throws(LocatedError) {
        guard let services = try state.file?.readIfChanged() else { return false }
        state.memory.local = services
        return true
      } catch {
        problem = error
        return false
      }
    }
    if let problem {
      logger.error("services stay as they were", metadata: ["why": "\(problem)"])
    }
    if isChanged { wake() }
    state.withLock { $0.gateway }?.look()
  }

  private func gatewayEvent(_ event: GatewayEvent) {
    switch event {
    case .reachability(let slice, let cluster, let isReachable):
      logger.notice(
        isReachable ? "tunnel up" : "tunnel down",
        metadata: ["slice": "\(slice)", "cluster": "\(cluster)"])
      state.withLock {
        let link = PlatformMemory.SliceLink(slice: slice, cluster: cluster)
        if isReachable {
          $0.memory.reachable.insert(link)
        } else {
          $0.memory.reachable.remove(link)
        }
      }
      wake()
    case .established(let slice, let cluster, _):
      logger.info(
        "tunnel established", metadata: ["slice": "\(slice)", "cluster": "\(cluster)"])
    case .roamed(let slice, let cluster, _, let endpoint):
      logger.notice(
        "the far gateway is at another address",
        metadata: ["slice": "\(slice)", "cluster": "\(cluster)", "address": "\(endpoint)"])
    case .handshakeFailed(let slice, let cluster, _, let reason):
      logger.warning(
        "tunnel handshake failed",
        metadata: ["slice": "\(slice)", "cluster": "\(cluster)", "why": "\(reason)"])
    case .sliceFailed(let slice, let reason):
      logger.error("slice not served", metadata: ["slice": "\(slice)", "why": "\(reason)"])
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
    while state.withLock({ state in
      if !state.isDirty || state.isStopped {
        state.isRunning = false
        return false
      }
      state.isDirty = false
      return true
    }) {
      await pass()
    }
  }

  // MARK: One pass

  private func pass() async {
    let endpoints = advertisedGateway
    let gatewayKey = Gateway.publicKey(of: identity.gatewayKey) ?? []
    let servers = configuration.standalone.dnsListen.map(\.address)
    guard
      let plan = try? await engine.read({ peer in
        self.state.withLock {
          $0.memory.plan(
            peer, endpoints: endpoints, gatewayKey: gatewayKey, servers: servers,
            now: WallClock.now)
        }
      })
    else { return }
    keepAllocations()
    applyGateway(plan)
    await loadRules(plan.nodes)
    reportFailures()
    dns.serve(plan.names)
    // Others learn of endpoints when this side is ready for them.
    if !plan.publications.isEmpty { engine.publish(plan.publications) }
    for refusal in plan.refusals {
      logger.debug(
        "not exported", metadata: ["service": "\(refusal.service)", "why": "\(refusal.reason)"])
    }
    state.withLock { $0.latest = plan }
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

  // MARK: Gateway

  private var advertisedGateway: [IPEndpoint] {
    guard state.withLock({ $0.gateway != nil }) else { return [] }
    if !configuration.gateway.advertise.isEmpty { return configuration.gateway.advertise }
    guard let listen = configuration.gateway.listen else { return [] }
    let gossip = configuration.advertise.compactMap { IPEndpoint($0) }
    return gossip.isEmpty
      ? ReachableAddresses.of(listen) : gossip.map { IPEndpoint($0.address, port: listen.port) }
  }

  private func openGateway() {
    guard let listen = configuration.gateway.listen else { return }
    let gateway = GatewayConfiguration(
      cluster: identity.cluster, replica: Self.replica, listen: listen,
      staticKey: identity.gatewayKey, onEvent: { [weak self] in self?.gatewayEvent($0) })
    do throws(GatewayError) {
      let runner: any GatewayRunner =
        if let path = configuration.gateway.planFile {
          PlannedGateway(gateway, path: path)
        } else {
          try Gateway(gateway)
        }
      state.withLock { $0.gateway = runner }
    } catch {
      // The rest of the peer keeps working.
      state.withLock { $0.gatewayProblem = "\(error)" }
      logger.error("no gateway tunnel", metadata: ["why": "\(error)"])
    }
  }

  private func applyGateway(_ plan: PlatformPlan) {
    guard let gateway = state.withLock({ $0.gateway }) else { return }
    rotateLeaves(plan)
    var out = GatewayPlan(
      services: TunnelServiceConfig.list(plan.view, devices: plan.gateway.devices),
      linkKbps: configuration.gateway.linkKbps)
    for device in plan.gateway.devices {
      guard let leaf = state.withLock({ $0.leaves[device.slice]?.identity }) else { continue }
      out.slices.append(
        TunnelSliceConfig(
          slice: device.slice, device: device.device,
          addresses: [.init(device.address, prefixLength: device.cidr.length)],
          localBlocks: [device.block], mtu: Self.innerMTU,
          qos: TunnelQoS(device.qos), identity: leaf))
    }
    for tunnel in plan.gateway.tunnels {
      let remote = SPIFFEIdentity(
        clusterSet: identity.genesis.id, cluster: tunnel.cluster,
        role: .gateway(slice: tunnel.slice, replica: tunnel.replica))
      out.peers.append(
        TunnelPeerConfig(
          slice: tunnel.slice, cluster: tunnel.cluster, replica: tunnel.replica,
          endpoints: tunnel.endpoints, staticKey: tunnel.key,
          certificateAuthority: tunnel.certificateAuthority, spiffeURI: remote.uri,
          remoteBlocks: [tunnel.block]))
    }
    let refusals = gateway.apply(out)
    state.withLock { $0.gatewayRefusals = refusals }
    if !refusals.isEmpty { wakeAgain() }
  }

  /// Leaves as the slices' rotations want them.
  private func rotateLeaves(_ plan: PlatformPlan) {
    let now = WallClock.now
    let wanted = Dictionary(
      plan.gateway.devices.map {
        ($0.slice, plan.view.slices[$0.slice]?.rotation ?? SliceRotation())
      }, uniquingKeysWith: { first, _ in first })
    let leaves = CertificateReconciler.plan(
      wanted: wanted, replicas: [Self.replica],
      observed: state.withLock { $0.leaves.values.map(\.observed) }, now: now.wallMilliseconds)
    for action in leaves.actions {
      switch action {
      case .forget(let slice, _): state.withLock { $0.leaves[slice] = nil }
      case .issue(let slice, let replica, let lifetime):
        issueLeaf(slice, replica, lifetime, now)
      }
    }
    guard let next = leaves.nextMilliseconds, state.withLock({ $0.leavesAt != next }) else {
      return
    }
    state.withLock { $0.leavesAt = next }
    let wait = next > now.wallMilliseconds ? next - now.wallMilliseconds : 0
    loop.scheduleTask(in: .milliseconds(Int64(clamping: max(wait, 1_000)))) { [weak self] in
      self?.wake()
    }
  }

  private func issueLeaf(_ slice: String, _ replica: String, _ lifetime: Int64, _ now: Now) {
    do throws(ClusterCAError) {
      let issued = try identity.authority.issue(
        SPIFFEIdentity(
          clusterSet: identity.genesis.id, cluster: identity.cluster,
          role: .gateway(slice: slice, replica: replica)),
        for: .milliseconds(lifetime), now: now)
      let leaf = Leaf(
        identity: TunnelIdentity(
          certificate: issued.certificate, privateKey: issued.privateKey),
        observed: CertificateReconciler.Leaf(
          slice: slice, replica: replica, issuedMilliseconds: now.wallMilliseconds,
          expiresMilliseconds: now.wallMilliseconds + UInt64(clamping: lifetime)))
      state.withLock { $0.leaves[slice] = leaf }
      logger.info("new gateway certificate", metadata: ["slice": "\(slice)"])
    } catch {
      logger.error("no gateway certificate", metadata: ["slice": "\(slice)", "why": "\(error)"])
      wakeAgain()
    }
  }

  // MARK: Node

  /// What failed for a reason of this machine may work in a moment.
  private func wakeAgain() {
    loop.scheduleTask(in: .seconds(1)) { [weak self] in self?.wake() }
  }

  private func loadRules(_ slices: [NodeSlice]) async {
    // Passes run one after the other: nobody else changes it meanwhile.
    let (before, areLost) = state.withLock { state in
      defer { state.areRulesLost = false }
      return (state.rules, state.areRulesLost)
    }
    var rules = before
    if areLost { rules.forget() }
    let known = rules.inForce
    do throws(CommandError) {
      if !slices.isEmpty { try Sysctl.forward() }
      try await rules.load(slices) { action, script throws(CommandError) in
        let arguments = action == .check ? ["-c", "-f", "-"] : ["-f", "-"]
        try await CommandRunner.run("nft", arguments, input: script)
      }
    } catch {
      logger.error("packet rules are not in force", metadata: ["why": "\(error)"])
      wakeAgain()
    }
    for (slice, refusal) in rules.refused where before.refused[slice] != refusal {
      logger.error("slice not served", metadata: ["slice": "\(slice)", "why": "\(refusal.reason)"])
    }
    state.withLock { $0.rules = rules }
    if rules.inForce != known {
      let listing = await Self.listRules()
      state.withLock { $0.listing = listing }
    }
  }

  /// Asks for a pass where the kernel has other rules than those that the last one left.
  private func checkRules() async {
    let expected = state.withLock { $0.isRunning ? nil : $0.listing }
    guard let expected, await Self.listRules() != expected else { return }
    let areLost = state.withLock { state in
      // A pass in the meantime has changed them itself.
      state.areRulesLost = !state.isRunning && state.listing == expected
      return state.areRulesLost
    }
    guard areLost else { return }
    logger.warning("packet rules were changed by somebody else; they are put back")
    wake()
  }

  /// Without counters and without the elements of sets.
  private static func listRules() async -> String? {
    try? await CommandRunner.run(
      "nft",
      ["--stateless", "--terse", "list", "table"]
        + NodeRules.table.split(separator: " ").map { String($0) })
  }

  /// Tells the peer which slices could not be made so, and which can again, each once.
  private func reportFailures() {
    let (failing, before) = state.withLock { state in
      var failing = state.gatewayRefusals
      for (slice, refusal) in state.rules.refused { failing[slice] = refusal.reason }
      defer { state.failing = failing }
      return (failing, state.failing)
    }
    for slice in Set(failing.keys).union(before.keys).sorted()
    where failing[slice] != before[slice] {
      engine.report(slice: slice, complaint: failing[slice])
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
      if let status = self.gatewayStatus { TunnelMetrics.set(status, in: registry) }
    }
  }
}

/// Kernel settings of this network namespace.
enum Sysctl {
  /// A node forwards between workloads and slice devices.
  static func forward() throws(CommandError) {
    for path in ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"] {
      let file = open(path, O_WRONLY | O_CLOEXEC)
      guard file >= 0 else {
        if path.contains("ipv6") { continue }
        throw CommandError(command: path, reason: String(cString: strerror(errno)))
      }
      _ = write(file, "1", 1)
      close(file)
    }
  }
}

extension StandalonePlatform {
  /// By slice, the clusters whose tunnel answers.
  var reachableClusters: [String: Set<String>]? {
    state.withLock { state in
      state.memory.reachable.reduce(into: [:]) { $0[$1.slice, default: []].insert($1.cluster) }
    }
  }
}
