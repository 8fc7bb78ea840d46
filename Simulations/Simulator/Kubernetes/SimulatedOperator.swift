internal import Base
internal import Kubernetes
internal import Slices

/// A cluster's API server and the operator's watch of it: the daemon's `WatchMachine` over simulated
/// connections.
final class SimulatedOperator {
  private(set) var server = SimulatedAPIServer()
  /// Requests of the present minute, and the most in any.
  private var requests = 0
  private var minute: Int64 = 0
  private(set) var mostRequests = 0

  private let index: Int
  private var watch: WatchMachine
  private var rng: SeededGenerator
  /// Raised by every start: what was on its way within an earlier process is dropped.
  private var life = 0
  private var wakeAt = Instant.distantFuture
  /// The watch that is open, and until when the server keeps it.
  private var open: WatchMachine.Call?
  private let changed: (Simulation) -> Void

  /// - Parameter changed: the store is another one now.
  init(_ index: Int, _ rng: SeededGenerator, changed: @escaping (Simulation) -> Void) {
    self.index = index
    self.changed = changed
    self.rng = rng
    watch = WatchMachine(Self.configuration, seed: 0)
  }

  private static var configuration: WatchConfiguration {
    var configuration = WatchConfiguration(SimulatedAPIServer.type)
    configuration.pageSize = 1
    configuration.watchSeconds = 20...40
    return configuration
  }

  /// `nil`: what the cluster exports is not known yet.
  func endpoints(_ key: ObjectKey) -> Int? {
    guard watch.isSynced else { return nil }
    return watch.store[key].flatMap { SimulatedAPIServer.endpoints($0) } ?? 0
  }

  // MARK: What happens

  func start(_ simulation: Simulation) {
    life += 1
    open = nil
    wakeAt = .distantFuture
    watch = WatchMachine(Self.configuration, seed: rng.next())
    handle(.start, simulation)
  }

  func set(_ key: ObjectKey, endpoints: Int, _ simulation: Simulation) {
    guard let line = server.set(key, endpoints: endpoints) else { return }
    tell([line], simulation)
  }

  /// Until it ends, or `nil`: everything works.
  func trouble(_ trouble: APIServerTrouble?, _ simulation: Simulation) {
    server.trouble = trouble
    guard let call = open, trouble != nil else { return }
    // Connections do not survive it.
    open = nil
    later(simulation) { $0.handle(.ended(call, .unreachable("reset")), $1) }
  }

  // MARK: The watch

  private func handle(_ input: WatchMachine.Input, _ simulation: Simulation) {
    var effects: [WatchMachine.Effect] = []
    watch.handle(input, now: simulation.now, effects: &effects)
    for effect in effects {
      switch effect {
      case .send(let call, let request, _): send(call, request, simulation)
      case .cancel(let call): if open == call { open = nil }
      case .changed, .synced: changed(simulation)
      case .event: break
      }
    }
    schedule(simulation)
  }

  private func schedule(_ simulation: Simulation) {
    let due = watch.nextDeadline
    guard due < wakeAt else { return }
    wakeAt = due
    let life = life
    simulation.schedule(at: due) { [weak self] simulation in
      guard let self, self.life == life, self.isRunning(simulation) else { return }
      wakeAt = .distantFuture
      handle(.tick, simulation)
    }
  }

  private func isRunning(_ simulation: Simulation) -> Bool { simulation.machines[index].isUp }

  private func send(_ call: WatchMachine.Call, _ request: APIRequest, _ simulation: Simulation) {
    count(simulation)
    later(simulation) { own, simulation in
      switch own.server.answer(request) {
      case .unreachable: own.handle(.ended(call, .unreachable("refused")), simulation)
      case .response(let response): own.handle(.answered(call, response), simulation)
      case .watch(let lines, _):
        own.open = call
        own.handle(.opened(call), simulation)
        own.tell(lines, simulation)
        let life = own.life
        let until = simulation.now + .seconds(20 + own.rng.below(20))
        simulation.schedule(at: until) { [weak own] simulation in
          guard let own, own.life == life, own.open == call else { return }
          own.tell([own.server.bookmark], simulation)
          own.open = nil
          own.later(simulation) { $0.handle(.ended(call, nil), $1) }
        }
      }
    }
  }

  /// Lines of the open watch, in pieces of any size; one may be cut off with the connection.
  private func tell(_ lines: [[UInt8]], _ simulation: Simulation) {
    guard let call = open, isRunning(simulation) else { return }
    for line in lines {
      let place = rng.below(line.count)
      later(simulation) { $0.handle(.received(call, Array(line[..<place])), $1) }
      if server.trouble == .cutting, rng.happens(0.5) {
        open = nil
        return later(simulation) { $0.handle(.ended(call, .unreachable("cut")), $1) }
      }
      later(simulation) { $0.handle(.received(call, Array(line[place...])), $1) }
    }
  }

  /// What is sent one after the other arrives so: the delay is always the same.
  private func later(
    _ simulation: Simulation, _ body: @escaping (SimulatedOperator, Simulation) -> Void
  ) {
    let life = life
    simulation.schedule(at: simulation.now + .milliseconds(2)) { [weak self] simulation in
      guard let self, self.life == life, self.isRunning(simulation) else { return }
      body(self, simulation)
    }
  }

  private func count(_ simulation: Simulation) {
    let now = simulation.now.nanoseconds / 60_000_000_000
    if now != minute { (minute, requests) = (now, 0) }
    requests += 1
    mostRequests = max(mostRequests, requests)
  }
}
