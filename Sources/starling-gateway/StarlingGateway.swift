import ArgumentParser
import Base
import Foundation
import Logging
import Runtime

/// The gateway tunnel as a process of its own: the same gateway that runs inside `starlingd`, with
/// its plan from a file.
@main struct StarlingGateway: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "starling-gateway",
    abstract: "The tunnels of one cluster's gateway, from a plan in a file.",
    discussion: """
      The plan is one JSON file with private keys in it, so nobody but its owner may read it; \
      starlingd writes it (gateway.planFile). A new one takes effect at once, and how the tunnels \
      are is written beside it every second (PLAN.status).

      Signals: HUP reads the plan again (a new certificate is a rotation, what is missing ends at \
      once), USR1 goes to the next epoch on every session, USR2 prints the status as one line of \
      JSON, TERM and INT say goodbye and stop.
      """)

  @Option(name: .shortAndLong, help: "The plan.")
  var plan: String

  @Option(help: "Where /metrics and /healthz are answered, such as 127.0.0.1:7490.")
  var metrics: String?

  @Flag(help: "Wait for a plan that is not there yet instead of giving up.")
  var wait = false

  func run() throws {
    // Before any thread is there: all of them leave signals to this one.
    let signals = AwaitedSignals([SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGALRM])
    signal(SIGPIPE, SIG_IGN)
    signals.tick(every: PlanKeeper.interval)
    do {
      if wait, !waitForPlan(signals) { return }
      let mark = PlanReader.mark(plan)
      let file = try PlanReader.read(plan)
      let gateway = try Gateway(
        GatewayConfiguration(
          cluster: file.cluster, replica: file.replica, listen: file.listen,
          staticKey: file.staticKey, onEvent: { Self.say(GatewayReport.line($0)) }))
      let keeper = PlanKeeper(path: plan, mark: mark, file: file, gateway: gateway)
      keeper.apply(file)
      Self.say(GatewayReport.listening(gateway.status()))
      if let metrics { try serveMetrics(metrics, gateway) }
      serve(gateway, keeper, signals)
      gateway.stop()
      keeper.removeStatus()
    } catch {
      Self.complain("\(error)")
      // EX_CONFIG of sysexits(3): a restart does not mend it.
      throw ExitCode(78)
    }
  }

  /// False where it is told to stop before.
  private func waitForPlan(_ signals: AwaitedSignals) -> Bool {
    while !FileManager.default.fileExists(atPath: plan) {
      if [SIGTERM, SIGINT].contains(signals.next()) { return false }
    }
    return true
  }

  private func serveMetrics(_ text: String, _ gateway: Gateway) throws {
    guard let endpoint = IPEndpoint(text) else {
      throw GatewayError.refused("--metrics \(text): not an address such as 127.0.0.1:7490")
    }
    var logger = Logger(label: "starling-gateway")
    logger.logLevel = .critical
    let quiet = logger
    Task.detached {
      do {
        try await GatewayMetricsServer.run(endpoint, logger: quiet, status: { gateway.status() })
      } catch {
        // The tunnels go on.
        Self.complain("\(error)")
      }
    }
  }

  private func serve(_ gateway: Gateway, _ keeper: PlanKeeper, _ signals: AwaitedSignals) {
    while true {
      switch signals.next() {
      case SIGALRM: keeper.look()
      case SIGHUP: keeper.reload()
      case SIGUSR1: gateway.rekey()
      case SIGUSR2: Self.say(GatewayReport.line(gateway.status(), keeper.failures))
      default: return
      }
    }
  }

  /// One line of JSON.
  static func say(_ line: String) {
    FileHandle.standardOutput.write(Data("\(line)\n".utf8))
  }

  static func complain(_ line: String) {
    FileHandle.standardError.write(Data("starling-gateway: \(line)\n".utf8))
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

  /// Sends SIGALRM again and again, so that waiting for a signal is all that there is to wait for.
  func tick(every interval: TimeInterval) {
    Thread.detachNewThread {
      while true {
        Thread.sleep(forTimeInterval: interval)
        kill(getpid(), SIGALRM)
      }
    }
  }

  func next() -> Int32 {
    var set = set
    var number: Int32 = 0
    while sigwait(&set, &number) != 0 {}
    return number
  }
}
