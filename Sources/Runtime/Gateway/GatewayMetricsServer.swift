public import Base
internal import Hummingbird
public import Logging
internal import NIOCore
internal import NIOPosix

/// `/metrics` and `/healthz` of a gateway process.
public enum GatewayMetricsServer {
  /// Serves until the task is cancelled. A problem is one line, and no reason to stop the tunnels.
  public static func run(
    _ endpoint: IPEndpoint, logger: Logger,
    status: @escaping @Sendable () -> GatewayStatus
  ) async throws {
    let registry = MetricsRegistry()
    ProcessMetrics.register(in: registry)
    registry.collect { TunnelMetrics.set(status(), in: $0) }
    let listener = HTTPListener(
      option: "--metrics", place: .plain(endpoint), maximumConnections: 64,
      router: {
        let router = Router(context: APIContext.self)
        router.add(
          middleware: ProblemMiddleware(registry: registry, listener: "metrics", logger: logger))
        router.get("healthz") { _, _ in Response.text("ok\n") }
        router.get("metrics") { _, _ in
          Response.text(
            String(decoding: PrometheusText.exposition(of: registry), as: UTF8.self),
            mediaType: PrometheusText.mediaType)
        }
        return router
      },
      group: MultiThreadedEventLoopGroup.singleton, logger: logger, onListening: { _ in })
    try await listener.run()
  }
}
