public import Base

/// A register's full name.
public struct RegisterName: Hashable, Comparable, Sendable {
  public var scope: Scope
  public var path: String

  public init(scope: Scope, path: String) {
    self.scope = scope
    self.path = path
  }

  public static func < (a: RegisterName, b: RegisterName) -> Bool {
    (a.scope, a.path) < (b.scope, b.path)
  }
}

/// How a scope's compared set changed: what is in `removed` is out of it in the end.
public struct ComparedChange: Hashable, Sendable {
  public var scope: Scope
  public var inserted: [Digest] = []
  public var removed: [Digest] = []
}

public struct GrantChange: Hashable, Sendable {
  /// The grant's or root version's ID.
  public var id: Digest
  public var live: Bool
}

/// What needs a person's eye. Stands until what it names is settled.
public enum StateAlarm: Hashable, Sendable {
  /// One token, several enrolments: none counts until its grantor seals one.
  case rivalEnrolments(token: Digest, enrolments: [Digest])
  /// Two successors of one root version: the smaller ID wins, the other is void.
  case rivalRoots(version: Digest, winner: Digest, loser: Digest)
  /// An author sent more than its grant allows. Peers may hold different parts of the surplus
  /// until the grant is revoked or its quota raised.
  case overQuota(grant: Digest, author: PublicKey, Exceeded)
}

extension StateAlarm: CustomStringConvertible {
  public var description: String {
    switch self {
    case .rivalEnrolments(let token, let enrolments):
      "the join token \(token.short) was used by \(enrolments.count) keys; compare fingerprints "
        + "and seal the right one, or revoke the token"
    case .rivalRoots(let version, let winner, let loser):
      "the root version \(version.short) has two successors: \(winner.short) is in force, "
        + "\(loser.short) is void; somebody may have stolen root keys"
    case .overQuota(let grant, let author, .registers(let limit)):
      "\(author.short) wants more than the \(limit) registers of its grant \(grant.short)"
    case .overQuota(let grant, let author, .bytes(let limit)):
      "\(author.short) wants more than the \(limit) bytes of its grant \(grant.short)"
    }
  }
}

/// What calls changed, appended in the order in which it happened; callers own and clear it.
public struct StateChanges: Sendable {
  /// Held now: make them durable before anything is acknowledged.
  public internal(set) var toStore: [Changeset] = []
  /// Held no longer: nothing of them is left, or they did not count and their grace is over, or the
  /// local cluster left their slice.
  public internal(set) var toForget: [Digest] = []
  /// Apply in order: an ID may leave and come back.
  public internal(set) var compared: [ComparedChange] = []
  /// Grants and root versions that became live or void.
  public internal(set) var grants: [GrantChange] = []
  /// Earlier pending or held changesets, and what became of them.
  public internal(set) var settled: [(id: Digest, outcome: IngestOutcome)] = []
  public internal(set) var alarms: [StateAlarm] = []
  /// Who may be a peer or read a scope may be different: grants, admissions or memberships.
  public internal(set) var touchesTrust = false
  var touchedRegisters: [RegisterName] = []

  public init() {}

  /// Whose values or conflicts changed, ascending, each once.
  public var registers: [RegisterName] {
    var out: [RegisterName] = []
    out.reserveCapacity(touchedRegisters.count)
    for name in touchedRegisters.sorted() where out.last != name { out.append(name) }
    return out
  }

  public var isEmpty: Bool {
    toStore.isEmpty && toForget.isEmpty && compared.isEmpty && touchedRegisters.isEmpty
      && grants.isEmpty && settled.isEmpty && alarms.isEmpty && !touchesTrust
  }

  mutating func comparedInserted(_ id: Digest, _ scope: Scope) {
    let last = compared.count - 1
    if last >= 0, compared[last].removed.isEmpty, compared[last].scope == scope {
      compared[last].inserted.append(id)
    } else {
      compared.append(ComparedChange(scope: scope, inserted: [id]))
    }
  }

  mutating func comparedRemoved(_ id: Digest, _ scope: Scope) {
    let last = compared.count - 1
    if last >= 0, compared[last].scope == scope {
      compared[last].removed.append(id)
    } else {
      compared.append(ComparedChange(scope: scope, removed: [id]))
    }
  }
}
