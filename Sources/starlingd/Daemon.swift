import Foundation
import Logging
import NIOCore
import NIOPosix
import Runtime
import ServiceLifecycle
import UnixSignals

/// The process's parts, put together.
struct Daemon {
  let configuration: DaemonConfiguration
  let logger: Logger

  /// Event loops, shared by all sockets.
  static let eventLoops = 2
  /// Threads for calls that block (name resolution).
  static let blockingThreads = 2
  /// When code that only starting needed is given back, first and then again and again.
  static let codeRelease = (first: TimeAmount.seconds(5), every: TimeAmount.seconds(15))
  /// What a graceful stop may take before it is cut short.
  static let stopSeconds: Int64 = 10

  func run() async throws {
    NIOSingletons.groupLoopCountSuggestion = Self.eventLoops
    NIOSingletons.blockingPoolThreadCountSuggestion = Self.blockingThreads
    // A far side that closes is an error of one write, never a signal.
    signal(SIGPIPE, SIG_IGN)
    warnAboutClock()
    try DataDirectory.prepare(configuration.dataDir)
    try await IdentityVault.restore(configuration, logger: logger)

    let group = MultiThreadedEventLoopGroup.singleton
    let registry = MetricsRegistry()
    ProcessMetrics.register(in: registry)
    let host = try PeerHost(
      configuration: configuration, group: group, registry: registry, logger: logger)
    let listeners = APIListeners(
      service: host, registry: registry, group: group, logger: logger
    ).all(configuration, issueLeaf: { try host.apiLeaf() })

    var services = ServiceGroupConfiguration(
      services: ([host] as [any Service] + listeners).map { .init(service: $0) },
      gracefulShutdownSignals: [.sigterm, .sigint], logger: quietLogger)
    services.maximumGracefulShutdownDuration = .seconds(Self.stopSeconds)
    logger.notice(
      "starting",
      metadata: [
        "version": "\(StarlingVersion.current)", "dataDir": "\(configuration.dataDir)",
        "pid": "\(ProcessInfo.processInfo.processIdentifier)",
      ])
    group.next().scheduleRepeatedTask(
      initialDelay: Self.codeRelease.first, delay: Self.codeRelease.every
    ) { _ in CodePages.release() }
    try await ServiceGroup(configuration: services).run()
    logger.notice("stopped")
  }

  /// The group's own lines about signals and services are for who works on it.
  private var quietLogger: Logger {
    var quiet = logger
    quiet.logLevel = max(logger.logLevel, .warning)
    return quiet
  }

  /// Differences from other peers are found once there are some; a clock that was never set shows at
  /// once.
  private func warnAboutClock() {
    let now = APITime.now
    guard let earliest = APITime("2025-01-01T00:00:00Z"),
      let latest = APITime("2100-01-01T00:00:00Z"),
      now < earliest || now > latest
    else { return }
    logger.warning(
      "the clock is far off: changes made here will not be taken by others; set it right",
      metadata: ["now": "\(now)"])
  }
}
