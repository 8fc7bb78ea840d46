public import Base
internal import Membership
internal import Peer
internal import Replication
internal import Slices
internal import Wire

extension PeerHost: PeerService {
  /// The engine, or why there is none.
  func joinedEngine() throws -> PeerEngine {
    guard let engine else {
      throw APIProblem.unavailable(
        "This peer has not joined a ClusterSet.", fix: "Give it a token: starling join TOKEN.")
    }
    return engine
  }

  public func status() async throws -> APIStatus {
    let (phase, detail) = currentPhase
    let storage = await storageHealth()
    var out = APIStatus(
      phase: phase, detail: detail, version: StarlingVersion.current, clusterSet: nil,
      cluster: configuration.cluster ?? "", node: key.nodeID, key: key.publicKey,
      addresses: advertised, startedAt: APITime(milliseconds: started.wallMilliseconds),
      uptimeMilliseconds: UInt64(
        max(0, (WallClock.now.instant - started.instant).milliseconds)),
      storage: storage)
    guard let joined = current else { return out }
    out.clusterSet = .init(
      id: joined.identity.genesis.id, name: joined.identity.genesis.name)
    out.cluster = joined.identity.cluster
    let figures = try await joined.engine.read { StatusFigures($0) }
    if phase == .joined, !figures.isAdmitted {
      out.phase = .removed
      out.detail = "This peer's grant is void: \(figures.whyNot)"
    }
    out.clusters = figures.clusters
    out.slices = figures.slices
    out.services =
      joined.platform?.latest?.view.slices.values.reduce(0) { $0 + $1.services.count } ?? 0
    let tunnels = try await self.tunnels()
    out.tunnels = APITunnelCounts(
      configured: tunnels.count, established: tunnels.count { $0.state == .established })
    out.conflicts = figures.conflicts
    out.pending = figures.waiting
    out.scopes = figures.scopes
    out.rejected = figures.rejected
    if let problem = joined.platform?.gatewayProblem {
      out.warnings.append(
        APIWarning(
          title: "No gateway tunnel", detail: problem,
          fix: "The rest of the peer keeps working; mend it and restart starlingd."))
    }
    out.warnings += (joined.platform?.lostGateways ?? []).map {
      APIWarning(
        title: "A gateway is away", detail: $0,
        fix: "The others carry its traffic meanwhile; start it again.")
    }
    out.warnings += figures.alarms.map {
      APIWarning(title: "Trust", detail: $0, fix: "See: starling conflicts")
    }
    return out
  }

  private func storageHealth() async -> APIHealthItem {
    if let problem = await engine?.storageProblem() {
      return APIHealthItem(ok: false, detail: "\(problem)")
    }
    return APIHealthItem(ok: true)
  }

  public func readiness() async -> APIReadiness {
    let (phase, detail) = currentPhase
    let isJoined = phase == .joined
    return APIReadiness(
      joined: APIHealthItem(ok: isJoined, detail: isJoined ? "" : detail),
      storage: await storageHealth(),
      // A peer acts on what it holds; being alone is no reason to send it no traffic.
      synced: APIHealthItem(ok: isJoined, detail: isJoined ? "" : detail))
  }

  public func genesis() async throws -> APIGenesis {
    let engine = try joinedEngine()
    let genesis = engine.identity.genesis
    let (root, version) = try await engine.read { ($0.state.root, $0.state.rootVersion) }
    return APIGenesis(
      id: genesis.id, name: genesis.name, rootKeys: root.keys, rootThreshold: root.threshold,
      rootGrant: version, zones: genesis.zones,
      createdAt: APITime(milliseconds: genesis.createdMilliseconds), body: genesis.bytes.hex,
      seeds: advertised)
  }

  // MARK: Members

  public func members() async throws -> [APIMember] {
    let engine = try joinedEngine()
    return try await engine.read { peer in
      peer.admitted.values
        .sorted { ($0.cluster, $0.id) < ($1.cluster, $1.id) }
        .map { APIMember($0, in: peer) }
    }
  }

  public func memberEvents() async throws -> AsyncStream<APIMemberEvent> {
    let engine = try joinedEngine()
    let transitions = try await engine.memberTransitions()
    let (stream, continuation) = AsyncStream<APIMemberEvent>.makeStream(
      bufferingPolicy: .bufferingNewest(256))
    let task = Task {
      for await transition in transitions {
        let member = try? await engine.read { peer in
          peer.admitted[transition.node].map { APIMember($0, in: peer) }
        }
        guard let member = member ?? nil else { continue }
        continuation.yield(
          APIMemberEvent(
            at: APITime(milliseconds: WallClock.now.wallMilliseconds), member: member,
            previous: APIMember.State(transition.previous)))
      }
      continuation.finish()
    }
    continuation.onTermination = { _ in task.cancel() }
    return stream
  }

