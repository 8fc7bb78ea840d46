internal import Base
internal import Logging
internal import NIOCore
internal import Replication
internal import Slices
internal import Synchronization

/// The gateways of a standalone cluster: one inside the daemon, or a process for each plan file. The
/// processes share the slices' devices, and are reached at ports that follow one another.
final class StandaloneGateways: Sendable {
  private let configuration: DaemonConfiguration
  private let identity: PeerIdentity
  private let store: ChangesetStore
  private let loop: any EventLoop
  private let logger: Logger
  private let state = Mutex(State())

  private struct State {
    var onChange: (@Sendable () -> Void)?
    var members: [Member] = []
    var problem: String?
    var leaves: [LeafKey: Leaf] = [:]
    var leavesAt: UInt64?
    /// By link, the replicas whose tunnel answers.
    var reaching: [PlatformMemory.SliceLink: Set<String>] = [:]
  }

  private struct Member {
    var local: LocalGateway
    var runner: any GatewayRunner
  }

  private struct LeafKey: Hashable {
    var slice: String
    var replica: String
  }

  private struct Leaf {
    var identity: TunnelIdentity
    var observed: CertificateReconciler.Leaf
  }

  static let innerMTU = 1420

  init(
    configuration: DaemonConfiguration, identity: PeerIdentity, store: ChangesetStore,
    loop: any EventLoop, logger: Logger
  ) {
    self.configuration = configuration
    self.identity = identity
    self.store = store
    self.loop = loop
    self.logger = logger
  }

  /// Opens ports, or gets ready to write plans. What fails is said, and the rest of the peer works.
  /// `onChange`: something happened that planning has to know.
  func open(onChange: @escaping @Sendable () -> Void) {
    state.withLock { $0.onChange = onChange }
    guard let listen = configuration.gateway.listen else { return }
    let files = configuration.gateway.planFiles
    do {
      guard files.count <= StoreMeta.gatewayLimit else {
        throw GatewayError.refused(
          "gateway.planFile names \(files.count) gateways; \(StoreMeta.gatewayLimit) are allowed")
      }
      var members: [Member] = []
      for index in 0..<max(1, files.count) {
        members.append(try make(index, listen, planFile: files.isEmpty ? nil : files[index]))
      }
      state.withLock { $0.members = members }
    } catch {
      state.withLock { $0.problem = "\(error)" }
      logger.error("no gateway tunnel", metadata: ["why": "\(error)"])
    }
  }

  private func make(_ index: Int, _ listen: IPEndpoint, planFile: String?) throws -> Member {
    let key = try PeerIdentity.gatewayKey(index, in: store)
    let replica = "\(index)"
    let gateway = GatewayConfiguration(
      cluster: identity.cluster, replica: replica, listen: Self.at(listen, index), staticKey: key,
      onEvent: { [weak self] in self?.take($0, of: replica) })
    let local = LocalGateway(
      replica: replica, endpoints: advertised(listen).map { Self.at($0, index) },
      key: Gateway.publicKey(of: key) ?? [])
    if let planFile {
      return Member(local: local, runner: PlannedGateway(gateway, path: planFile))
    }
    return Member(local: local, runner: try Gateway(gateway))
  }

  /// The n-th gateway has the n-th port.
  private static func at(_ endpoint: IPEndpoint, _ index: Int) -> IPEndpoint {
    endpoint.following(index)
  }

  private func advertised(_ listen: IPEndpoint) -> [IPEndpoint] {
    if !configuration.gateway.advertise.isEmpty { return configuration.gateway.advertise }
    let gossip = configuration.advertise.compactMap { IPEndpoint($0) }
    return gossip.isEmpty
      ? ReachableAddresses.of(listen) : gossip.map { IPEndpoint($0.address, port: listen.port) }
  }

  private func wake() {
    state.withLock { $0.onChange }?()
  }

  private var members: [Member] { state.withLock { $0.members } }

  func stop() {
    let members = state.withLock { state in
      defer { state.members = [] }
      return state.members
    }
    for member in members { member.runner.stop() }
  }

  // MARK: What is known of them

  /// What the signed state is to say of them.
  var published: [LocalGateway] { members.map(\.local) }

  var statuses: [GatewayStatus] { members.compactMap(\.runner.latestStatus) }

  /// Why there is no tunnel: none of them works.
  var problem: String? {
    let (members, problem) = state.withLock { ($0.members, $0.problem) }
    let problems = members.compactMap(\.runner.problem)
    return problem
      ?? (members.isEmpty || problems.count < members.count
        ? nil : problems.joined(separator: "; "))
  }

  /// Why some of them carry nothing, while others do.
  var lost: [String] {
    let members = members
    let problems = members.compactMap(\.runner.problem)
    return problems.count < members.count ? problems : []
  }

  /// (slice, cluster) that the tunnel of any of them reaches.
  var reachable: Set<PlatformMemory.SliceLink> { state.withLock { Set($0.reaching.keys) } }

