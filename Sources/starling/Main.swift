import ArgumentParser
import Runtime

@main enum Main {
  static func main() async {
    do {
      var command = try Starling.parseAsRoot()
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch {
      leave(error)
    }
  }

  /// Everything that is wrong with the command line itself ends with status 2, what failed with its own.
  private static func leave(_ error: any Error) -> Never {
    let code = Starling.exitCode(for: error)
    if code == .validationFailure {
      Terminal.write(Starling.fullMessage(for: error) + "\n", to: .error)
      Starling.exit(withError: ExitCode(ExitStatus.usage.rawValue))
    }
    if error is ExitCode || error is CleanExit || code == .success {
      Starling.exit(withError: error)
    }
    let failure = AdminError.from(error)
    let style = TextStyle(for: .error, environment: Surroundings.environment)
    Terminal.write(style(.bad, "error: ") + failure.message + "\n", to: .error)
    if !failure.fix.isEmpty { Terminal.write(failure.fix + "\n", to: .error) }
    Starling.exit(withError: ExitCode(failure.status.rawValue))
  }
}
