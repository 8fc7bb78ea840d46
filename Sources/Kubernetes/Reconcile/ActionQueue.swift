public import Base

/// Sends what a comparison found, a few requests at a time, and keeps a failing object from being sent
/// in a loop.
///
/// It holds no plan of its own: every comparison replaces what is waiting. What succeeded is not sent
/// again while the watch has not brought it back; what failed waits with its own backoff, what the
/// server refuses for its content waits long, until the content changes, and what somebody else keeps
/// changing back is reverted ever more seldom. What replaces something is there before that goes:
/// kube-proxy, which looks once a second, would find nothing at all in between.
public struct ActionQueue: Sendable {
  public typealias Call = UInt64

  public enum Effect: Hashable, Sendable {
    case send(Call, ObjectDiffer.Action)
    case done(ObjectDiffer.Action)
    case refused(ObjectDiffer.Action, APIFailure)
    case failed(ObjectDiffer.Action, TransportFailure)
    /// What is known has been overtaken: compare again.
    case compare
  }

  /// Requests under way at once.
  public static let concurrency = 8
  /// How long a watch may take to bring back what was written. Where it never shows what was wanted (a
  /// server that drops fields it does not know), twice as long each time, up to 2^6 as long.
  static let echo: Duration = .seconds(3)
  static let echoDoublings = 6
  static let refusedPause: Duration = .seconds(60)

  private struct Key: Hashable {
    var id: ObjectID
    var isStatus: Bool

    init(_ action: ObjectDiffer.Action) {
      id = action.id
      isStatus = action.kind == .status
    }
  }

  private struct Memory {
    var backoff = Backoff(first: .milliseconds(100), most: .seconds(30))
    var notBefore = Instant.zero
    /// What was sent last, and whether it was taken.
    var sent: ObjectDiffer.Action?
    var isTaken = false
    var isFinal = false
    /// The last time that it was answered.
    var hasFailed = false
    /// How often the very same was sent again, of the very same version.
    var repeats = 0

    /// Until when it waits. What was taken keeps back only the very same again.
    func wait(_ action: ObjectDiffer.Action) -> Instant {
      let isEcho =
        sent?.request == action.request && sent?.resourceVersion == action.resourceVersion
      return isTaken && !isEcho ? .zero : notBefore
    }
  }

  /// How often an object was reverted of late.
  private struct Dispute {
    var backoff = Backoff(first: .milliseconds(200), most: .seconds(60))
    var notBefore = Instant.zero
    var last = Instant.zero
  }

  /// A dispute is over after so long.
  static let disputeMemory: Duration = .seconds(300)

  private var waiting: [ObjectDiffer.Action] = []
  private var running: [Call: ObjectDiffer.Action] = [:]
  private var busy: Set<Key> = []
  private var memories: [Key: Memory] = [:]
  private var disputes: [Key: Dispute] = [:]
  private var notBefore = Instant.zero
  private var global = Backoff(first: .milliseconds(500), most: .seconds(30))
  private var call: Call = 0
  private var rng: SeededGenerator

  public init(seed: UInt64) {
    rng = SeededGenerator(seed: seed)
  }

  public var isIdle: Bool { waiting.isEmpty && running.isEmpty }
  public var count: Int { waiting.count + running.count }

  /// When something that waits may be sent; `distantFuture` where nothing waits for time.
  public var nextDeadline: Instant {
    guard running.count < Self.concurrency else { return .distantFuture }
    let written = ownersWritten
    let times = waiting.lazy.filter { !busy.contains(Key($0)) && !isHeld($0, written) }
      .map { wait($0) }
    return times.min().map { max($0, notBefore) } ?? .distantFuture
  }

  private func wait(_ action: ObjectDiffer.Action) -> Instant {
    let key = Key(action)
    let own = memories[key]?.wait(action) ?? .zero
    return action.kind == .revert ? max(own, disputes[key]?.notBefore ?? .zero) : own
  }

  /// Owners of objects that are being written, or will be as soon as what is under way has ended.
  private var ownersWritten: Set<String> {
    let next = waiting.lazy.filter { busy.contains(Key($0)) }
    return Set((Array(running.values) + next).filter { isAwaited($0) }.map(\.owner))
  }

  /// Whether deletions of the same owner wait for it. Not for what failed: what it was to replace may be
  /// what nobody should use any more.
  private func isAwaited(_ action: ObjectDiffer.Action) -> Bool {
    action.kind != .delete && !action.owner.isEmpty && memories[Key(action)]?.hasFailed != true
  }

