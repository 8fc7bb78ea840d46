internal import Base
internal import Membership
internal import Naming
internal import Peer
internal import Replication
internal import Slices

/// What a standalone cluster should look like now: computed from the converged state alone.
struct PlatformPlan: Sendable {
  var view: ClustersetView
  var gateway: Slices.GatewayState
  var waiting: [GatewayReconciler.Waiting]
  var publications: [LocalRegister]
  var nodes: [NodeSlice]
  var names: NamingTable
  var refusals: [ServiceExportReconciler.Refusal]
  /// By slice.
  var reachability: [String: Reachability]
  var authorities: [String: [UInt8]]
  /// A member is suspect: time alone may change what can be reached.
  var isUnsure = false
}

/// A gateway that this cluster runs.
struct LocalGateway: Sendable {
  var replica: String
  /// Where it is reached from outside.
  var endpoints: [IPEndpoint]
  /// Static X25519 public key.
  var key: [UInt8]
}

/// What planning remembers between passes.
struct PlatformMemory: Sendable {
  var view = ClustersetView()
  var allocators: [String: AddressAllocator] = [:]
  var local = LocalServices()
  /// (slice, cluster) whose tunnel answers its probes.
  var reachable: Set<SliceLink> = []
  private var names = DNSReconciler()
  /// Registers that changed since the view was read; `nil`: all.
  var touched: [String]? = nil

  struct SliceLink: Hashable, Sendable {
    var slice: String
    var cluster: String
  }

  /// - Parameters:
  ///   - gateways: of this cluster; empty: none can be made here.
  mutating func plan(
    _ peer: Peer, gateways: [LocalGateway], servers: [IPAddress], now: Now
  ) -> PlatformPlan {
    let cluster = peer.configuration.cluster
    let source = StateRegisters(state: peer.state)
    let change = refreshView(source)
    let exports = ServiceExportReconciler.plan(
      view, cluster: cluster, local: local, allocators: &allocators, observed: source,
      now: now.wallMilliseconds)
    let nodes = NodeRouteReconciler.desired(
      view, cluster: cluster, local: local, endpoints: exports.endpoints,
      allocators: &allocators)
    let writes = exports.writes + publications(gateways, cluster: cluster, now: now)
    let (gateway, waiting) = GatewayReconciler.desired(view, cluster: cluster)
    let reachability = reachability(peer, cluster: cluster, now: now.instant)
    let clients = ClientSlices.byAddress(view, cluster: cluster, local: local)
    let names = self.names.table(
      view, change,
      .init(
        cluster: cluster, zones: peer.configuration.genesis.zones,
        sources: reachability.mapValues { NameSources(reachability: $0) },
        clients: ClientViews(clients: clients), servers: servers))
    return PlatformPlan(
      view: view, gateway: gateway, waiting: waiting,
      publications: writes.map { LocalRegister(scope: $0.scope, path: $0.path, value: $0.value) },
      nodes: nodes, names: names,
      refusals: exports.refusals, reachability: reachability,
      authorities: view.clusters.compactMapValues { $0.info?.certificateAuthority },
      isUnsure: peer.membership.count(.suspect) > 0)
  }

  /// What this cluster says of its gateways.
  private func publications(
    _ gateways: [LocalGateway], cluster: String, now: Now
  ) -> [RegisterWrite] {
    guard !gateways.isEmpty else { return [] }
    return view.slices(of: cluster).flatMap { slice in
      let isHidden = slice.member(cluster)?.gatewaySettings.type == .relay
      let writes = gateways.compactMap {
        GatewayReconciler.publication(
          slice, cluster: cluster, endpoints: isHidden ? [] : $0.endpoints, key: $0.key,
          replica: $0.replica, now: now.wallMilliseconds)
      }
      return writes
        + GatewayReconciler.withdrawals(
          slice, cluster: cluster, keeping: Set(gateways.map(\.replica)))
    }
  }

  /// Reads what changed since the last time; `nil`: everything may have.
  private mutating func refreshView(_ source: StateRegisters) -> ViewChange? {
    defer { touched = [] }
    if let paths = touched { return view.update(paths: paths, from: source) }
    view.rebuild(from: source)
    return nil
  }

  /// Of all slices that this cluster takes part in.
  private func reachability(
    _ peer: Peer, cluster: String, now: Instant
  ) -> [String: Reachability] {
    let slices = view.slices(of: cluster).map {
      ($0.name, reachability(of: $0, peer, cluster: cluster, now: now))
    }
    return Dictionary(slices, uniquingKeysWith: { a, _ in a })
  }

  /// By tunnel probes where there is a tunnel; membership alone withdraws nothing, it decides only
  /// where no tunnel is meant to be.
  private func reachability(
    of slice: SliceView, _ peer: Peer, cluster: String, now: Instant
  ) -> Reachability {
    var out = Reachability(local: cluster, drained: view.drained)
    let tunnelled = slice.network?.overlay != SliceOverlay.none
    for member in slice.members where member.cluster != cluster {
      let isHeard = peer.hears(cluster: member.cluster, now: now)
      if !isHeard { out.stale.insert(member.cluster) }
      let link = SliceLink(slice: slice.name, cluster: member.cluster)
      if tunnelled ? reachable.contains(link) : isHeard { out.reachable.insert(member.cluster) }
    }
    return out
  }
}
