internal import Base
internal import Kubernetes
internal import Slices

/// The cluster's gateways: what runs them, what they are told, what others are told of them, and what
/// they say. Everything but what is written follows from what the watches know.
struct GatewayOperator: Sendable {
  struct Configuration: Sendable {
    var cluster: String
    /// At most so many; 0: none are made.
    var replicas: Int
    /// By configuration; the n-th gateway has the n-th port.
    var advertised: [IPEndpoint] = []
  }

  /// What is known of the tunnels.
  struct Report: Sendable {
    /// Ascending by gateway.
    var statuses: [GatewayStatus] = []
    /// By slice; `nil` for one where membership decides.
    var reachable: [String: Set<String>] = [:]
    /// Why no gateway carries anything, and why some of several do not.
    var problem: String?
    var lost: [String] = []
  }

  static let watched: [ResourceType] = GatewayWorkloads.watched + [.sliceGateways]

  let configuration: Configuration
  let workloads: GatewayWorkloads
  private var plans: GatewayPlans
  private var places: GatewayPlaces
  private var reports = TunnelReports()
  private var kept: [ObjectDiffer.Action] = []
  private var outcome = GatewayPlans.Outcome()
  private var replicas: [Int] = []
  private var exposure = GatewayWorkloads.Exposure.nodePort
  private var isStale = true
  private var gateway = Slices.GatewayState()
  /// Tunnels that this process has known to be wanted, and since when it looks.
  private var seen: Set<Link> = []
  private var began: Instant?

  private struct Link: Hashable {
    var slice: String
    var cluster: String
  }

  /// How long a peer that begins takes no tunnel away that it has not known: one that lost its volume has
  /// to learn from others first which slices there are.
  static let learning: Duration = .seconds(120)

  init(_ configuration: Configuration, _ workloads: GatewayWorkloads, _ plans: GatewayPlans) {
    self.configuration = configuration
    self.workloads = workloads
    self.plans = plans
    places = GatewayPlaces(workloads)
  }

  /// When something has to be looked at again, milliseconds since 1970.
  var nextMilliseconds: UInt64? { outcome.nextMilliseconds }

  /// A leaf has to be issued by a CA that this peer does not have.
  var lacksAuthority: Bool { outcome.lacksAuthority }

  /// CAs of the cluster's other peers.
  mutating func learn(_ authorities: [ClusterCA]) {
    for authority in authorities
    where !plans.authorities.contains(where: { $0.certificate == authority.certificate }) {
      plans.authorities.append(authority)
      isStale = true
    }
  }

  /// Names of load balancers that have to be looked up.
  private(set) var hostNames: Set<String> = []

  // MARK: First half of a pass

  /// - Parameter changed: objects since the last time; `nil`: all may have.
  mutating func observe(
    _ objects: ClusterObjects, _ view: ClustersetView, changed: Set<ObjectID>?, now: Now
  ) {
    places.update(objects, changed: changed)
    reports.update(objects, changed: changed, now: now.instant)
    let isConcerned =
      changed.map { changed in changed.contains { self.isConcerned($0, objects) } } ?? true
    if isConcerned { isStale = true }
    let (state, waiting) = GatewayReconciler.desired(view, cluster: configuration.cluster)
    if state != gateway {
      gateway = state
      isStale = true
    }
    settle(view, isNeeded: !state.tunnels.isEmpty || !waiting.isEmpty)
    hostNames = exposure == .loadBalancer ? places.hostNames(replicas, in: objects) : []
  }

  private func isConcerned(_ id: ObjectID, _ objects: ClusterObjects) -> Bool {
    switch id.type {
    case .deployments, .podDisruptionBudgets, .secrets: true
    case .services: id.key.namespace == workloads.configuration.namespace
    // Words of a feed change nothing of what there should be.
    case .sliceGateways: objects[id]?.json["status"] == nil
    default: false
    }
  }

  /// How many there are and how they are reached: as the members' sections of the slices want it.
  private mutating func settle(_ view: ClustersetView, isNeeded: Bool) {
    let settings = gateway.devices.compactMap {
      view.slices[$0.slice]?.member(configuration.cluster)?.gatewaySettings
    }
    let most = settings.map(\.replicas).max() ?? 0
    replicas = isNeeded ? Array(0..<min(most, configuration.replicas)) : []
    let types = Set(settings.map(\.type))
    exposure =
      types.contains(.loadBalancer)
      ? .loadBalancer
      : types.contains(.nodePort) ? .nodePort : types.contains(.hostNetwork) ? .hostPort : .hidden
  }

