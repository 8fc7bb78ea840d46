internal import Base
internal import Kubernetes
internal import Replication
internal import Synchronization

extension KubernetesPlatform {
  /// How often time alone may change what is known: feeds that fell silent, leaves that are due.
  static let clockInterval: Duration = .seconds(5)
  /// How often it is looked again whether a suspect member is heard.
  static let doubtInterval: Duration = .milliseconds(500)

  func makeGateways() -> GatewayOperator {
    let (options, gateway) = (configuration.kubernetes, configuration.gateway)
    let listen = gateway.listen ?? IPEndpoint(IPAddress(v4: 0), port: 0)
    let identity = engine.identity
    let workloads = GatewayWorkloads(
      GatewayWorkloads.Configuration(
        namespace: namespace, image: options.gatewayImage, nodeImage: options.gatewayNodeImage,
        port: Int(listen.port)))
    let plans = GatewayPlans(
      GatewayPlans.Configuration(
        cluster: cluster, clusterSet: identity.genesis.id, listen: listen,
        linkKbps: gateway.linkKbps, relayKbps: gateway.relayKbps),
      authorities: [identity.authority],
      makeKey: { [store] in try? PeerIdentity.gatewayKey($0, in: store) })
    return GatewayOperator(
      GatewayOperator.Configuration(
        cluster: cluster, replicas: listen.port == 0 ? 0 : options.gatewayReplicas,
        advertised: gateway.advertise), workloads, plans)
  }

  /// Asks for a pass when there may be something to do although nothing has changed.
  func keepTime() {
    let task = Task { [weak self] in
      var next = WallClock.now.instant
      while !Task.isCancelled {
        try? await Task.sleep(for: Self.doubtInterval)
        guard let self, !Task.isCancelled else { return }
        let now = WallClock.now
        var isDue = self.state.withLock { $0.isUnsure }
        if now.instant >= next {
          next = now.instant + Self.clockInterval
          if await self.isDue(now) { isDue = true }
        }
        if isDue { self.wake() }
      }
    }
    state.withLock { $0.clock = task }
  }

  private func isDue(_ now: Now) async -> Bool {
    let (isDue, lacksAuthority) = state.withLock { state in
      (
        !state.tunnels.statuses.isEmpty
          || state.nextMilliseconds.map { $0 <= now.wallMilliseconds } ?? false,
        state.lacksAuthority
      )
    }
    if lacksAuthority { await learnAuthorities() }
    return await hosts.lookUp() || isDue
  }

  /// Of a cluster's peers only one has the published CA; the others find it where all keep who they are.
  private func learnAuthorities() async {
    guard let planner = state.withLock({ $0.planner }),
      let vault = IdentityVault(configuration, transport, namespace: namespace, logger: logger)
    else { return }
    await planner.learn(await vault.authorities(of: cluster))
    wake()
  }
}
