internal import Base

/// Reads one map of a document field by field, and reports by path what does not fit.
///
/// An absent field and an explicit `null` are the same. Nothing here throws: a reader goes on, so
/// that a person sees all mistakes at once, and the caller looks at the list of errors in the end.
struct FieldReader {
  let path: String
  let errors: FieldErrors
  private let fields: [Value.Field]
  private var known: [String] = []

  /// Reports and reads as an empty map where the value is no map.
  init(_ value: Value, at path: String, errors: FieldErrors) {
    self.path = path
    self.errors = errors
    if let fields = value.fields {
      self.fields = fields
    } else {
      fields = []
      errors.add(path, "expected a map, found \(Self.kind(of: value))")
    }
  }

  func path(of name: String) -> String {
    path.isEmpty ? name : "\(path).\(name)"
  }

  mutating func take(_ name: String) -> Value? {
    known.append(name)
    guard let value = fields.first(where: { $0.name == name })?.value, value != .null else {
      return nil
    }
    return value
  }

  func isAbsent(_ name: String) -> Bool {
    fields.allSatisfy { $0.name != name || $0.value == .null }
  }

  func report(_ name: String, _ reason: String, allowed: String = "") {
    errors.add(path(of: name), reason, allowed: allowed)
  }

  mutating func string(_ name: String) -> String? {
    guard let value = take(name) else { return nil }
    guard let text = value.string else {
      report(name, "expected text, found \(Self.kind(of: value))")
      return nil
    }
    return text
  }

  mutating func bool(_ name: String) -> Bool? {
    guard let value = take(name) else { return nil }
    guard let truth = value.bool else {
      report(name, "expected true or false, found \(Self.kind(of: value))")
      return nil
    }
    return truth
  }

  mutating func integer(_ name: String, in range: ClosedRange<Int>) -> Int? {
    guard let value = take(name) else { return nil }
    let allowed = "\(range.lowerBound) to \(range.upperBound)"
    guard let number = value.integer else {
      report(name, "expected a whole number, found \(Self.kind(of: value))", allowed: allowed)
      return nil
    }
    guard range.contains(Int(number)) else {
      report(name, "\(number) is out of range", allowed: allowed)
      return nil
    }
    return Int(number)
  }

  mutating func bytes(_ name: String) -> [UInt8]? {
    guard let value = take(name) else { return nil }
    guard let raw = value.bytes else {
      report(name, "expected bytes, found \(Self.kind(of: value))")
      return nil
    }
    return raw
  }

  /// Text with a form of its own: an address, a duration, a name.
  mutating func parsed<T>(_ name: String, allowed: String, _ parse: (String) -> T?) -> T? {
    guard let text = string(name) else { return nil }
    guard let value = parse(text) else {
      report(name, "\(Self.quoted(text)) is not valid", allowed: allowed)
      return nil
    }
    return value
  }

  mutating func label(_ name: String) -> String? {
    parsed(name, allowed: NameRules.labelRule) { NameRules.isLabel($0) ? $0 : nil }
  }

  /// One of a few names, spelt exactly.
  mutating func choice<T>(_ name: String, of type: T.Type) -> T?
  where T: CaseIterable & RawRepresentable, T.RawValue == String {
    guard let text = string(name) else { return nil }
    if let value = T(rawValue: text) { return value }
    let names = T.allCases.map(\.rawValue)
    let hint = NameRules.nearest(to: text, among: names).map { "; did you mean \($0)?" } ?? ""
    report(
      name, "\(Self.quoted(text)) is not known\(hint)", allowed: names.joined(separator: ", "))
    return nil
  }

  /// The items of a list with their paths; reports a list above its limit and reads none of it.
  mutating func list(_ name: String, limit: Int) -> [(value: Value, path: String)] {
    guard let value = take(name) else { return [] }
    guard let items = value.list else {
      report(name, "expected a list, found \(Self.kind(of: value))")
      return []
    }
    guard items.count <= limit else {
      report(name, "\(items.count) items are too many", allowed: "at most \(limit)")
      return []
    }
    return items.enumerated().map { ($1, "\(path(of: name))[\($0)]") }
  }

