import ArgumentParser
import Foundation
import Logging
import NIOPosix
import Runtime
import ServiceLifecycle
import UnixSignals

@main struct Starlingd: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "starlingd", abstract: "The peer of one cluster.",
    discussion: ExitReason.discussion, version: StarlingVersion.current)

  @Option(help: "Configuration file (YAML).") var config: String?
  @Flag(help: "Check the configuration, print it, and stop.") var checkConfig = false
  @OptionGroup var options: DaemonOptions

  mutating func run() async throws {
    let configuration = try load()
    if checkConfig { return print(configuration.yaml, terminator: "") }
    let logger = StandardErrorLog.logger(
      "starlingd", level: configuration.logLevel, format: configuration.logFormat)
    let registry = MetricsRegistry()
    ProcessMetrics.register(in: registry)
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    do {
      let host = try PeerHost(
        configuration: configuration, group: group, registry: registry, logger: logger)
      let listeners = APIListeners(
        service: host, registry: registry, group: group, logger: logger
      ).all(configuration) { try host.apiLeaf() }
      let services = ServiceGroup(
        configuration: .init(
          services: [host] + listeners, gracefulShutdownSignals: [.sigterm, .sigint],
          logger: logger))
      try await services.run()
    } catch {
      FileHandle.standardError.write(Data("starlingd: \(error)\n".utf8))
      throw ExitReason.unavailable.code
    }
  }

  private func load() throws -> DaemonConfiguration {
    do {
      return try DaemonConfiguration(
        ConfigurationLoader.reading(
          config, flags: options.values, environment: ProcessInfo.processInfo.environment))
    } catch {
      FileHandle.standardError.write(Data("starlingd: \(error)\n".utf8))
      throw ExitReason.configuration.code
    }
  }
}