  func look() {
    for member in members { member.runner.look() }
  }

  private func take(_ event: GatewayEvent, of replica: String) {
    switch event {
    case .reachability(let slice, let cluster, let isReachable):
      let link = PlatformMemory.SliceLink(slice: slice, cluster: cluster)
      let change = state.withLock { state -> Bool? in
        let before = state.reaching[link] != nil
        if isReachable {
          state.reaching[link, default: []].insert(replica)
        } else {
          state.reaching[link]?.remove(replica)
          if state.reaching[link]?.isEmpty == true { state.reaching[link] = nil }
        }
        let now = state.reaching[link] != nil
        return now == before ? nil : now
      }
      guard let change else { return }
      logger.notice(
        change ? "tunnel up" : "tunnel down",
        metadata: ["slice": "\(slice)", "cluster": "\(cluster)"])
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
    case .unreachable(_, let reason):
      logger.warning("no way to a gateway", metadata: ["why": "\(reason)"])
    case .sliceFailed(let slice, let reason):
      logger.error("slice not served", metadata: ["slice": "\(slice)", "why": "\(reason)"])
    }
  }

  // MARK: What they are to do

  /// Makes them serve what was planned. Gives by slice why none of them can.
  func apply(_ plan: PlatformPlan) -> [String: String] {
    let members = members
    guard !members.isEmpty else { return [:] }
    rotateLeaves(plan, replicas: members.map(\.local.replica))
    let refusals = members.map { $0.runner.apply(tunnels(plan, of: $0.local.replica)) }
    if refusals.contains(where: { !$0.isEmpty }) { wakeAgain() }
    return (refusals.first ?? [:]).filter { slice, _ in refusals.allSatisfy { $0[slice] != nil } }
  }

  private func tunnels(_ plan: PlatformPlan, of replica: String) -> GatewayPlan {
    let isShared = members.count > 1
    var out = GatewayPlan(
      services: TunnelServiceConfig.list(plan.view, devices: plan.gateway.devices),
      linkKbps: configuration.gateway.linkKbps, relayKbps: configuration.gateway.relayKbps)
    for device in plan.gateway.devices {
      let key = LeafKey(slice: device.slice, replica: replica)
      guard let leaf = state.withLock({ $0.leaves[key]?.identity }) else { continue }
      out.slices.append(
        TunnelSliceConfig(
          slice: device.slice, device: device.device,
          addresses: [.init(device.address, prefixLength: device.cidr.length)],
          localBlocks: [device.block], mtu: Self.innerMTU, qos: TunnelQoS(device.qos),
          isShared: isShared, identity: leaf))
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
    return out
  }

  // MARK: Certificates

  /// Leaves as the slices' rotations want them.
  private func rotateLeaves(_ plan: PlatformPlan, replicas: [String]) {
    let now = WallClock.now
    let wanted = Dictionary(
      plan.gateway.devices.map {
        ($0.slice, plan.view.slices[$0.slice]?.rotation ?? SliceRotation())
      }, uniquingKeysWith: { first, _ in first })
    let leaves = CertificateReconciler.plan(
      wanted: wanted, replicas: replicas,
      observed: state.withLock { $0.leaves.values.map(\.observed) }, now: now.wallMilliseconds)
    for action in leaves.actions {
      switch action {
      case .forget(let slice, let replica):
        state.withLock { $0.leaves[LeafKey(slice: slice, replica: replica)] = nil }
      case .issue(let slice, let replica, let lifetime):
        issueLeaf(LeafKey(slice: slice, replica: replica), lifetime, now)
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

  private func issueLeaf(_ key: LeafKey, _ lifetime: Int64, _ now: Now) {
    do throws(ClusterCAError) {
      let issued = try identity.authority.issue(
        SPIFFEIdentity(
          clusterSet: identity.genesis.id, cluster: identity.cluster,
          role: .gateway(slice: key.slice, replica: key.replica)),
        for: .milliseconds(lifetime), now: now)
      let leaf = Leaf(
        identity: TunnelIdentity(
          certificate: issued.certificate, privateKey: issued.privateKey),
        observed: CertificateReconciler.Leaf(
          slice: key.slice, replica: key.replica, issuedMilliseconds: now.wallMilliseconds,
          expiresMilliseconds: now.wallMilliseconds + UInt64(clamping: lifetime)))
      state.withLock { $0.leaves[key] = leaf }
      logger.info("new gateway certificate", metadata: ["slice": "\(key.slice)"])
    } catch {
      logger.error(
        "no gateway certificate", metadata: ["slice": "\(key.slice)", "why": "\(error)"])
      wakeAgain()
    }
  }

  /// What failed for a reason of this machine may work in a moment.
  private func wakeAgain() {
    loop.scheduleTask(in: .seconds(1)) { [weak self] in self?.wake() }
  }
}