  public func mayRead(_ key: PublicKey) async -> Bool {
    let now = WallClock.now.wallMilliseconds
    let may = try? await engine?.read { peer in
      peer.state.root.keys.contains(key)
        || peer.state.grants(of: key).contains {
          $0.isLive && !$0.isClosed && !$0.isExpired(at: now)
            && $0.grant.capabilities.contains(.read)
        }
    }
    return may ?? false
  }
}

/// What `status` needs of the core, in one look.
private struct StatusFigures: Sendable {
  var clusters = APIClusterCounts()
  var slices = 0
  var conflicts = 0
  var waiting = 0
  var rejected: UInt64 = 0
  var scopes: [APIScopeState] = []
  var alarms: [String] = []
  var isAdmitted = false
  var whyNot = ""

  init(_ peer: Peer) {
    let state = peer.state
    var best: [String: Int] = [:]
    for member in peer.admitted.values {
      best[member.cluster] = max(best[member.cluster] ?? 0, Self.rank(member, in: peer))
    }
    clusters = APIClusterCounts(
      admitted: best.count, alive: best.values.count { $0 == 3 },
      suspect: best.values.count { $0 == 2 }, dead: best.values.count { $0 == 1 })
    slices = state.slices.count
    conflicts = state.conflictCount
    waiting = state.waitingCount
    rejected = peer.rejectedCount
    scopes = state.scopes.map {
      APIScopeState(
        scope: $0, changesets: state.comparedCount($0), digest: state.digest($0).description,
        synced: peer.isSynced($0))
    }
    alarms = state.alarms.map(\.description)
    isAdmitted = peer.admitted[peer.id] != nil
    if !isAdmitted {
      let grants = state.grants(of: peer.configuration.signer.publicKey)
      whyNot =
        grants.lazy.compactMap { $0.void.map { "\($0)" } }.first
        ?? (grants.contains(where: \.isClosed)
          ? "it was revoked; a new token admits it again"
          : "its cluster is not admitted")
    }
  }

  /// 3 alive, 2 suspect, 1 dead or gone, 0 unknown.
  private static func rank(_ member: AdmittedPeer, in peer: Peer) -> Int {
    if member.id == peer.id { return 3 }
    return switch peer.membership.state(of: member.id) {
    case .alive, .degraded: 3
    case .suspect: 2
    case .dead, .left: 1
    case .unknown: 0
    }
  }
}

extension APIMember.State {
  init(_ state: MemberState) {
    self =
      switch state {
      case .unknown: .unknown
      case .alive: .alive
      case .degraded: .degraded
      case .suspect: .suspect
      case .dead: .dead
      case .left: .left
      }
  }
}

extension APIMember {
  init(_ admitted: AdmittedPeer, in peer: Peer) {
    let isSelf = admitted.id == peer.id
    let member = peer.membership.member(admitted.id)
    let record = isSelf ? peer.membership.record : member?.record
    let info = peer.state.value("cluster/\(admitted.cluster)/info")
    let admission = peer.state.value("cluster/\(admitted.cluster)")
    var since: APITime?
    if let member, !isSelf {
      let now = WallClock.now
      let age = UInt64(max(0, (now.instant - member.since).milliseconds))
      since = APITime(milliseconds: now.wallMilliseconds - min(age, now.wallMilliseconds))
    }
    var labels: [String: String] = [:]
    for field in admission?["labels"]?.fields ?? [] { labels[field.name] = field.value.string }
    self.init(
      cluster: admitted.cluster, node: admitted.id, key: admitted.key, isSelf: isSelf,
      state: isSelf ? .alive : member.map { State($0.state) } ?? .unknown, since: since,
      addresses: isSelf
        ? peer.configuration.addresses : member?.addresses ?? admitted.addresses,
      roundTripMilliseconds: peer.membership.rtt(to: admitted.id)?.milliseconds,
      bootEpoch: record?.incarnation.bootEpoch ?? 0,
      incarnation: record?.incarnation.counter ?? 0, version: info?["version"]?.string,
      labels: labels, latitude: admission?["location"]?["latitude"]?.string.flatMap(Double.init),
      longitude: admission?["location"]?["longitude"]?.string.flatMap(Double.init))
  }
}
