public import Base
public import Replication

/// The effective value of a register, with what orders it among others.
public struct Register: Hashable, Sendable {
  public var value: Value
  public var time: HybridTime
  /// The changeset that wrote it: breaks ties of time.
  public var changeset: Digest

  public init(value: Value, time: HybridTime = .zero, changeset: Digest = .zero) {
    self.value = value
    self.time = time
    self.changeset = changeset
  }

  /// Whether this one was written first, by (HLC, hash).
  public func isOlder(than other: Register) -> Bool {
    time == other.time ? changeset < other.changeset : time < other.time
  }
}

/// The converged registers as a planner or a view reads them. The peer's state and the answer of its
/// API both fit.
public protocol RegisterSource {
  /// The register's effective value, `nil` where there is none.
  func register(_ path: String, in scope: Scope) -> Register?
  /// The paths that exist and begin with `prefix`, ascending by their UTF-8 bytes.
  func paths(withPrefix prefix: String, in scope: Scope) -> [String]
}

extension RegisterSource {
  public func value(_ path: String, in scope: Scope = .clusterset) -> Value? {
    register(path, in: scope)?.value
  }
}

/// Registers in memory: what the CLI fills from an answer, and tests from literals.
public struct RegisterTable: RegisterSource, Hashable, Sendable {
  private var scopes: [Scope: [String: Register]] = [:]

  public init() {}

  public subscript(path: String, scope: Scope = .clusterset) -> Register? {
    get { scopes[scope]?[path] }
    set { scopes[scope, default: [:]][path] = newValue }
  }

  public func register(_ path: String, in scope: Scope) -> Register? {
    scopes[scope]?[path]
  }

  public func paths(withPrefix prefix: String, in scope: Scope) -> [String] {
    (scopes[scope] ?? [:]).keys.filter { $0.utf8.starts(with: prefix.utf8) }.sorted()
  }

  public mutating func apply(_ writes: [RegisterWrite], time: HybridTime = .zero) {
    for write in writes {
      self[write.path, write.scope] = write.value.map { Register(value: $0, time: time) }
    }
  }
}

/// One register to set or, with a `nil` value, to delete.
public struct RegisterWrite: Hashable, Sendable {
  public var scope: Scope
  public var path: String
  public var value: Value?

  public init(scope: Scope = .clusterset, path: String, value: Value?) {
    self.scope = scope
    self.path = path
    self.value = value
  }
}
