/// Something wrong with a document that a person wrote: where, what, and what would be right.
///
/// `slice.yaml:12: spec.qos.priority: expected a whole number, found text; allowed: 0 to 7`
public struct LocatedError: Error, Hashable, Sendable, CustomStringConvertible {
  /// As the user named it; `-` is standard input.
  public var file: String
  /// From 1; `nil` where the document as a whole is meant.
  public var line: Int?
  /// `spec.members[1].cluster`; empty: no field.
  public var field: String
  public var reason: String
  /// What is allowed there; empty where the reason says it all.
  public var allowed: String

  public init(
    file: String, line: Int? = nil, field: String = "", reason: String, allowed: String = ""
  ) {
    self.file = file
    self.line = line
    self.field = field
    self.reason = reason
    self.allowed = allowed
  }

  public var description: String {
    let place = line.map { "\(file):\($0)" } ?? file
    return place + ": " + (field.isEmpty ? "" : "\(field): ") + reason
      + (allowed.isEmpty ? "" : "; allowed: \(allowed)")
  }
}
