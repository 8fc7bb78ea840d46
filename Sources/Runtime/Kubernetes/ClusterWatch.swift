internal import Base
internal import Kubernetes
internal import Logging
internal import NIOCore

/// Runs one watch for each type and keeps what they say in one place.
actor ClusterWatch {
  private let transport: APITransport
  private let logger: Logger
  /// Called with what changed, after the objects have it.
  private let changed: @Sendable (ResourceType, [ObjectKey]) -> Void
  private var watches: [ResourceType: Watch] = [:]
  private var isStopped = false

  private struct Watch {
    var machine: WatchMachine
    var task: Task<Void, Never>?
    var timer: Task<Void, Never>?
    var timerAt: Instant = .distantFuture
    var events = EventCounts()
    /// Said once: an API server that is away for hours fills no log.
    var isFailing = false
  }

  /// For metrics.
  struct EventCounts: Sendable {
    var lists: UInt64 = 0
    var watches: UInt64 = 0
    var failures: UInt64 = 0
    var gone: UInt64 = 0
  }

  init(
    _ transport: APITransport, logger: Logger,
    changed: @escaping @Sendable (ResourceType, [ObjectKey]) -> Void
  ) {
    self.transport = transport
    self.logger = logger
    self.changed = changed
  }

  func start(_ configurations: [WatchConfiguration]) {
    for configuration in configurations where watches[configuration.type] == nil {
      watches[configuration.type] = Watch(
        machine: WatchMachine(configuration, seed: Sodium.randomSeed()))
      handle(configuration.type, .start)
    }
  }

  func stop() {
    isStopped = true
    for type in watches.keys.sorted() {
      handle(type, .stop)
      watches[type]?.task?.cancel()
      watches[type]?.timer?.cancel()
    }
  }

  /// What is known now; `nil` until every type was listed once.
  var objects: ClusterObjects? {
    var out = ClusterObjects()
    for (type, watch) in watches {
      guard watch.machine.isSynced else { return nil }
      out[type] = watch.machine.store
      out.setServed(type, watch.machine.isServed)
    }
    return out
  }

  /// Types that were not listed yet, ascending.
  var unsynced: [ResourceType] {
    watches.filter { !$0.value.machine.isSynced }.keys.sorted()
  }

  /// Whether the server answers any of the watches.
  var isConnected: Bool { watches.values.contains { $0.machine.isConnected } }

  var counts: [ResourceType: EventCounts] { watches.mapValues(\.events) }

  // MARK: One watch

  private func handle(_ type: ResourceType, _ input: WatchMachine.Input) {
    guard watches[type] != nil else { return }
    var effects: [WatchMachine.Effect] = []
    watches[type]?.machine.handle(input, now: WallClock.now.instant, effects: &effects)
    for effect in effects { perform(effect, type) }
    schedule(type)
  }

  private func perform(_ effect: WatchMachine.Effect, _ type: ResourceType) {
    switch effect {
    case .send(let call, let request, let isStream):
      guard !isStopped else { return }
      let timeout = watches[type]?.machine.configuration.openTimeout ?? .seconds(30)
      watches[type]?.task = Task {
        await self.run(call, request, isStream: isStream, timeout, type)
      }
    case .cancel: watches[type]?.task?.cancel()
    case .changed(let keys): changed(type, keys)
    case .synced: changed(type, [])
    case .event(let event): note(event, type)
    }
  }

  private func run(
    _ call: WatchMachine.Call, _ request: APIRequest, isStream: Bool, _ timeout: Duration,
    _ type: ResourceType
  ) async {
    do throws(TransportFailure) {
      if isStream {
        let refusal = try await transport.stream(
          request, headTimeout: timeout,
          opened: { await self.handle(type, .opened(call)) },
          received: { await self.handle(type, .received(call, $0)) })
        handle(type, refusal.map { .answered(call, $0) } ?? .ended(call, nil))
      } else {
        let response = try await transport.send(request, timeout: .seconds(60))
        handle(type, .answered(call, response))
      }
    } catch {
      handle(type, .ended(call, error))
    }
  }

  private func schedule(_ type: ResourceType) {
    guard let watch = watches[type], !isStopped else { return }
    let due = watch.machine.nextDeadline
    // A deadline that moves away, as a watch's does with every byte, is looked at when it was due.
    guard watch.timer == nil || due < watch.timerAt else { return }
    watch.timer?.cancel()
    guard due < .distantFuture else { return }
    watches[type]?.timerAt = due
    watches[type]?.timer = Task {
      let wait = max(.milliseconds(1), due - WallClock.now.instant)
      try? await Task.sleep(for: wait)
      guard !Task.isCancelled else { return }
      self.fire(type)
    }
  }

  private func fire(_ type: ResourceType) {
    watches[type]?.timer = nil
    watches[type]?.timerAt = .distantFuture
    handle(type, .tick)
  }

  private func fail(_ message: Logger.Message, why: String, _ type: ResourceType) {
    watches[type]?.events.failures += 1
    logger.log(
      level: watches[type]?.isFailing == true ? .debug : .warning, message,
      metadata: ["type": "\(type)", "why": "\(why)"])
    watches[type]?.isFailing = true
  }

  private func note(_ event: WatchEvent, _ type: ResourceType) {
    let what: Logger.Metadata = ["type": "\(type)"]
    switch event {
    case .listed(let count):
      watches[type]?.events.lists += 1
      logger.debug("listed", metadata: what.merging(["objects": "\(count)"]) { $1 })
    case .watching:
      watches[type]?.events.watches += 1
      if watches[type]?.isFailing == true { logger.notice("watched again", metadata: what) }
      watches[type]?.isFailing = false
    case .gone:
      watches[type]?.events.gone += 1
      logger.info("the server's memory is too short, listing again", metadata: what)
    case .refused(let failure): fail("watch refused", why: "\(failure)", type)
    case .failed(let failure): fail("watch failed", why: "\(failure)", type)
    case .silent: logger.info("a silent watch is opened anew", metadata: what)
    case .malformed(let why):
      watches[type]?.events.failures += 1
      logger.error(
        "no sense in what the server sent", metadata: what.merging(["why": "\(why)"]) { $1 })
    case .notServed: logger.notice("the server does not serve this type", metadata: what)
    case .truncated:
      logger.error("too many objects: nothing is deleted for being absent", metadata: what)
    }
  }
}
