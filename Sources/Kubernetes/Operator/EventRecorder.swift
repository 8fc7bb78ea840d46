public import Base
internal import Slices

/// Tells people in the cluster what happened, as Events (`events.k8s.io/v1`), once each and within a
/// budget.
///
/// What is said is a set of statements that hold now; a statement is told when it begins to hold. An
/// Event's name follows from what it says, so that replicas and restarts do not tell it twice.
public struct EventRecorder: Sendable {
  public struct Statement: Hashable, Sendable {
    public var about: ObjectID
    public var uid: String
    public var isWarning: Bool
    /// CamelCase, stable: programs read it.
    public var reason: String
    /// For people.
    public var note: String

    public init(
      _ object: KubernetesObject, _ type: ResourceType, isWarning: Bool = false, reason: String,
      note: String
    ) {
      about = ObjectID(type, object.key)
      uid = object.uid
      self.isWarning = isWarning
      self.reason = String(reason.prefix(128))
      self.note = String(note.prefix(1024))
    }
  }

  /// Groups that are remembered.
  public static let limit = 10_000
  /// In a burst, and then one each `refill`.
  public static let budget = 60
  public static let refill: Duration = .seconds(2)

  private var holding: [String: Set<Statement>] = [:]
  private var tokens = budget
  private var refilledAt: Instant?
  /// Statements that were not told for lack of budget.
  public private(set) var suppressed: UInt64 = 0

  public init() {}

  /// - Parameter group: whose statements these are, all of them.
  /// - Returns: requests for what began to hold, in an order of their own; not to be repeated.
  public mutating func record(
    _ statements: Set<Statement>, of group: String, instance: String, now: Now
  ) -> [APIRequest] {
    replenish(now.instant)
    let new = statements.subtracting(holding[group] ?? []).sorted {
      ($0.about, $0.reason, $0.note) < ($1.about, $1.reason, $1.note)
    }
    if holding.count >= Self.limit { holding = [:] }
    holding[group] = statements.isEmpty ? nil : statements
    return new.compactMap { tell($0, instance, now) }
  }

  /// Something that happened once.
  public mutating func record(
    once statement: Statement, instance: String, now: Now
  ) -> APIRequest? {
    replenish(now.instant)
    return tell(statement, instance, now)
  }

  private mutating func replenish(_ now: Instant) {
    let last = refilledAt ?? now
    let earned = Int((now - last).milliseconds / Self.refill.milliseconds)
    if refilledAt == nil || earned > 0 { refilledAt = now }
    tokens = min(Self.budget, tokens + earned)
  }

  private mutating func tell(
    _ statement: Statement, _ instance: String, _ now: Now
  ) -> APIRequest? {
    guard tokens > 0 else {
      suppressed += 1
      return nil
    }
    tokens -= 1
    let id = statement.about
    // Events about objects of the whole cluster live in `default`, as the API asks.
    let namespace = id.key.namespace.isEmpty ? "default" : id.key.namespace
    // Anew after ten minutes, so that what holds again is told again.
    let age = now.wallMilliseconds / 600_000
    let digest = String(
      StableHash.of("\(statement.uid) \(id) \(statement.reason) \(statement.note) \(age)"),
      radix: 16)
    let name = "\(id.key.name.prefix(200)).\(digest)"
    let time = CivilDate.rfc3339(now.wallMilliseconds)
    let object = KubernetesObject(
      .events, ObjectKey(namespace: namespace, name: name),
      [
        "eventTime": .string(String(time.dropLast()) + ".000000Z"),
        "reportingController": "starling.dev/peer",
        "reportingInstance": .string(String(instance.prefix(128))),
        "action": "Reconcile", "reason": .string(statement.reason),
        "note": .string(statement.note), "type": statement.isWarning ? "Warning" : "Normal",
        "regarding": .object([
          "apiVersion": .string(id.type.apiVersion), "kind": .string(id.type.kind),
          "name": .string(id.key.name),
          "namespace": id.key.namespace.isEmpty ? nil : .string(id.key.namespace),
          "uid": statement.uid.isEmpty ? nil : .string(statement.uid),
        ]),
      ])
    return .create(object, .events)
  }
}