  /// What the signed state is to say of them.
  mutating func publications(
    _ view: ClustersetView, _ objects: ClusterObjects, resolved: [String: [IPAddress]], now: Now
  ) -> [RegisterWrite] {
    guard configuration.replicas > 0, objects.isServed(.deployments) else { return [] }
    var known: [(replica: Int, endpoints: [IPEndpoint], key: [UInt8])] = []
    for replica in replicas {
      guard
        let key = plans.publicKey(replica, objects[workloads.id(.secrets, replica)]),
        let endpoints = places.endpoints(
          replica, exposure, in: objects,
          advertised: configuration.advertised.map { $0.following(replica) }, resolved: resolved,
          seen: seen(replica))
      else { continue }
      known.append((replica, endpoints, key))
    }
    return view.slices(of: configuration.cluster).flatMap { slice -> [RegisterWrite] in
      let isHidden = slice.member(configuration.cluster)?.gatewaySettings.type == .relay
      let writes = known.compactMap {
        GatewayReconciler.publication(
          slice, cluster: configuration.cluster, endpoints: isHidden ? [] : $0.endpoints,
          key: $0.key, replica: "\($0.replica)", now: now.wallMilliseconds)
      }
      return writes
        + GatewayReconciler.withdrawals(
          slice, cluster: configuration.cluster, keeping: Set(replicas.map { "\($0)" }))
    }
  }

  /// Where remote gateways see this one come from.
  private func seen(_ replica: Int) -> [IPAddress] {
    let texts = reports.all.filter { $0.gateway == "\(replica)" }.flatMap(\.tunnels)
      .filter { $0.state == .established && $0.isTranslated == true }
      .compactMap { $0.texts[.observed] }
    return Set(texts.compactMap { IPEndpoint($0)?.address }).sorted()
  }

  // MARK: What they say

  /// By slice, the clusters that a tunnel leads to, where gateways have said so.
  func report(_ view: ClustersetView, now: Now) -> Report {
    var out = Report()
    let pods = Set(places.pods.values.map(\.name))
    for slice in view.slices(of: configuration.cluster)
    where slice.network?.overlay != SliceOverlay.none {
      out.reachable[slice.name] = reports.reachable(slice.name, pods: pods, now: now.instant)
    }
    let living = reports.all.filter { pods.contains($0.pod) }
    out.statuses = GatewayStatus.list(living)
    guard !replicas.isEmpty else { return out }
    var problems = replicas.compactMap { replica -> String? in
      let name = GatewayWorkloads.name(replica)
      guard places.pod(replica) != nil else { return "there is no Pod of \(name)" }
      let own = living.filter { $0.gateway == "\(replica)" }
      if own.isEmpty { return "\(name) has not said anything yet" }
      if own.contains(where: \.isSilent) { return "the process of \(name) says nothing" }
      if own.allSatisfy({ reports.isSilent($0, now: now.instant) }) {
        return "the feed of \(name) says nothing any more; its last word stands"
      }
      return own.first { !$0.failure.isEmpty }.map { "\(name): \($0.failure)" }
    }
    if let problem = outcome.problem { problems.append(problem) }
    if problems.count < replicas.count {
      out.lost = problems
    } else {
      out.problem = problems.joined(separator: "; ")
    }
    return out
  }

  /// For people, as Events.
  func statements(_ objects: ClusterObjects) -> Set<EventRecorder.Statement> {
    let pods = Set(places.pods.values.map(\.name))
    return reports.all.filter { pods.contains($0.pod) }.reduce(into: []) { out, report in
      let name = GatewayWorkloads.reportName(report.slice, Int(report.gateway) ?? 0)
      let id = ObjectID(.sliceGateways, ObjectKey(name: name))
      if let object = objects[id] { out.formUnion(TunnelStatements.of(report, on: object)) }
    }
  }

  // MARK: Second half of a pass

  mutating func actions(
    _ view: ClustersetView, _ objects: ClusterObjects, now: Now
  ) -> [ObjectDiffer.Action] {
    guard configuration.replicas > 0 else { return [] }
    let isDue = outcome.nextMilliseconds.map { $0 <= now.wallMilliseconds } ?? false
    guard isStale || isDue || outcome.problem != nil else { return kept }
    seen.formUnion(gateway.tunnels.map { Link(slice: $0.slice, cluster: $0.cluster) })
    if isLearning(objects, now) {
      outcome.nextMilliseconds = now.wallMilliseconds + 1000
      return []
    }
    isStale = false
    var secrets: [Int: KubernetesObject] = [:]
    for replica in replicas { secrets[replica] = objects[workloads.id(.secrets, replica)] }
    outcome = plans.plan(gateway, view, replicas: replicas, secrets: secrets, now: now)
    kept = workloads.actions(
      GatewayWorkloads.Wanted(
        plans: outcome.plans, exposure: exposure, slices: gateway.devices.map(\.slice)), objects)
    return kept
  }

  private mutating func isLearning(_ objects: ClusterObjects, _ now: Now) -> Bool {
    let start = began ?? now.instant
    began = start
    guard now.instant - start < Self.learning else { return false }
    return (0..<configuration.replicas).contains { replica in
      let file = plans.stored(replica, objects[workloads.id(.secrets, replica)])
      return file?.plan.peers.contains {
        !seen.contains(Link(slice: $0.slice, cluster: $0.cluster))
      } ?? false
    }
  }
}

extension IPEndpoint {
  /// The same address with the n-th port from this one on.
  func following(_ number: Int) -> IPEndpoint {
    IPEndpoint(address, port: port == 0 ? 0 : port &+ UInt16(clamping: number))
  }
}
