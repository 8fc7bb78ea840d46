import ArgumentParser
import Foundation
import Logging
import Runtime

/// One peer of a ClusterSet: reads its configuration, starts the peer and its listeners, and stops
/// them in order when it is told to.
@main struct Starlingd: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "starlingd", abstract: "One cluster's peer of a Starling ClusterSet.",
    discussion: ExitReason.discussion, version: StarlingVersion.current)

  @Option(
    name: .shortAndLong,
    help: "Configuration file (default: \(ConfigurationLoader.standardFile), where it exists).")
  var config: String?

  @Flag(help: "Check the configuration, print the one in force with its sources, and exit.")
  var checkConfig = false

  @OptionGroup(title: "Configuration") var options: DaemonOptions

  mutating func run() async throws {
    let (configuration, warnings) = try loadConfiguration()
    if checkConfig {
      print(configuration.yaml, terminator: "")
      return
    }
    let logger = StandardErrorLog.logger(
      "starlingd", level: configuration.logLevel, format: configuration.logFormat)
    for warning in warnings { logger.warning("\(warning)") }
    do {
      try await Daemon(configuration: configuration, logger: logger).run()
    } catch {
      throw Self.failed(error)
    }
  }

  /// Everything that is wrong, each on a line of its own, before anything is started.
  private func loadConfiguration() throws -> (DaemonConfiguration, [String]) {
    do {
      let loader = try ConfigurationLoader.reading(
        config, flags: options.values, environment: ProcessInfo.processInfo.environment)
      let warnings = loader.suspiciousVariables.map {
        "the variable \($0.name) is not known; did you mean \($0.near)?"
      }
      return (try DaemonConfiguration(loader), warnings)
    } catch {
      Self.complain("\(error)")
      throw ExitReason.configuration.code
    }
  }

  /// One clear line, and the code that says whether a restart could help.
  private static func failed(_ error: any Error) -> ExitCode {
    switch error {
    case let error as ListenError:
      complain(error.description)
      return (error.isPermission ? ExitReason.permission : ExitReason.unavailable).code
    case let error as NetworkError:
      // Bound by the peer itself.
      complain("listen: \(error)")
      if case .notPermitted = error { return ExitReason.permission.code }
      return ExitReason.unavailable.code
    case let error as StorageError:
      complain(error.description)
      switch error {
      case .inUse, .diskFull: return ExitReason.unavailable.code
      default: return ExitReason.cannotCreate.code
      }
    case is KeyFileError, is ClusterCAError:
      complain("\(error)")
      return ExitReason.configuration.code
    case let problem as APIProblem:
      complain(problem.detail + (problem.fix.isEmpty ? "" : " \(problem.fix)"))
      return ExitReason.configuration.code
    case let error as DataDirectoryError:
      complain(error.description)
      return (error.isPermission ? ExitReason.permission : ExitReason.cannotCreate).code
    default:
      complain("\(error)")
      return ExitReason.software.code
    }
  }

  private static func complain(_ text: String) {
    for line in text.split(separator: "\n") {
      FileHandle.standardError.write(Data("starlingd: \(line)\n".utf8))
    }
  }
}
