internal import Base
internal import Membership
internal import Naming
internal import Peer
internal import Replication
internal import Slices

extension PeerHost {
  public func slices() async throws -> [APISlice] {
    let engine = try joinedEngine()
    let reachable = current?.platform?.reachableClusters
    return try await engine.read { peer in
      let source = StateRegisters(state: peer.state)
      let view = ClustersetView(source)
      return view.slices.values.sorted { $0.name < $1.name }.map { slice in
        APISlice(
          slice, peer: peer, source: source,
          reachable: reachable.map { $0[slice.name] ?? [] })
      }
    }
  }

  public func slice(named name: String) async throws -> APISlice {
    guard let slice = try await slices().first(where: { $0.name == name }) else {
      throw APIProblem.notFound("There is no slice \(name).", fix: "See: starling get slices")
    }
    return slice
  }

  public func services() async throws -> [APIService] {
    let engine = try joinedEngine()
    let platform = current?.platform
    let cluster = engine.identity.cluster
    let zones = engine.identity.genesis.zones
    let reachable = platform?.reachableClusters
    return try await engine.read { peer in
      let view = ClustersetView(StateRegisters(state: peer.state))
      return view.slices(of: cluster).flatMap { slice in
        slice.services.map { service in
          APIService(
            service, in: slice, local: cluster, zones: zones,
            reachable: reachable.map { $0[slice.name] ?? [] }, peer: peer)
        }
      }
    }
  }

  public func tunnels() async throws -> [APITunnel] {
    _ = try joinedEngine()
    guard let platform = current?.platform else { return [] }
    let waiting = platform.latest?.waiting ?? []
    let live = platform.gatewayStatuses.flatMap { status in
      status.tunnels.map {
        APITunnel($0, gateway: status.replica, listen: status.listen.description)
      }
    }
    let missing = waiting.map {
      APITunnel(
        slice: $0.slice, cluster: $0.cluster, replica: "", state: .waiting, lastError: $0.reason)
    }
    return (live + missing).sorted {
      ($0.slice, $0.cluster, $0.replica, $0.gateway ?? "")
        < ($1.slice, $1.cluster, $1.replica, $1.gateway ?? "")
    }
  }
}

extension APISlice {
  fileprivate init(
    _ slice: SliceView, peer: Peer, source: StateRegisters, reachable: Set<String>?
  ) {
    let cluster = peer.configuration.cluster
    var state = State.active
    var detail = ""
    if slice.network == nil {
      state = .invalid
      detail = "no valid section slice/\(slice.name) was seen"
    } else if let held = slice.problems.first(where: { $0.reason == .addressConflict }) {
      state = .addressConflict
      detail = held.message
    } else if slice.member(cluster) == nil {
      state = .notMember
      detail = "\(cluster) takes no part in it"
    }
    let paths =
      [SlicePath.slice(slice.name).text]
      + source.paths(withPrefix: "slice/\(slice.name)/", in: .clusterset)
    let registers = paths.compactMap { peer.state.register($0) }
    let newest = registers.map(\.effective).max {
      ($0.time, $0.changeset) < ($1.time, $1.changeset)
    }
    let manifest = try? SliceManifest(named: slice.name, in: source)
    self.init(
      name: slice.name, state: state, detail: detail,
      spec: manifest?.document()["spec"] ?? source.value(SlicePath.slice(slice.name).text) ?? .null,
      members: slice.members.map {
        APISliceMember($0, in: slice, peer: peer, reachable: reachable)
      },
      problems: slice.problems.map {
        APISliceProblem(
          path: $0.path, field: "", message: "\($0.reason.rawValue): \($0.message)", allowed: "")
      },
      services: slice.services.count, conflicts: registers.filter(\.isConflict).map(\.path),
      changedAt: newest.map { APITime($0.time) }, changedBy: newest?.author,
      changeset: newest?.changeset)
  }
}

extension APISliceMember {
  fileprivate init(
    _ member: MemberView, in slice: SliceView, peer: Peer, reachable: Set<String>?
  ) {
    let isLocal = member.cluster == peer.configuration.cluster
    let problem = slice.problems.first {
      $0.path == SlicePath.member(slice: slice.name, cluster: member.cluster).text
    }
    let state: State =
      if !peer.state.isAdmitted(member.cluster) {
        .notAdmitted
      } else if !member.isActive {
        problem?.reason == .addressConflict ? .addressConflict : .invalid
      } else if isLocal || reachable?.contains(member.cluster) ?? true {
        .active
      } else {
        .unreachable
      }
    self.init(
      cluster: member.cluster, block: member.blockIndex,
      blockCIDR: member.block.map { "\($0)" }, namespaces: member.namespaces,
      endpoints: member.gateways.flatMap { $0.endpoints.map { "\($0)" } }, state: state,
      detail: problem?.message ?? "")
  }
}

