public import Base
public import Replication

/// One register of `GET /v1/registers`, ascending by scope, then path. With deleted ones, so that
/// who creates one again can cover the deletion.
public struct APIRegister: Codable, Hashable, Sendable {
  public var path: String
  public var scope: Scope
  /// What no other counting write covers: the effective one first, then siblings, which are a
  /// conflict. Descending by (HLC, author, changeset). Never empty.
  public var values: [APIRegisterValue]
  /// All dots seen: the context of a write that covers `values`. The writer's next counter is one
  /// more than this has for its key.
  public var context: VersionVector

  /// `nil` where the register is deleted.
  public var effective: Value? { values.first?.value }
  public var isConflict: Bool { values.count > 1 }

  public init(path: String, scope: Scope, values: [APIRegisterValue], context: VersionVector) {
    self.path = path
    self.scope = scope
    self.values = values
    self.context = context
  }
}

public struct APIRegisterValue: Codable, Hashable, Sendable {
  /// Absent: deleted.
  public var value: Value?
  public var author: PublicKey
  public var counter: UInt64
  public var context: VersionVector
  public var hlc: HybridTime
  public var at: APITime
  public var changeset: Digest
  /// The grant it acts under.
  public var under: Digest

  public init(
    value: Value?, author: PublicKey, counter: UInt64, context: VersionVector, hlc: HybridTime,
    changeset: Digest, under: Digest
  ) {
    self.value = value
    self.author = author
    self.counter = counter
    self.context = context
    self.hlc = hlc
    at = APITime(hlc)
    self.changeset = changeset
    self.under = under
  }
}

/// `GET /v1/registers`.
public struct APIRegisters: Codable, Hashable, Sendable {
  public var clusterSet: Digest
  /// The peer's clock: a new changeset's HLC is greater than this and than all it covers.
  public var hlc: HybridTime
  public var registers: [APIRegister]

  public init(clusterSet: Digest, hlc: HybridTime, registers: [APIRegister]) {
    self.clusterSet = clusterSet
    self.hlc = hlc
    self.registers = registers
  }
}

/// One finding of `GET /v1/conflicts`.
public struct APIConflict: Codable, Hashable, Sendable {
  public enum Kind: String, Codable, Sendable {
    /// Two edits of one register, neither of which saw the other.
    case register
    /// Two clusters, or two slices, claim the same addresses.
    case address
    /// Two enrolments under one token.
    case token
    /// Two successors of one root version.
    case root
    /// Two exports of one service disagree.
    case export
  }

  public var kind: Kind
  /// The register's path, the token's grant, ...
  public var subject: String
  public var scope: Scope
  public var detail: String
  public var fix: String
  /// Effective first; of registers only.
  public var values: [APIRegisterValue]

  public init(
    kind: Kind, subject: String, scope: Scope, detail: String, fix: String,
    values: [APIRegisterValue] = []
  ) {
    self.kind = kind
    self.subject = subject
    self.scope = scope
    self.detail = detail
    self.fix = fix
    self.values = values
  }
}
