internal import Base
internal import Hummingbird
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOPosix
public import ServiceLifecycle

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

/// One address that the daemon answers HTTP on, from bind to graceful stop.
public struct HTTPListener: Service {
  enum Place: Sendable {
    case unix(path: String)
    case plain(IPEndpoint)
    case tls(IPEndpoint, RenewingTLSContext)
  }

  /// The option that names the address.
  let option: String
  let place: Place
  let maximumConnections: Int
  let router: @Sendable () -> Router<APIContext>
  let group: any EventLoopGroup
  let logger: Logger
  let onListening: @Sendable (SocketAddress?) -> Void

  public func run() async throws {
    if case .unix(let path) = place { try await Self.clear(path, option: option, group) }
    // Hummingbird's own lines name neither the option nor what is served, and its errors come up here.
    var quiet = logger
    quiet.logLevel = .critical
    let application = Application(
      responder: router().buildResponder(), server: builder,
      configuration: ApplicationConfiguration(
        address: bindAddress,
        availableConnectionsDelegate: .maximum(maximumConnections, logger: quiet)),
      onServerRunning: { channel in started(channel) }, eventLoopGroupProvider: .shared(group),
      logger: quiet)
    do {
      try await application.run()
    } catch {
      throw ListenError.from(error, option: option, address: address)
    }
    if case .unix(let path) = place { unlink(path) }
  }

  private var address: String {
    switch place {
    case .unix(let path): path
    case .plain(let endpoint), .tls(let endpoint, _): endpoint.description
    }
  }

  private var bindAddress: BindAddress {
    switch place {
    case .unix(let path): .unixDomainSocket(path: path)
    case .plain(let endpoint), .tls(let endpoint, _):
      .hostname(endpoint.address.description, port: Int(endpoint.port))
    }
  }

  private var builder: HTTPServerBuilder {
    let configuration = HTTP1Channel.Configuration(
      idleTimeout: .nanoseconds(APILimits.idle.nanoseconds),
      httpDecoderConfiguration: .init(
        maxHeaderFieldSize: APILimits.headerBytes, maxHeaderListSize: APILimits.headerBytes,
        maxHeaderFieldCount: APILimits.headerFields))
    guard case .tls(_, let tls) = place else { return .http1(configuration: configuration) }
    return HTTPServerBuilder { responder in
      RenewingTLSChannel(
        base: HTTP1Channel(responder: responder, configuration: configuration), tls: tls)
    }
  }

  private func started(_ channel: any Channel) {
    if case .unix(let path) = place {
      // Until here the umask decided. Connecting needs the right to write, which no usual umask
      // leaves to others, so there was no moment at which they could.
      chmod(path, 0o660)
    }
    let bound = channel.localAddress
    logger.info(
      "listening",
      metadata: [
        "option": "\(option)",
        "address": "\(bound?.port.map { "\(bound?.ipAddress ?? ""):\($0)" } ?? address)",
      ])
    onListening(bound)
  }

  /// Removes the socket of a daemon that was killed; refuses to take one that still answers.
  private static func clear(
    _ path: String, option: String, _ group: any EventLoopGroup
  ) async throws(ListenError) {
    // open(2) cannot open a socket and says ENXIO; what it can open is somebody's file.
    let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    let reason = errno
    if descriptor >= 0 { close(descriptor) }
    if descriptor < 0 && reason == ENOENT { return }
    guard descriptor < 0, reason == ENXIO else {
      throw ListenError(option: option, address: path, errno: descriptor < 0 ? reason : EEXIST)
    }
    guard await !answers(path, group) else {
      throw ListenError(option: option, address: path, errno: EADDRINUSE)
    }
    unlink(path)
  }

  private static func answers(_ path: String, _ group: any EventLoopGroup) async -> Bool {
    let bootstrap = ClientBootstrap(group: group)
    guard let channel = try? await bootstrap.connect(unixDomainSocketPath: path).get() else {
      return false
    }
    try? await channel.close()
    return true
  }
}
