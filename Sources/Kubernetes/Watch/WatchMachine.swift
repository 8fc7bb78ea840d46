public import Base

/// Keeps a store equal to one collection of an API server: a paged list, then a watch from the list's
/// version, for ever.
///
/// - Every path back to a list yields deletions: what the new list does not name is gone.
/// - "Gone" comes in two forms, as the status of a response and as an `ERROR` event within a watch;
///   both lead to a new list. A list's own token may expire too: then it is read without pages.
/// - A cut line is no event: the watch begins again after the last whole one, so nothing is lost and
///   at most told twice.
/// - Whatever fails backs off with jitter; a wait ends only by progress: an event, a bookmark, or a
///   watch that lasted. A server that accepts watches and closes them at once causes no storm.
///
/// Source: "Efficient detection of changes" in the Kubernetes API concepts.
public struct WatchMachine: Sendable {
  public let configuration: WatchConfiguration
  public private(set) var store: ObjectStore
  /// Whether a full list was ever taken in. Until then absence means nothing.
  public private(set) var isSynced = false
  /// Whether the server answers now.
  public private(set) var isConnected = false
  /// Whether the type is served, as far as it is known.
  public private(set) var isServed = true

  private var rng: SeededGenerator
  private var phase = Phase.stopped
  private var call: Call = 0
  private var backoff = Backoff()
  private var version = ""
  private var listed: Set<ObjectKey> = []
  private var lines = LineSplitter()
  /// Set once a list's token has expired: then pages are too slow for the server's memory.
  private var listsWhole = false

  private enum Phase: Hashable, Sendable {
    case stopped
    case waiting(until: Instant, then: Next)
    case listing(deadline: Instant)
    case opening(deadline: Instant)
    case watching(since: Instant, deadline: Instant)
  }

  private enum Next: Hashable, Sendable { case list, watch }

  /// A watch that lasted this long was worth opening.
  static let settledAfter: Duration = .seconds(5)

  public init(_ configuration: WatchConfiguration, seed: UInt64) {
    self.configuration = configuration
    store = ObjectStore(limits: configuration.limits)
    rng = SeededGenerator(seed: seed)
  }

  public var nextDeadline: Instant {
    switch phase {
    case .stopped: .distantFuture
    case .waiting(let until, _): until
    case .listing(let deadline), .opening(let deadline): deadline
    case .watching(_, let deadline): deadline
    }
  }

  public mutating func handle(_ input: Input, now: Instant, effects: inout [Effect]) {
    switch input {
    case .start:
      guard phase == .stopped else { return }
      list(now: now, effects: &effects)
    case .stop:
      cancel(&effects)
      phase = .stopped
      isConnected = false
    case .answered(let call, let response):
      guard call == self.call else { return }
      answered(response, now: now, effects: &effects)
    case .opened(let call):
      guard call == self.call, case .opening = phase else { return }
      isConnected = true
      phase = .watching(since: now, deadline: now + configuration.idleTimeout)
      effects.append(.event(.watching))
    case .received(let call, let bytes):
      guard call == self.call, case .watching(let since, _) = phase else { return }
      phase = .watching(since: since, deadline: now + configuration.idleTimeout)
      received(bytes, now: now, effects: &effects)
    case .ended(let call, let failure):
      guard call == self.call else { return }
      ended(failure, now: now, effects: &effects)
    case .tick:
      guard now >= nextDeadline else { return }
      expire(now: now, effects: &effects)
    }
  }

  // MARK: Requests

  private mutating func begin(
    _ request: APIRequest, isStream: Bool, _ effects: inout [Effect]
  ) {
    call += 1
    effects.append(.send(call, request, isStream: isStream))
  }

  private mutating func cancel(_ effects: inout [Effect]) {
    switch phase {
    case .stopped, .waiting: return
    case .listing, .opening, .watching:
      effects.append(.cancel(call))
      // Whatever still arrives for it is stale.
      call += 1
    }
  }

  private mutating func list(now: Instant, effects: inout [Effect]) {
    listed = []
    nextPage(token: "", now: now, effects: &effects)
  }

  private mutating func nextPage(token: String, now: Instant, effects: inout [Effect]) {
    phase = .listing(deadline: now + configuration.listTimeout)
    begin(
      .list(
        configuration.type, namespace: configuration.namespace,
        labelSelector: configuration.labelSelector, fieldSelector: configuration.fieldSelector,
        limit: listsWhole ? 0 : configuration.pageSize, continuing: token),
      isStream: false, &effects)
  }

