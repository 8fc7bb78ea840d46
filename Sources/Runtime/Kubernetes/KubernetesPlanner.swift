internal import Base
internal import Kubernetes
internal import Naming
internal import Peer
internal import Replication
internal import Slices

/// Plans a cluster's objects, names and publications beside the peer's loop, from what changed since
/// the pass before: a pass costs what the change touches.
actor KubernetesPlanner {
  /// What one pass goes by.
  struct Input: Sendable {
    var registers: RegisterMirror.Changes
    /// Paths that changed; `nil`: everything is new.
    var paths: [String]?
    var picture: PeerPicture
    /// `nil` before everything was listed once.
    var objects: ClusterObjects?
    /// Objects that changed; `nil`: all may have.
    var changed: Set<ObjectID>?
    /// Who acts for this cluster.
    var holder: String
    var role: Role
    /// Addresses of load balancers' host names.
    var resolved: [String: [IPAddress]] = [:]
    var now: Now
  }

  /// Whose Events these are: of several peers one tells them.
  enum Role: Hashable, Sendable {
    /// What is told now is written.
    case acts
    /// Nobody acts yet, or this one may not write now: what there is to tell waits.
    case waits
    case follows
  }

  /// What follows from the registers alone, as soon as it is known: names wait for no object.
  struct Publication: Sendable {
    var plan: PlatformPlan
    /// To be persisted before anything is published; `nil`: as they were.
    var allocators: [String: AddressAllocator]?
    var tunnels = GatewayOperator.Report()
    /// To be looked up for the next pass.
    var hostNames: Set<String> = []
  }

  private let cluster: String
  private let consent: ExportReader.Consent
  private let servers: [IPAddress]
  /// Who reports, for Events.
  private let instance: String

  private var registers = RegisterMirror()
  private var view = ClustersetView()
  private var services: ServicePlanner
  private var allocators: [String: AddressAllocator]
  private var persisted: [String: AddressAllocator]
  private var names = DNSReconciler()
  private var mirrors = MirrorPlan()
  private var operations: OperatorPlanner
  private var nodes: NodeNetworkPlanner
  private var gateways: GatewayOperator
  private var events = EventRecorder()
  /// Of gateways, the last time.
  private var told: Set<EventRecorder.Statement> = []
  /// By what they are of: to be recorded once this peer acts.
  private var untold: [String: Set<EventRecorder.Statement>] = [:]
  /// More of the view changed in the last first half than services.
  private var isViewChanged = true
  private var latest: PlatformPlan?
  /// Changes went by while the objects were not known: before this pass, or before the next.
  private var hadMissed = true
  private var hasMissed = true

  init(
    _ configuration: OperatorPlanner.Configuration, gateways: GatewayOperator,
    consent: ExportReader.Consent, servers: [IPAddress], instance: String,
    allocators: [String: AddressAllocator]
  ) {
    self.gateways = gateways
    cluster = configuration.cluster
    operations = OperatorPlanner(configuration)
    nodes = NodeNetworkPlanner(
      cluster: configuration.cluster, namespace: configuration.namespace)
    self.instance = instance
    self.consent = consent
    self.servers = servers
    self.allocators = allocators
    persisted = allocators
    services = ServicePlanner(
      .init(cluster: cluster, consent: consent, home: configuration.namespace))
  }

  /// First half of a pass: the view, what is to be published, and names.
  func publish(_ input: Input) -> Publication {
    registers.apply(input.registers)
    var change: ViewChange?
    if let paths = input.paths {
      change = view.update(paths: paths, from: registers)
    } else {
      view.rebuild(from: registers)
    }
    if let objects = input.objects {
      let isWhole = input.changed == nil || hasMissed
      gateways.observe(objects, view, changed: isWhole ? nil : input.changed, now: input.now)
    }
    let tunnels = gateways.report(view, now: input.now)
    let reachability = self.reachability(input.picture, tunnels.reachable)
    var writes: [RegisterWrite] = []
    var refusals: [ServiceExportReconciler.Refusal] = []
    if let objects = input.objects {
      adopt(served: objects)
      let isWhole = input.paths == nil || hasMissed
      services.observe(
        isWhole ? nil : input.changed, in: objects, view, isWhole ? nil : change,
        reachability: reachability)
      (writes, refusals) = export(objects, input.now)
      writes += gateways.publications(view, objects, resolved: input.resolved, now: input.now)
    }
    hadMissed = hasMissed
    hasMissed = input.objects == nil
    let changed = input.objects == nil ? [] : services.relocated.union(services.readdressed)
    let names = self.names(change, changed, reachability, input.picture.zones)
    let (gateway, waiting) = GatewayReconciler.desired(view, cluster: cluster)
    let plan = PlatformPlan(
      view: view, gateway: gateway, waiting: waiting,
      publications: writes.map { LocalRegister(scope: $0.scope, path: $0.path, value: $0.value) },
      nodes: [], names: names, refusals: refusals, reachability: reachability,
      authorities: view.clusters.compactMapValues { $0.info?.certificateAuthority })
    latest = plan
    mirrors.isStale = mirrors.isStale || change != ViewChange()
    isViewChanged = change?.slices.isEmpty != true
    defer { persisted = allocators }
    return Publication(
      plan: plan, allocators: allocators == persisted ? nil : allocators, tunnels: tunnels,
      hostNames: gateways.hostNames)
  }

  /// The second half: requests that make the cluster's objects what they should be.
  ///
  /// What the second half comes to.
  struct Work: Sendable {
    var actions: [ObjectDiffer.Action] = []
    /// Requests to be sent once, whatever becomes of them.
    var events: [APIRequest] = []
    /// When there is something to do without any change, milliseconds since 1970.
    var nextMilliseconds: UInt64?
    /// Gateways need the CA of another peer of this cluster.
    var lacksAuthority = false
  }

  func objects(_ input: Input, intake: [DesiredObject]) -> Work {
    guard let objects = input.objects, let latest else { return Work() }
    let refusals = Dictionary(
      latest.refusals.map { ($0.service, $0.reason) }, uniquingKeysWith: { a, _ in a })
    var actions = services.plan(
      objects, view, refusals: refusals, now: input.now.wallMilliseconds)
    let facts = MirrorPlanner.PeerFacts.all(
      input.picture, view: view, cluster: cluster, holder: input.holder)
    actions += mirrors.actions(
      facts, view, cluster: cluster, objects, input.changed, now: input.now.wallMilliseconds)
    actions += ObjectDiffer.actions(
      intake.filter { objects.isServed($0.id.type) }, observed: objects, managed: [])
    actions += operations.plan(
      view, objects, changed: input.changed, isViewChanged: isViewChanged, services: services)
    actions += nodes.plan(
      view, objects, changed: hadMissed ? nil : input.changed, isViewChanged: isViewChanged,
      services: services, allocators: &allocators)
    // Only who acts makes keys and certificates.
    if input.role == .acts { actions += gateways.actions(view, objects, now: input.now) }
    return Work(
      actions: actions, events: tell(input),
      nextMilliseconds: gateways.nextMilliseconds, lacksAuthority: gateways.lacksAuthority)
  }

  /// Names by what was imported before the state was lost.
  func remembered(_ objects: ClusterObjects, zones: [String]) -> NamingTable {
    adopt(served: objects)
    let remembered = RememberedServices(objects, imports: services.configuration.imports)
    let names = remembered.slices.map { slice in
      let sources = NameSources(
        reachability: Reachability(local: cluster, reachable: Set(slice.exports.map(\.cluster))),
        serviceAddresses: remembered.addresses[slice.name] ?? [:], hasServiceAddresses: true)
      return SliceNames(slice, sources)
    }
    return NamingTable(
      zones: zones, slices: names,
      clients: ClientViews(others: Set(remembered.slices.map(\.name))), servers: servers)
  }

  /// CAs of the cluster's other peers.
  func learn(_ authorities: [ClusterCA]) { gateways.learn(authorities) }

  /// That something was put back as it should be.
  func reverted(_ id: ObjectID) -> APIRequest? {
    let object = KubernetesObject(id.type, id.key)
    return events.record(
      once: EventRecorder.Statement(
        object, id.type, isWarning: true, reason: "DriftReverted",
        note: "somebody changed it; it is as the slice wants it again"),
      instance: instance, now: WallClock.now)
  }

  private func tell(_ input: Input) -> [APIRequest] {
    for (service, statements) in services.statements { untold["\(service)"] = statements }
    if let statements = operations.statements { untold["operator"] = statements }
    if let objects = input.objects {
      let statements = gateways.statements(objects)
      if statements != told { untold["gateways"] = statements }
      told = statements
    }
    untold["nodes"] = nodes.statements
    guard input.role != .waits else { return [] }
    defer { untold = [:] }
    let requests = untold.sorted { $0.key < $1.key }.flatMap { subject, statements in
      events.record(statements, of: subject, instance: instance, now: input.now)
    }
    // Who follows knows them as told.
    return input.role == .acts ? requests : []
  }

  // MARK: Parts of a pass

  /// The MCS types in the version that is served, the newer one first.
  private func adopt(served objects: ClusterObjects) {
    let old = MCS.versions[1]
    let isOld =
      !objects.isServed(.serviceExports)
      && objects[ResourceType.serviceExports.version(old)] != nil
      && objects.isServed(ResourceType.serviceExports.version(old))
    let exports = isOld ? ResourceType.serviceExports.version(old) : .serviceExports
    guard exports != services.configuration.exports else { return }
    var configuration = services.configuration
    configuration.exports = exports
    configuration.imports =
      isOld ? ResourceType.serviceImports.version(old) : .serviceImports
    services = ServicePlanner(configuration)
  }

  private func export(
    _ objects: ClusterObjects, _ now: Now
  ) -> ([RegisterWrite], [ServiceExportReconciler.Refusal]) {
    let exports = services.readExports(objects, view)
    guard !exports.only.isEmpty else { return ([], []) }
    let plan = ServiceExportReconciler.plan(
      view, cluster: cluster, local: exports.services, only: exports.only,
      allocators: &allocators, observed: registers, now: now.wallMilliseconds)
    let writes = exports.mayWithdraw ? plan.writes : plan.writes.filter { $0.value != nil }
    return (writes, plan.refusals)
  }

  /// Gateways say what can be reached; membership decides where none has said anything.
  private func reachability(
    _ picture: PeerPicture, _ tunnels: [String: Set<String>]
  ) -> [String: Reachability] {
    let heard = picture.heard
    var out: [String: Reachability] = [:]
    for slice in view.slices(of: cluster) {
      let others = Set(slice.members.map(\.cluster)).subtracting([cluster])
      out[slice.name] = Reachability(
        local: cluster, reachable: others.intersection(tunnels[slice.name] ?? heard),
        drained: view.drained,
        stale: others.subtracting(heard))
    }
    return out
  }

  /// - Parameter changed: services whose addresses are others in this cluster.
  private func names(
    _ change: ViewChange?, _ changed: Set<ServiceName>, _ reachability: [String: Reachability],
    _ zones: [String]
  ) -> NamingTable {
    let slices = view.slices(of: cluster).filter { $0.isActive(cluster) }.map(\.name)
    let sources = slices.map { slice in
      (
        slice,
        NameSources(
          reachability: reachability[slice] ?? Reachability(local: cluster),
          serviceAddresses: services.addresses[slice] ?? [:], hasServiceAddresses: true,
          localEndpoints: services.localEndpoints)
      )
    }
    // Clients are not told apart: the view is the cluster's.
    return names.table(
      view, change,
      .init(
        cluster: cluster, zones: zones,
        sources: Dictionary(sources, uniquingKeysWith: { a, _ in a }), changed: changed,
        clients: ClientViews(others: Set(slices)), servers: servers))
  }
}

/// The mirrors, planned again when what they show has changed, or they themselves.
private struct MirrorPlan {
  var isStale = true
  private var facts: [MirrorPlanner.PeerFacts] = []
  private var kept: [ObjectDiffer.Action] = []

  mutating func actions(
    _ facts: [MirrorPlanner.PeerFacts], _ view: ClustersetView, cluster: String,
    _ objects: ClusterObjects, _ changed: Set<ObjectID>?, now milliseconds: UInt64
  ) -> [ObjectDiffer.Action] {
    let isTouched =
      changed.map { $0.contains { MirrorPlanner.managed.contains($0.type) } } ?? true
    guard isStale || isTouched || facts != self.facts else { return kept }
    isStale = false
    self.facts = facts
    let desired = MirrorPlanner.desired(
      view, peers: facts, cluster: cluster, objects, now: milliseconds)
    kept = ObjectDiffer.actions(
      desired.filter { objects.isServed($0.id.type) }, observed: objects,
      managed: MirrorPlanner.managed)
    return kept
  }
}
