internal import Base
internal import Kubernetes
internal import Logging

/// Carries an `ActionQueue`'s requests out.
actor ObjectWriter {
  private var queue = ActionQueue(seed: Sodium.randomSeed())
  private let transport: APITransport
  private let logger: Logger
  /// Whether this replica still holds the lease: looked at before every request.
  private let mayWrite: @Sendable () async -> Bool
  /// Asks for another comparison.
  private let compare: @Sendable () -> Void
  /// Told of what somebody had changed and was put back.
  private let reverted: @Sendable (ObjectID) -> Void
  private var timer: Task<Void, Never>?
  /// Requests by kind and outcome, for metrics.
  private(set) var counts: [String: UInt64] = [:]

  init(
    _ transport: APITransport, logger: Logger, mayWrite: @escaping @Sendable () async -> Bool,
    compare: @escaping @Sendable () -> Void,
    reverted: @escaping @Sendable (ObjectID) -> Void = { _ in }
  ) {
    self.mayWrite = mayWrite
    self.transport = transport
    self.logger = logger
    self.compare = compare
    self.reverted = reverted
  }

  func replace(_ actions: [ObjectDiffer.Action]) {
    run { $0.replace(actions, now: $1, effects: &$2) }
  }

  func clear() {
    queue.clear()
    timer?.cancel()
  }

  private func run(
    _ body: (inout ActionQueue, Instant, inout [ActionQueue.Effect]) -> Void
  ) {
    var effects: [ActionQueue.Effect] = []
    body(&queue, WallClock.now.instant, &effects)
    for effect in effects { perform(effect) }
    schedule()
  }

  private func perform(_ effect: ActionQueue.Effect) {
    switch effect {
    case .send(let call, let action):
      Task {
        do throws(TransportFailure) {
          guard await mayWrite() else { throw .unreachable("the lease is not renewed") }
          let response = try await transport.send(action.request)
          self.run { $0.answered(call, response, now: $1, effects: &$2) }
        } catch {
          self.run { $0.failed(call, error, now: $1, effects: &$2) }
        }
      }
    case .done(let action):
      count(action, "done")
      logger.debug(
        "object written", metadata: ["object": "\(action.id)", "how": "\(action.kind.rawValue)"])
      if action.kind == .revert { reverted(action.id) }
    case .refused(let action, let failure):
      count(action, "refused")
      let isExpected =
        failure.isConflict || failure.isNotFound || failure.isNamespaceTerminating
      let level: Logger.Level = isExpected ? .debug : .warning
      logger.log(
        level: level, "object refused",
        metadata: ["object": "\(action.id)", "why": "\(failure)"])
    case .failed(let action, let failure):
      count(action, "failed")
      logger.info(
        "object not written", metadata: ["object": "\(action.id)", "why": "\(failure)"])
    case .compare: compare()
    }
  }

  private func count(_ action: ObjectDiffer.Action, _ outcome: String) {
    counts["\(action.kind.rawValue) \(outcome)", default: 0] += 1
  }

  private func schedule() {
    timer?.cancel()
    let due = queue.nextDeadline
    guard due < .distantFuture else { return }
    timer = Task {
      try? await Task.sleep(for: max(.milliseconds(1), due - WallClock.now.instant))
      guard !Task.isCancelled else { return }
      self.run { $0.tick(now: $1, effects: &$2) }
    }
  }
}
