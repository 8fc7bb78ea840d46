public import Base

/// What a plan does to one register, in the words of the manifest.
public struct PlanChange: Hashable, Sendable {
  public enum Kind: String, Hashable, Sendable {
    case created, changed, deleted
  }

  public var kind: Kind
  /// The register.
  public var path: String
  /// Ascending by field.
  public var fields: [FieldChange]

  public struct FieldChange: Hashable, Sendable {
    /// `gateway.replicas`.
    public var field: String
    /// `nil`: it was absent, so it had its default.
    public var old: String?
    /// `nil`: it becomes absent, so it gets its default.
    public var new: String?

    public init(field: String, old: String?, new: String?) {
      self.field = field
      self.old = old
      self.new = new
    }
  }

  /// `nil` where nothing changes.
  public init?(path: String, old: Value?, new: Value?) {
    guard old != new else { return nil }
    kind = old == nil ? .created : new == nil ? .deleted : .changed
    self.path = path
    let before = old.map { Self.flatten($0) } ?? [:]
    let after = new.map { Self.flatten($0) } ?? [:]
    fields = Set(before.keys).union(after.keys).sorted().compactMap { field in
      before[field] == after[field]
        ? nil : FieldChange(field: field, old: before[field], new: after[field])
    }
  }

  /// For people: one line for the register, one for each field.
  public var lines: [String] {
    let sign =
      switch kind {
      case .created: "+"
      case .changed: "~"
      case .deleted: "-"
      }
    return ["\(sign) \(path)"]
      + fields.map { field in
        switch (field.old, field.new) {
        case (nil, let new?): "    + \(field.field): \(new)"
        case (let old?, nil): "    - \(field.field): \(old)"
        case (let old, let new): "    ~ \(field.field): \(old ?? "") -> \(new ?? "")"
        }
      }
  }

  /// Leaves by their path. Lists of scalars are one leaf: people read them as one thing.
  static func flatten(_ value: Value, at path: String = "") -> [String: String] {
    if case .map(let fields) = value {
      return fields.reduce(into: [:]) { out, field in
        let path = path.isEmpty ? field.name : "\(path).\(field.name)"
        out.merge(flatten(field.value, at: path)) { $1 }
      }
    }
    return [path: show(value)]
  }

  static func show(_ value: Value) -> String {
    switch value {
    case .null: "null"
    case .bool(let truth): String(truth)
    case .integer(let number): String(number)
    case .string(let text): FieldReader.bare(text)
    case .bytes(let bytes): "\(bytes.count) bytes"
    case .list(let items): "[" + items.map { show($0) }.joined(separator: ", ") + "]"
    case .map(let fields):
      "{"
        + fields.map { "\(FieldReader.bare($0.name)): \(show($0.value))" }
        .joined(separator: ", ") + "}"
    }
  }
}
