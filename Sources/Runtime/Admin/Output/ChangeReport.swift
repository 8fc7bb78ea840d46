internal import Base
internal import Replication
internal import Slices

/// The plan of a command as `-o json` shows it. Field names are stable.
public struct PlanReport: Codable, Hashable, Sendable {
  public struct Change: Codable, Hashable, Sendable {
    public struct Field: Codable, Hashable, Sendable {
      public var field: String
      public var old: String?
      public var new: String?
    }

    /// `created`, `changed` or `deleted`.
    public var kind: String
    public var path: String
    public var fields: [Field]
  }

  public var slices: [String]
  /// By slice: for `apply --if-unchanged --base`.
  public var bases: [String: String]
  public var created: Int
  public var changed: Int
  public var deleted: Int
  public var changes: [Change]
  public var notes: [String]

  public init(_ plan: ChangePlan) {
    slices = plan.slices.map(\.slice)
    bases = plan.bases.mapValues(\.hex)
    changes = plan.changes.map { change in
      Change(
        kind: change.kind.rawValue, path: change.path,
        fields: change.fields.map { Change.Field(field: $0.field, old: $0.old, new: $0.new) })
    }
    func count(_ kind: PlanChange.Kind) -> Int { plan.changes.count { $0.kind == kind } }
    (created, changed, deleted) = (count(.created), count(.changed), count(.deleted))
    notes = plan.notes
  }
}

/// What became of a change that was sent, as `-o json` shows it. Field names are stable.
public struct DeliveryReport: Codable, Hashable, Sendable {
  public var plan: PlanReport?
  /// Empty where there was nothing to change.
  public var results: [APIPushResult]
  /// With `--wait`: clusters that have it, of how many, after how long.
  public var confirmed: Int?
  public var total: Int?
  public var elapsedMilliseconds: Double?
  public var missing: [String]?

  public init(plan: ChangePlan? = nil, results: [APIPushResult] = []) {
    self.plan = plan.map { PlanReport($0) }
    self.results = results
  }
}
