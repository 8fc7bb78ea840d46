import ArgumentParser
import Base
import Foundation
import Runtime

/// The gateway tunnel as a process of its own: the same gateway that runs inside `starlingd`, with
/// its plan from a file.
@main struct StarlingGateway: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "starling-gateway",
    abstract: "The tunnels of one cluster's gateway, from a plan in a file.",
    discussion: """
      The plan is one JSON file with private keys in it, so nobody but its owner may read it.

      Signals: HUP reads the plan again (a new certificate is a rotation, what is missing ends at \
      once), USR1 goes to the next epoch on every session, USR2 prints the status as one line of \
      JSON, TERM and INT say goodbye and stop.
      """)

  @Option(name: .shortAndLong, help: "The plan.")
  var plan: String

  func run() throws {
    // Before any thread is there: all of them leave signals to this one.
    let signals = AwaitedSignals([SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGINT])
    signal(SIGPIPE, SIG_IGN)
    do {
      let file = try PlanReader.read(plan)
      let gateway = try Gateway(
        GatewayConfiguration(
          cluster: file.cluster, replica: file.replica, listen: file.listen,
          staticKey: file.staticKey, onEvent: { Self.say(GatewayReport.line($0)) }))
      gateway.apply(file.plan)
      Self.say(GatewayReport.listening(gateway.status()))
      serve(gateway, signals)
      gateway.stop()
    } catch {
      FileHandle.standardError.write(Data("starling-gateway: \(error)\n".utf8))
      // EX_CONFIG of sysexits(3): a restart does not mend it.
      throw ExitCode(78)
    }
  }

  private func serve(_ gateway: Gateway, _ signals: AwaitedSignals) {
    while true {
      switch signals.next() {
      case SIGHUP:
        do {
          gateway.apply(try PlanReader.read(plan).plan)
        } catch {
          // What is in force stays in force.
          FileHandle.standardError.write(Data("starling-gateway: \(error)\n".utf8))
        }
      case SIGUSR1: gateway.rekey()
      case SIGUSR2: Self.say(GatewayReport.line(gateway.status()))
      default: return
      }
    }
  }

  /// One line of JSON.
  private static func say(_ line: String) {
    FileHandle.standardOutput.write(Data("\(line)\n".utf8))
  }
}

/// Signals that are waited for instead of interrupting.
struct AwaitedSignals {
  private var set = sigset_t()

  init(_ numbers: [Int32]) {
    sigemptyset(&set)
    for number in numbers { sigaddset(&set, number) }
    pthread_sigmask(SIG_BLOCK, &set, nil)
  }

  func next() -> Int32 {
    var set = set
    var number: Int32 = 0
    while sigwait(&set, &number) != 0 {}
    return number
  }
}
