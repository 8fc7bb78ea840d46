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
  private let engine: PeerEngine
  private let store: ChangesetStore
  private let registry: MetricsRegistry
  private let logger: Logger
  private let loop: any EventLoop
  private let gateways: StandaloneGateways
  let dns: DNSServer
  private let state = Mutex(State())

  private struct State {
    var memory = PlatformMemory()
    var file: ServicesFile?
    var rules = RuleLoader()
    /// How the kernel lists them, as long as nobody else changes them.
    var listing: String?
    var areRulesLost = false
    /// Slices that could not be served, as last told to the peer.
    var failing: [String: String] = [:]
    /// By slice, why no gateway serves it.
    var gatewayRefusals: [String: String] = [:]
    var allocations = ""
    var latest: PlatformPlan?
    var isDirty = false
    var isRunning = false
    var isStopped = false
    /// When the last pass ended.
    var looked = Instant.zero
    var timers: [RepeatedTask] = []
  }

  /// How often the services file is looked at. A look is one `stat`.
  static let pollInterval = TimeAmount.milliseconds(100)
  /// How often it is looked again whether a suspect member is heard.
  static let doubtInterval: Duration = .milliseconds(500)
  /// How often packet rules are compared with what was loaded: a firewall that is restarted may have
  /// flushed them.
  static let checkInterval = TimeAmount.seconds(5)

  init(
    configuration: DaemonConfiguration, identity: PeerIdentity, engine: PeerEngine,
    store: ChangesetStore, registry: MetricsRegistry, loop: any EventLoop, logger: Logger
  ) {
    self.configuration = configuration
    self.engine = engine
    self.store = store
    self.registry = registry
    self.loop = loop
    self.logger = logger
    dns = DNSServer(on: loop)
    gateways = StandaloneGateways(
      configuration: configuration, identity: identity, store: store, loop: loop, logger: logger)
  }

  func start() async throws {
    let allocators = try AllocationStore.load(from: store)
    state.withLock {
      $0.memory.allocators = allocators
      $0.file = configuration.standalone.services.map(ServicesFile.init)
    }
    try await dns.start(configuration.standalone.dnsListen)
    gateways.open { [weak self] in self?.wake() }
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
    state.withLock { state in
      state.isStopped = true
      for timer in state.timers { timer.cancel() }
    }
    await dns.stop()
    gateways.stop()
    if state.withLock({ !$0.rules.inForce.isEmpty }) {
      _ = try? await CommandRunner.run("nft", ["-f", "-"], input: NodeRules.removal)
    }
  }

  /// What was planned last.
  var latest: PlatformPlan? { state.withLock { $0.latest } }
  var gatewayStatuses: [GatewayStatus] { gateways.statuses }
  var gatewayProblem: String? { gateways.problem }
  var lostGateways: [String] { gateways.lost }

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
    let isUnsure = state.withLock { state in
      state.latest?.isUnsure == true && WallClock.now.instant - state.looked >= Self.doubtInterval
    }
    if isChanged || isUnsure { wake() }
    gateways.look()
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
    let (published, reachable) = (gateways.published, gateways.reachable)
    let servers = configuration.standalone.dnsListen.map(\.address)
    guard
      let plan = try? await engine.read({ peer in
        self.state.withLock {
          $0.memory.reachable = reachable
          return $0.memory.plan(peer, gateways: published, servers: servers, now: WallClock.now)
        }
      })
    else { return }
    keepAllocations()
    let refusals = gateways.apply(plan)
    state.withLock { $0.gatewayRefusals = refusals }
    await loadRules(plan.nodes)
    reportFailures()
    dns.serve(plan.names)
    // Others learn of endpoints when this side is ready for them.
    if !plan.publications.isEmpty { engine.publish(plan.publications) }
    for refusal in plan.refusals {
      logger.debug(
        "not exported", metadata: ["service": "\(refusal.service)", "why": "\(refusal.reason)"])
    }
    state.withLock { ($0.latest, $0.looked) = (plan, WallClock.now.instant) }
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
      for (slice, refusal) in state.rules.refused {
        failing[slice] = [failing[slice], refusal.reason].compactMap { $0 }.joined(separator: "; ")
      }
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
      for status in self.gateways.statuses { TunnelMetrics.set(status, in: registry) }
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
    gateways.reachable.reduce(into: [:]) { $0[$1.slice, default: []].insert($1.cluster) }
  }
}