extension APIService {
  fileprivate init(
    _ service: ServiceImport, in slice: SliceView, local: String, zones: [String],
    reachable: Set<String>?, peer: Peer
  ) {
    let exporters = service.exports.map { export in
      let members = peer.admitted.values.filter { $0.cluster == export.cluster }
      let isHeard = peer.hears(cluster: export.cluster, now: WallClock.now.instant)
      return APIExporter(
        cluster: export.cluster, isLocal: export.cluster == local,
        reachable: export.cluster == local || reachable?.contains(export.cluster) ?? isHeard,
        stale: !isHeard,
        roundTripMilliseconds: members.compactMap {
          peer.membership.rtt(to: $0.id)?.milliseconds
        }.min(),
        createdAt: APITime(milliseconds: export.createdMilliseconds),
        endpoints: export.endpoints.map {
          APIServiceEndpoint(
            address: "\($0.address)", hostname: $0.hostname.isEmpty ? nil : $0.hostname,
            node: $0.node.isEmpty ? nil : $0.node, ready: $0.ready)
        })
    }
    let base = "\(service.service.name).\(service.service.namespace)"
    self.init(
      slice: slice.name, namespace: service.service.namespace, name: service.service.name,
      type: service.type.rawValue,
      ports: service.ports.map {
        APIServicePort(
          name: $0.name, port: Int($0.port), transport: $0.transport.rawValue,
          appProtocol: $0.appProtocol.isEmpty ? nil : $0.appProtocol)
      },
      names: zones.map { "\(base).svc.\($0)" } + ["\(base).svc.clusterset.local"],
      answers: exporters.filter(\.reachable)
        .flatMap { $0.endpoints.filter(\.ready).map(\.address) }.sorted(),
      exporters: exporters,
      conditions: [
        APICondition(
          type: "Conflict", status: service.conflicts.isEmpty ? "False" : "True",
          reason: ExportConflict.conditionReason(service.conflicts), message: "")
      ])
  }
}

extension APITunnel {
  init(_ tunnel: TunnelStatus, gateway: String, listen: String) {
    func milliseconds(_ duration: Duration?) -> UInt64? {
      duration.map { UInt64(max(0, $0.milliseconds)) }
    }
    func time(_ seconds: Int64?) -> APITime? {
      seconds.map { APITime(milliseconds: UInt64(max(0, $0)) * 1000) }
    }
    let state: State =
      switch tunnel.state {
      case .waiting: .waiting
      case .connecting: .connecting
      case .established: .established
      case .unreachable: .unreachable
      }
    self.init(
      slice: tunnel.slice, cluster: tunnel.cluster, replica: tunnel.replica, state: state,
      gateway: gateway, listen: listen, endpoint: tunnel.endpoint.map { "\($0)" },
      relay: tunnel.relay, observed: tunnel.observed.map { "\($0)" },
      isTranslated: tunnel.isTranslated, pathSize: tunnel.pathSize, cipher: tunnel.cipher,
      epoch: tunnel.epoch, keyAgeMilliseconds: milliseconds(tunnel.keyAge),
      sessionAgeMilliseconds: milliseconds(tunnel.sessionAge),
      roundTripMilliseconds: tunnel.roundTripTime?.milliseconds,
      jitterMilliseconds: tunnel.jitter?.milliseconds, loss: tunnel.loss,
      sentPackets: tunnel.sentPackets, sentBytes: tunnel.sentBytes,
      receivedPackets: tunnel.receivedPackets, receivedBytes: tunnel.receivedBytes,
      drops: Dictionary(
        tunnel.drops.map { ($0.reason, $0.packets) }, uniquingKeysWith: { $0 + $1 }),
      relayedPackets: tunnel.relayedPackets,
      handshakes: tunnel.handshakes, failedHandshakes: tunnel.failedHandshakes,
      rekeys: tunnel.rekeys, localCertificateExpiresAt: time(tunnel.localCertificateExpiry),
      remoteCertificateExpiresAt: time(tunnel.remoteCertificateExpiry),
      lastError: tunnel.lastError)
  }
}
