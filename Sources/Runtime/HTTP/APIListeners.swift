public import Base
internal import Hummingbird
public import Logging
public import NIOCore

/// The daemon's HTTP side: which routes stand behind which listener.
public struct APIListeners: Sendable {
  let service: any PeerService
  let registry: MetricsRegistry
  let group: any EventLoopGroup
  let logger: Logger

  public init(
    service: any PeerService, registry: MetricsRegistry, group: any EventLoopGroup, logger: Logger
  ) {
    self.service = service
    self.registry = registry
    self.group = group
    self.logger = logger
  }

  /// All listeners that the configuration asks for.
  ///
  /// - Parameter issueLeaf: a fresh leaf of the cluster's CA for the API over TCP; asked for at the
  ///   first connection and then as leaves grow old.
  public func all(
    _ configuration: DaemonConfiguration,
    issueLeaf: @escaping @Sendable () throws -> LeafIdentity
  ) -> [HTTPListener] {
    var listeners = [
      unix(configuration.api.unixSocket, maximumConnections: configuration.api.maximumConnections)
    ]
    if let endpoint = configuration.api.listen {
      listeners.append(
        network(
          endpoint, maximumConnections: configuration.api.maximumConnections,
          pushesPerMinute: configuration.api.pushesPerMinute, issueLeaf: issueLeaf))
    }
    if let endpoint = configuration.metricsListen { listeners.append(metrics(endpoint)) }
    return listeners
  }

  /// Everything, for who may open the socket.
  public func unix(
    _ path: String, maximumConnections: Int = 256,
    onListening: @escaping @Sendable (SocketAddress?) -> Void = { _ in }
  ) -> HTTPListener {
    listener("api.unixSocket", .unix(path: path), maximumConnections, onListening) {
      let router = router("unix")
      HealthRoutes(service: service, registry: registry).add(to: router)
      APIRoutes(service: service).add(to: router)
      return router
    }
  }

  /// TLS 1.3; signed by a reader, except changesets.
  public func network(
    _ endpoint: IPEndpoint, maximumConnections: Int = 256, pushesPerMinute: Int = 600,
    issueLeaf: @escaping @Sendable () throws -> LeafIdentity,
    onListening: @escaping @Sendable (SocketAddress?) -> Void = { _ in }
  ) -> HTTPListener {
    let place = HTTPListener.Place.tls(endpoint, RenewingTLSContext(issue: issueLeaf))
    return listener("api.listen", place, maximumConnections, onListening) {
      let router = router("network")
      router.add(
        middleware: NetworkAccessMiddleware(
          service: service, verifier: SignatureVerifier(),
          pushes: RateLimiter(perMinute: pushesPerMinute), registry: registry))
      APIRoutes(service: service).add(to: router)
      return router
    }
  }

  /// Health and metrics only, in the clear.
  public func metrics(
    _ endpoint: IPEndpoint, maximumConnections: Int = 64,
    onListening: @escaping @Sendable (SocketAddress?) -> Void = { _ in }
  ) -> HTTPListener {
    listener("metrics.listen", .plain(endpoint), maximumConnections, onListening) {
      let router = router("metrics")
      HealthRoutes(service: service, registry: registry).add(to: router)
      return router
    }
  }

  private func listener(
    _ option: String, _ place: HTTPListener.Place, _ maximumConnections: Int,
    _ onListening: @escaping @Sendable (SocketAddress?) -> Void,
    _ router: @escaping @Sendable () -> Router<APIContext>
  ) -> HTTPListener {
    HTTPListener(
      option: option, place: place, maximumConnections: maximumConnections, router: router,
      group: group, logger: logger, onListening: onListening)
  }

  private func router(_ name: String) -> Router<APIContext> {
    let router = Router(context: APIContext.self)
    router.add(middleware: ProblemMiddleware(registry: registry, listener: name, logger: logger))
    return router
  }
}
