public import Base

/// Elects the acting replica among a cluster's peers by a `coordination.k8s.io/v1` Lease.
///
/// Expiry is judged on the local monotonic clock: a lease is expired when it has not *changed* for
/// its duration as seen from here; the times written in it are for people. So clocks need not agree.
///
/// Differences from the usual elector, all for the sake of acting alone:
/// - The holder acts on while the API server is away. Nobody can take the lease then; what the holder
///   does besides (publishing, names, tunnels) needs no server. `mayWrite` is the fence for requests:
///   it holds only while the last renewal is fresh, and nothing is written on an older one.
/// - When the server is back the holder learns from the refusal of its renewal that another has taken
///   over, and steps down before it writes anything.
/// - A follower takes over at once when membership has confirmed the holder's death, instead of
///   waiting for the lease to expire. Optimistic concurrency decides between several followers.
public struct LeaseElector: Sendable {
  public struct Configuration: Hashable, Sendable {
    public var lease: ObjectKey
    /// This replica, unique within the cluster; stable over a restart.
    public var identity: String
    public var duration: Duration = .seconds(15)
    /// Between renewals, and between a follower's looks.
    public var renewInterval: Duration = .seconds(5)
    public var callTimeout: Duration = .seconds(5)

    public init(lease: ObjectKey, identity: String) {
      self.lease = lease
      self.identity = identity
    }
  }

  public enum Role: Hashable, Sendable {
    case follower
    /// Acts. `mayWrite` says whether also on the API server.
    case holder
  }

  public typealias Call = UInt64

  public enum Input: Sendable {
    case start
    case answered(Call, APIResponse)
    case failed(Call, TransportFailure)
    /// Membership has confirmed that this replica is dead.
    case died(String)
    /// It was heard again.
    case lives(String)
    /// Gives the lease back, so that another need not wait.
    case release
    case tick
  }

  public enum Effect: Hashable, Sendable {
    case send(Call, APIRequest)
    case became(Role)
    /// Who holds it now, as the server says; empty: nobody.
    case observed(holder: String)
    case refused(APIFailure)
    case failed(TransportFailure)
    /// The lease is given back, or cannot be.
    case released
  }

  public let configuration: Configuration
  public private(set) var role = Role.follower
  /// What the server was last heard to say; empty: nobody.
  public private(set) var holder = ""
  public private(set) var nextDeadline = Instant.distantFuture

  private var rng: SeededGenerator
  private var backoff = Backoff(first: .milliseconds(500), most: .seconds(5))
  private var lease: KubernetesObject?
  /// When what is in `lease` was first seen here.
  private var changedAt = Instant.zero
  private var renewedAt: Instant?
  private var dead: Set<String> = []
  private var call: Call = 0
  private var pending: Pending?
  private var isReleasing = false

  private enum Pending: Hashable, Sendable { case read, write(asked: Instant), release }

  public init(_ configuration: Configuration, seed: UInt64) {
    self.configuration = configuration
    rng = SeededGenerator(seed: seed)
  }

  /// Whether requests that change something may be sent now: others may take over no earlier than
  /// the lease's duration after the renewal *was asked for*, and a third of it is kept as margin.
  public func mayWrite(now: Instant) -> Bool {
    guard role == .holder, !isReleasing, let renewedAt else { return false }
    return now - renewedAt < configuration.duration * 2 / 3
  }

  public mutating func handle(_ input: Input, now: Now, effects: inout [Effect]) {
    switch input {
    case .start: read(now, &effects)
    case .answered(let call, let response):
      guard call == self.call, let pending else { return }
      self.pending = nil
      answered(response, to: pending, now: now, effects: &effects)
    case .failed(let call, let failure):
      guard call == self.call, let pending else { return }
      self.pending = nil
      if pending == .release { return released(&effects) }
      effects.append(.failed(failure))
      retry(nil, now)
    case .died(let identity):
      guard identity != configuration.identity else { return }
      dead.insert(identity)
      if role == .follower, holder == identity, !isReleasing { read(now, &effects) }
    case .lives(let identity): dead.remove(identity)
    case .release: release(now, &effects)
    case .tick:
      guard now.instant >= nextDeadline else { return }
      tick(now, &effects)
    }
  }

  private mutating func tick(_ now: Now, _ effects: inout [Effect]) {
    if let pending {
      self.pending = nil
      if pending == .release { return released(&effects) }
      effects.append(.failed(.timedOut))
    }
    if role == .holder, let lease, holder == configuration.identity {
      write(over: lease, now, &effects)
    } else {
      read(now, &effects)
    }
  }

  // MARK: Requests

  private var id: ObjectID { ObjectID(.leases, configuration.lease) }

  private mutating func send(
    _ request: APIRequest, _ pending: Pending, _ now: Now, _ effects: inout [Effect]
  ) {
    call += 1
    self.pending = pending
    nextDeadline = now.instant + configuration.callTimeout
    effects.append(.send(call, request))
  }