  private func isHeld(_ action: ObjectDiffer.Action, _ written: Set<String>) -> Bool {
    action.kind == .delete && written.contains(action.owner)
  }

  /// Replaces everything that was not sent yet.
  public mutating func replace(
    _ actions: [ObjectDiffer.Action], now: Instant, effects: inout [Effect]
  ) {
    waiting = actions
    let keys = Set(actions.map { Key($0) })
    // What is as wanted needs no memory.
    memories = memories.filter { keys.contains($0.key) || busy.contains($0.key) }
    disputes = disputes.filter { now - $0.value.last < Self.disputeMemory }
    for action in actions {
      let key = Key(action)
      guard let memory = memories[key], memory.isFinal, memory.sent?.request != action.request
      else { continue }
      memories[key] = nil
    }
    pump(now: now, effects: &effects)
  }

  public mutating func tick(now: Instant, effects: inout [Effect]) {
    pump(now: now, effects: &effects)
  }

  /// Sends nothing more: another acts now.
  public mutating func clear() {
    waiting = []
  }

  private mutating func pump(now: Instant, effects: inout [Effect]) {
    guard now >= notBefore else { return }
    var left: [ObjectDiffer.Action] = []
    var written = ownersWritten
    for action in waiting {
      let key = Key(action)
      let isDue = now >= wait(action)
      if isDue, isAwaited(action) { written.insert(action.owner) }
      guard running.count < Self.concurrency, !busy.contains(key), isDue, !isHeld(action, written)
      else {
        left.append(action)
        continue
      }
      call += 1
      running[call] = action
      busy.insert(key)
      var memory = memories[key] ?? Memory()
      let isSame =
        memory.sent?.request == action.request
        && memory.sent?.resourceVersion == action.resourceVersion
      memory.repeats = isSame ? memory.repeats + 1 : 0
      memory.sent = action
      memory.isTaken = false
      memories[key] = memory
      effects.append(.send(call, action))
    }
    waiting = left
  }

  public mutating func answered(
    _ call: Call, _ response: APIResponse, now: Instant, effects: inout [Effect]
  ) {
    guard let action = end(call) else { return }
    let key = Key(action)
    if response.isSuccess || (action.kind == .delete && response.status == 404) {
      global.succeed()
      taken(action, key, now)
      effects.append(.done(action))
    } else {
      refused(action, key, response.failure, now: now, effects: &effects)
    }
    pump(now: now, effects: &effects)
  }

  private mutating func taken(_ action: ObjectDiffer.Action, _ key: Key, _ now: Instant) {
    var memory = Memory()
    memory.sent = action
    memory.isTaken = true
    memory.repeats = memories[key]?.repeats ?? 0
    memory.notBefore = now + Self.echo * (1 << min(memory.repeats, Self.echoDoublings))
    memories[key] = memory
    if action.kind == .revert {
      var dispute = disputes[key] ?? Dispute()
      dispute.last = now
      dispute.notBefore = now + dispute.backoff.fail(using: &rng)
      disputes[key] = dispute
    }
  }

  private mutating func refused(
    _ action: ObjectDiffer.Action, _ key: Key, _ failure: APIFailure, now: Instant,
    effects: inout [Effect]
  ) {
    if failure.isThrottled || failure.code >= 500 {
      notBefore =
        now + global.fail(retryAfterSeconds: failure.retryAfterSeconds, using: &rng)
    }
    var memory = memories[key] ?? Memory()
    memory.isFinal = failure.isFinal
    memory.hasFailed = true
    memory.notBefore =
      now + (failure.isFinal ? Self.refusedPause : memory.backoff.fail(using: &rng))
    memories[key] = memory
    effects.append(.refused(action, failure))
    effects.append(.compare)
  }

  public mutating func failed(
    _ call: Call, _ failure: TransportFailure, now: Instant, effects: inout [Effect]
  ) {
    guard let action = end(call) else { return }
    memories[Key(action)]?.hasFailed = true
    notBefore = now + global.fail(using: &rng)
    effects.append(.failed(action, failure))
    effects.append(.compare)
  }

  private mutating func end(_ call: Call) -> ObjectDiffer.Action? {
    guard let action = running.removeValue(forKey: call) else { return nil }
    busy.remove(Key(action))
    return action
  }
}