  private mutating func watch(now: Instant, effects: inout [Effect]) {
    lines = LineSplitter()
    phase = .opening(deadline: now + configuration.openTimeout)
    begin(
      .watch(
        configuration.type, namespace: configuration.namespace,
        labelSelector: configuration.labelSelector, fieldSelector: configuration.fieldSelector,
        from: version,
        timeoutSeconds: Int.random(in: configuration.watchSeconds, using: &rng)),
      isStream: true, &effects)
  }

  private mutating func wait(
    then next: Next, retryAfter: Int? = nil, now: Instant
  ) {
    let delay = backoff.fail(retryAfterSeconds: retryAfter, using: &rng)
    phase = .waiting(until: now + delay, then: next)
  }

  private mutating func expire(now: Instant, effects: inout [Effect]) {
    switch phase {
    case .stopped: break
    case .waiting(_, .list): list(now: now, effects: &effects)
    case .waiting(_, .watch): watch(now: now, effects: &effects)
    case .listing, .opening:
      let next: Next = if case .listing = phase { .list } else { .watch }
      cancel(&effects)
      isConnected = false
      effects.append(.event(.failed(.timedOut)))
      wait(then: next, now: now)
    case .watching(let since, _):
      cancel(&effects)
      effects.append(.event(.silent))
      resume(since: since, now: now, effects: &effects)
    }
  }

  // MARK: Answers

  private mutating func answered(
    _ response: APIResponse, now: Instant, effects: inout [Effect]
  ) {
    switch phase {
    case .listing where response.isSuccess: take(page: response, now: now, effects: &effects)
    case .listing: refused(response.failure, asked: .list, now: now, effects: &effects)
    case .opening: refused(response.failure, asked: .watch, now: now, effects: &effects)
    case .stopped, .waiting, .watching: break
    }
  }

  private mutating func take(page response: APIResponse, now: Instant, effects: inout [Effect]) {
    isConnected = true
    let page: JSON
    do throws(JSONError) {
      page = try JSON(parsing: response.body, limits: .page)
    } catch {
      effects.append(.event(.malformed("\(error)")))
      return wait(then: .list, now: now)
    }
    guard let version = page.at("metadata", "resourceVersion")?.string, !version.isEmpty,
      let items = page["items"]?.array ?? (page["items"] == .null ? [] : nil)
    else {
      effects.append(.event(.malformed("no list")))
      return wait(then: .list, now: now)
    }
    let size = response.body.count / max(1, items.count)
    var changed: Set<ObjectKey> = []
    let type = configuration.type
    for case let object? in items.map({ KubernetesObject(item: $0, of: type) }) {
      listed.insert(object.key)
      if put(object, bytes: size, &effects) { changed.insert(object.key) }
    }
    let token = page.at("metadata", "continue")?.string ?? ""
    if token.isEmpty {
      let isComplete = listed.allSatisfy { store[$0] != nil }
      changed.formUnion(store.keepOnly(listed, isComplete: isComplete))
    }
    if !changed.isEmpty { effects.append(.changed(changed.sorted())) }
    guard token.isEmpty else { return nextPage(token: token, now: now, effects: &effects) }
    self.version = version
    finishList(now: now, effects: &effects)
  }

  private mutating func finishList(now: Instant, effects: inout [Effect]) {
    effects.append(.event(.listed(listed.count)))
    listed = []
    listsWhole = false
    isServed = true
    if !isSynced {
      isSynced = true
      effects.append(.synced)
    }
    watch(now: now, effects: &effects)
  }

  private mutating func put(
    _ object: KubernetesObject, bytes: Int, _ effects: inout [Effect]
  ) -> Bool {
    let wasTruncated = store.isTruncated
    let kept = configuration.keeps.isEmpty ? object : object.keeping(configuration.keeps)
    let size = configuration.keeps.isEmpty ? bytes : kept.json.bytes.count
    let isChanged = store.put(kept, bytes: size)
    if store.isTruncated, !wasTruncated { effects.append(.event(.truncated)) }
    return isChanged
  }