  private mutating func read(_ now: Now, _ effects: inout [Effect]) {
    send(.get(id), .read, now, &effects)
  }

  private mutating func write(over old: KubernetesObject?, _ now: Now, _ effects: inout [Effect]) {
    let time = JSON.string(CivilDate.rfc3339(now.wallMilliseconds, fractionDigits: 6))
    var object = old ?? KubernetesObject(.leases, configuration.lease)
    var spec = object.spec
    if spec["holderIdentity"]?.string != configuration.identity || spec["acquireTime"] == nil {
      spec["acquireTime"] = time
      let transitions = spec["leaseTransitions"]?.integer ?? 0
      spec["leaseTransitions"] = .integer(old == nil ? 0 : min(transitions, .max - 1) + 1)
    }
    spec["holderIdentity"] = .string(configuration.identity)
    spec["leaseDurationSeconds"] = .integer(max(1, configuration.duration.components.seconds))
    spec["renewTime"] = time
    object.json["spec"] = spec
    send(
      old == nil ? .create(object, .leases) : .replace(object, .leases),
      .write(asked: now.instant), now, &effects)
  }

  private mutating func release(_ now: Now, _ effects: inout [Effect]) {
    isReleasing = true
    let wasHolder = role == .holder
    become(.follower, &effects)
    guard wasHolder, var object = lease, holder == configuration.identity else {
      return released(&effects)
    }
    object.json["spec"]?["holderIdentity"] = ""
    object.json["spec"]?["leaseDurationSeconds"] = 1
    send(.replace(object, .leases), .release, now, &effects)
  }

  private mutating func released(_ effects: inout [Effect]) {
    pending = nil
    nextDeadline = .distantFuture
    effects.append(.released)
  }

  private mutating func retry(_ failure: APIFailure?, _ now: Now) {
    let delay = backoff.fail(retryAfterSeconds: failure?.retryAfterSeconds, using: &rng)
    nextDeadline = now.instant + delay
  }

  // MARK: Answers

  private mutating func answered(
    _ response: APIResponse, to pending: Pending, now: Now, effects: inout [Effect]
  ) {
    if pending == .release { return released(&effects) }
    guard response.isSuccess else {
      return refused(response.failure, to: pending, now: now, effects: &effects)
    }
    guard let json = try? JSON(parsing: response.body), let object = KubernetesObject(json),
      object.key == configuration.lease
    else {
      effects.append(.refused(APIFailure(code: response.status, message: "no lease")))
      return retry(nil, now)
    }
    backoff.succeed()
    if case .write(let asked) = pending { renewedAt = asked }
    observe(object, now, &effects)
    if case .write = pending, holder == configuration.identity {
      become(.holder, &effects)
      return schedule(now)
    }
    decide(now, &effects)
  }

  private mutating func refused(
    _ failure: APIFailure, to pending: Pending, now: Now, effects: inout [Effect]
  ) {
    switch pending {
    case .read where failure.isNotFound:
      forget(&effects)
      write(over: nil, now, &effects)
    // Somebody else wrote, made or deleted it: look who.
    case .write where failure.code == 409 || failure.isNotFound: read(now, &effects)
    case .read, .write, .release:
      effects.append(.refused(failure))
      retry(failure, now)
    }
  }

  private mutating func forget(_ effects: inout [Effect]) {
    lease = nil
    if !holder.isEmpty {
      holder = ""
      effects.append(.observed(holder: ""))
    }
  }

  private mutating func observe(
    _ object: KubernetesObject, _ now: Now, _ effects: inout [Effect]
  ) {
    if object.spec != lease?.spec || lease == nil { changedAt = now.instant }
    lease = object
    let next = object.spec["holderIdentity"]?.string ?? ""
    guard next != holder else { return }
    holder = next
    effects.append(.observed(holder: next))
  }

  private mutating func decide(_ now: Now, _ effects: inout [Effect]) {
    guard !isReleasing, let lease else { return }
    if holder == configuration.identity || holder.isEmpty || dead.contains(holder)
      || isExpired(now.instant)
    {
      return write(over: lease, now, &effects)
    }
    become(.follower, &effects)
    schedule(now)
  }

  /// What the holder asked for counts, within reason: a value from outside must not lock everyone
  /// out for ever.
  private func isExpired(_ now: Instant) -> Bool {
    let asked = lease?.spec["leaseDurationSeconds"]?.integer ?? 0
    let duration = min(max(.seconds(asked), .seconds(1)), configuration.duration * 4)
    return now - changedAt >= duration
  }

  private mutating func become(_ role: Role, _ effects: inout [Effect]) {
    guard role != self.role else { return }
    self.role = role
    if role == .follower { renewedAt = nil }
    effects.append(.became(role))
  }

  private mutating func schedule(_ now: Now) {
    let jitter = Int64.random(
      in: 0...configuration.renewInterval.nanoseconds / 10, using: &rng)
    nextDeadline = now.instant + (configuration.renewInterval - .nanoseconds(jitter))
  }
}