  /// A list of texts, each of one form, each once.
  mutating func texts<T: Hashable>(
    _ name: String, limit: Int, allowed: String, _ parse: (String) -> T?
  ) -> [T] {
    var out: [T] = []
    var seen: Set<T> = []
    for (value, path) in list(name, limit: limit) {
      guard let text = value.string else {
        errors.add(path, "expected text, found \(Self.kind(of: value))")
        continue
      }
      guard let item = parse(text) else {
        errors.add(path, "\(Self.quoted(text)) is not valid", allowed: allowed)
        continue
      }
      guard seen.insert(item).inserted else {
        errors.add(path, "\(Self.quoted(text)) is listed twice")
        continue
      }
      out.append(item)
    }
    return out
  }

  /// A map of text to text, sorted by name.
  mutating func textMap(_ name: String, limit: Int) -> [String: String] {
    guard let value = take(name) else { return [:] }
    let reader = FieldReader(value, at: path(of: name), errors: errors)
    guard reader.fields.count <= limit else {
      report(name, "\(reader.fields.count) entries are too many", allowed: "at most \(limit)")
      return [:]
    }
    var out: [String: String] = [:]
    for field in reader.fields {
      switch field.value {
      case .string(let text): out[field.name] = text
      case .integer(let number): out[field.name] = String(number)
      default:
        reader.report(field.name, "expected text, found \(Self.kind(of: field.value))")
      }
    }
    return out
  }

  mutating func map(_ name: String) -> FieldReader? {
    take(name).map { FieldReader($0, at: path(of: name), errors: errors) }
  }

  func missing(_ name: String, allowed: String) {
    report(name, "is missing", allowed: allowed)
  }

  /// Reports every field that nobody asked for. Not called for registers: a newer release may have
  /// written them.
  func refuseUnknownFields() {
    for field in fields where !known.contains(field.name) {
      let hint =
        NameRules.nearest(to: field.name, among: known).map { "; did you mean \($0)?" } ?? ""
      errors.add(
        path(of: Self.bare(field.name)), "unknown field\(hint)",
        allowed: known.sorted().joined(separator: ", "))
    }
  }

  /// Fields that this release does not know; kept when a register is written again.
  var unknownFields: [Value.Field] {
    fields.filter { !known.contains($0.name) }
  }

  static func kind(of value: Value) -> String {
    switch value {
    case .null: "nothing"
    case .bool: "true or false"
    case .integer: "a number"
    case .string: "text"
    case .bytes: "bytes"
    case .list: "a list"
    case .map: "a map"
    }
  }

  static func quoted(_ text: String) -> String {
    "\"\(bare(text))\""
  }

  /// Text from outside as it may stand in a message: bounded, without control characters.
  static func bare(_ text: String) -> String {
    let shown = text.unicodeScalars.prefix(64).map { $0.properties.isSafeToPrint ? $0 : "?" }
    var out = String.UnicodeScalarView()
    out.append(contentsOf: shown)
    return String(out) + (text.unicodeScalars.count > 64 ? "..." : "")
  }
}

extension Unicode.Scalar.Properties {
  fileprivate var isSafeToPrint: Bool {
    switch generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate: false
    default: true
    }
  }
}

/// Builds a map; leaves out what has its default value unless everything is asked for.
struct FieldWriter {
  let withDefaults: Bool
  private(set) var fields: [String: Value] = [:]

  init(withDefaults: Bool) {
    self.withDefaults = withDefaults
  }

  mutating func put(_ name: String, _ value: Value) {
    fields[name] = value
  }

  mutating func put<T: Equatable>(
    _ name: String, _ value: T, default standard: T, _ encode: (T) -> Value
  ) {
    if withDefaults || value != standard { fields[name] = encode(value) }
  }

  mutating func put(_ name: String, _ value: Int, default standard: Int) {
    put(name, value, default: standard) { .integer(Int64($0)) }
  }

  mutating func put(_ name: String, _ value: Bool, default standard: Bool) {
    put(name, value, default: standard) { .bool($0) }
  }

  mutating func put(_ name: String, _ values: [String]) {
    put(name, values, default: []) { .list($0.map { .string($0) }) }
  }

  mutating func put(_ name: String, _ map: [String: String]) {
    put(name, map, default: [:]) { .map(fields: $0.mapValues { .string($0) }) }
  }

  mutating func put<T: RawRepresentable & Equatable>(
    _ name: String, _ value: T, default standard: T
  ) where T.RawValue == String {
    put(name, value, default: standard) { .string($0.rawValue) }
  }

  var value: Value { .map(fields: fields) }
}
