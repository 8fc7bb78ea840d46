internal import Base
internal import Kubernetes
internal import Logging

/// Runs a `LeaseElector` against the API server.
actor LeaseRunner {
  private var elector: LeaseElector
  private let transport: APITransport
  private let logger: Logger
  /// Called after the role has changed, and when the holder may write again.
  private let changed: @Sendable (LeaseElector.Role) -> Void
  private var timer: Task<Void, Never>?
  private var couldWrite = false
  private var released: CheckedContinuation<Void, Never>?

  init(
    _ configuration: LeaseElector.Configuration, _ transport: APITransport, logger: Logger,
    changed: @escaping @Sendable (LeaseElector.Role) -> Void
  ) {
    elector = LeaseElector(configuration, seed: Sodium.randomSeed())
    self.transport = transport
    self.logger = logger
    self.changed = changed
  }

  var isHolder: Bool { elector.role == .holder }
  var mayWrite: Bool { elector.mayWrite(now: WallClock.now.instant) }
  var holder: String { elector.holder }

  func start() { handle(.start) }
  func died(_ identity: String) { handle(.died(identity)) }
  func lives(_ identity: String) { handle(.lives(identity)) }

  /// Gives the lease back, within a bounded time.
  func stop() async {
    await withCheckedContinuation { continuation in
      released = continuation
      handle(.release)
    }
    timer?.cancel()
  }

  private func handle(_ input: LeaseElector.Input) {
    var effects: [LeaseElector.Effect] = []
    elector.handle(input, now: WallClock.now, effects: &effects)
    for effect in effects { perform(effect) }
    // A server that was away is back: what was planned meanwhile is to be written.
    if mayWrite, !couldWrite { changed(.holder) }
    couldWrite = mayWrite
    schedule()
  }

  private func perform(_ effect: LeaseElector.Effect) {
    switch effect {
    case .send(let call, let request):
      let timeout = elector.configuration.callTimeout
      Task {
        do throws(TransportFailure) {
          let response = try await transport.send(request, timeout: timeout)
          self.handle(.answered(call, response))
        } catch {
          self.handle(.failed(call, error))
        }
      }
    case .became(let role):
      logger.notice(
        role == .holder ? "acts for this cluster" : "follows", metadata: ["holder": "\(holder)"])
      changed(role)
    case .observed(let holder): logger.info("lease", metadata: ["holder": "\(holder)"])
    case .refused(let failure):
      logger.warning("lease refused", metadata: ["why": "\(failure)"])
    case .failed(let failure):
      logger.warning("lease not renewed", metadata: ["why": "\(failure)"])
    case .released:
      released?.resume()
      released = nil
    }
  }

  private func schedule() {
    timer?.cancel()
    let due = elector.nextDeadline
    guard due < .distantFuture else { return }
    timer = Task {
      try? await Task.sleep(for: max(.milliseconds(1), due - WallClock.now.instant))
      guard !Task.isCancelled else { return }
      self.handle(.tick)
    }
  }
}