  private mutating func refused(
    _ failure: APIFailure, asked: Next, now: Instant, effects: inout [Effect]
  ) {
    isConnected = true
    if failure.isGone { return gone(asked: asked, now: now, effects: &effects) }
    let isMissing = failure.isNotFound && configuration.isOptional
    if isMissing || (failure.isForbidden && configuration.mayBeForbidden) {
      return notServed(now: now, effects: &effects)
    }
    effects.append(.event(.refused(failure)))
    // A collection that vanished has to be listed when it is back.
    wait(
      then: failure.isNotFound ? .list : asked, retryAfter: failure.retryAfterSeconds, now: now)
  }

  private mutating func gone(asked: Next, now: Instant, effects: inout [Effect]) {
    effects.append(.event(.gone))
    if asked == .list { listsWhole = true }
    wait(then: .list, now: now)
  }

  private mutating func notServed(now: Instant, effects: inout [Effect]) {
    let gone = store.keepOnly([], isComplete: true)
    if !gone.isEmpty { effects.append(.changed(gone)) }
    if isServed { effects.append(.event(.notServed)) }
    isServed = false
    if !isSynced {
      isSynced = true
      effects.append(.synced)
    }
    let jitter = Int64.random(
      in: 0...configuration.unservedRetry.nanoseconds / 4, using: &rng)
    phase = .waiting(
      until: now + configuration.unservedRetry + .nanoseconds(jitter), then: .list)
  }

  private mutating func ended(
    _ failure: TransportFailure?, now: Instant, effects: inout [Effect]
  ) {
    if let failure {
      effects.append(.event(.failed(failure)))
      isConnected = false
    }
    switch phase {
    case .stopped, .waiting: break
    case .listing: wait(then: .list, now: now)
    case .opening: wait(then: .watch, now: now)
    case .watching(let since, _):
      if failure == nil {
        resume(since: since, now: now, effects: &effects)
      } else {
        if now - since >= Self.settledAfter { backoff.succeed() }
        wait(then: .watch, now: now)
      }
    }
  }

  /// Opens the next watch: at once after one that lasted, else after a wait.
  private mutating func resume(since: Instant, now: Instant, effects: inout [Effect]) {
    if now - since >= Self.settledAfter {
      backoff.succeed()
      watch(now: now, effects: &effects)
    } else {
      wait(then: .watch, now: now)
    }
  }

  // MARK: Events

  private mutating func received(_ bytes: [UInt8], now: Instant, effects: inout [Effect]) {
    var changed: Set<ObjectKey> = []
    defer { if !changed.isEmpty { effects.append(.changed(changed.sorted())) } }
    do {
      for line in try lines.split(bytes) {
        let event = try JSON(parsing: line)
        guard take(event, bytes: line.count, &changed, now: now, effects: &effects) else { return }
      }
    } catch {
      // What the server meant is not known: read everything again.
      cancel(&effects)
      effects.append(.event(.malformed("\(error)")))
      wait(then: .list, now: now)
    }
  }

  /// - Returns: `false` when the watch is over.
  private mutating func take(
    _ event: JSON, bytes: Int, _ changed: inout Set<ObjectKey>, now: Instant,
    effects: inout [Effect]
  ) -> Bool {
    let kind = event["type"]?.string
    let payload = event["object"] ?? .null
    if kind == "ERROR" {
      cancel(&effects)
      failedEvent(payload, now: now, effects: &effects)
      return false
    }
    guard let version = payload.at("metadata", "resourceVersion")?.string, !version.isEmpty else {
      effects.append(.event(.malformed("an event without a version")))
      return true
    }
    switch kind {
    case "BOOKMARK": break
    case "ADDED", "MODIFIED":
      guard let object = KubernetesObject(payload) else { return true }
      if put(object, bytes: bytes, &effects) { changed.insert(object.key) }
    case "DELETED":
      guard let object = KubernetesObject(payload) else { return true }
      if store.remove(object.key) != nil { changed.insert(object.key) }
    default:
      effects.append(.event(.malformed("an event of an unknown type")))
      return true
    }
    self.version = version
    backoff.succeed()
    return true
  }

  private mutating func failedEvent(
    _ payload: JSON, now: Instant, effects: inout [Effect]
  ) {
    let failure = APIFailure(
      code: payload["code"]?.integer.map { Int(clamping: $0) } ?? 500, status: payload)
    if failure.isGone || failure.reason == "Expired" || failure.reason == "Gone" {
      gone(asked: .watch, now: now, effects: &effects)
    } else {
      effects.append(.event(.refused(failure)))
      wait(then: .watch, retryAfter: failure.retryAfterSeconds, now: now)
    }
  }
}
