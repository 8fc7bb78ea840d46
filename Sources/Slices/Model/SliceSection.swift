internal import Base

/// A part of a slice that has a register of its own, so that independent edits merge. Its fields
/// have the same names in the register as in the manifest.
protocol SliceSection: Hashable, Sendable {
  /// Reads with defaults for what is absent; what is wrong goes to the reader's errors.
  init(reading reader: inout FieldReader)
  func write(_ writer: inout FieldWriter)
}

extension SliceSection {
  /// `withDefaults` writes every field out, for people; registers leave defaults away.
  func value(withDefaults: Bool = false) -> Value {
    var writer = FieldWriter(withDefaults: withDefaults)
    write(&writer)
    return writer.value
  }

  /// Reads a register: fields that this release does not know are left alone.
  static func read(_ value: Value, path: String = "") throws(ManifestError) -> Self {
    let errors = FieldErrors()
    var reader = FieldReader(value, at: path, errors: errors)
    let section = Self(reading: &reader)
    guard errors.isEmpty else { throw errors.result }
    return section
  }
}
