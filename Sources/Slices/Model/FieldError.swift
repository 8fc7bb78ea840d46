/// One thing that is wrong with a document: where, what, and what would be right.
public struct FieldError: Hashable, Sendable, CustomStringConvertible {
  /// `spec.members[1].gateway.type`; empty: the document as a whole.
  public var path: String
  /// What is wrong, for example `"NodePrt" is not known`.
  public var reason: String
  /// What is allowed there; empty where the reason says it all.
  public var allowed: String

  public init(path: String, reason: String, allowed: String = "") {
    self.path = path
    self.reason = reason
    self.allowed = allowed
  }

  public var description: String {
    (path.isEmpty ? "" : "\(path): ") + reason + (allowed.isEmpty ? "" : "; allowed: \(allowed)")
  }
}

/// Why a document was refused: everything that is wrong with it, in the order of the document.
public struct ManifestError: Error, Hashable, Sendable, CustomStringConvertible {
  public var errors: [FieldError]

  public init(_ errors: [FieldError]) {
    self.errors = errors
  }

  public var description: String {
    errors.map(\.description).joined(separator: "\n")
  }
}

/// Collects errors while a document is read. A reference, so that the readers of nested maps add to
/// one list; it never leaves the function that reads.
final class FieldErrors {
  /// More are not of use to anybody; the rest is counted.
  static let limit = 50
  private(set) var errors: [FieldError] = []
  private(set) var omitted = 0

  func add(_ path: String, _ reason: String, allowed: String = "") {
    if errors.count < Self.limit {
      errors.append(FieldError(path: path, reason: reason, allowed: allowed))
    } else {
      omitted += 1
    }
  }

  var isEmpty: Bool { errors.isEmpty }

  var result: ManifestError {
    omitted == 0
      ? ManifestError(errors)
      : ManifestError(errors + [FieldError(path: "", reason: "and \(omitted) more errors")])
  }
}
