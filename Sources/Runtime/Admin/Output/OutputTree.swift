internal import Base

/// A value on its way to YAML: what JSON has, with numbers as they are written.
enum OutputTree: Hashable {
  case null
  case bool(Bool)
  case number(String)
  case string(String)
  case list([OutputTree])
  case map([Field])

  struct Field: Hashable {
    var name: String
    var value: OutputTree
  }

  init(_ value: Value) {
    switch value {
    case .null: self = .null
    case .bool(let truth): self = .bool(truth)
    case .integer(let number): self = .number(String(number))
    case .string(let text): self = .string(text)
    case .bytes(let bytes): self = .map([Field(name: "$bytes", value: .string(bytes.hex))])
    case .list(let items): self = .list(items.map { OutputTree($0) })
    case .map(let fields):
      self = .map(fields.map { Field(name: $0.name, value: OutputTree($0.value)) })
    }
  }
}

extension OutputTree: Decodable {
  private struct Name: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  init(from decoder: any Decoder) throws {
    if let fields = try? decoder.container(keyedBy: Name.self) {
      self = .map(
        try fields.allKeys.map {
          Field(name: $0.stringValue, value: try fields.decode(OutputTree.self, forKey: $0))
        })
      return
    }
    if var items = try? decoder.unkeyedContainer() {
      var list: [OutputTree] = []
      while !items.isAtEnd { list.append(try items.decode(OutputTree.self)) }
      self = .list(list)
      return
    }
    let scalar = try decoder.singleValueContainer()
    if scalar.decodeNil() {
      self = .null
    } else if let truth = try? scalar.decode(Bool.self) {
      self = .bool(truth)
    } else if let number = try? scalar.decode(Int64.self) {
      self = .number(String(number))
    } else if let number = try? scalar.decode(UInt64.self) {
      self = .number(String(number))
    } else if let number = try? scalar.decode(Double.self) {
      self = .number("\(number)")
    } else {
      self = .string(try scalar.decode(String.self))
    }
  }
}

// MARK: - YAML

extension OutputTree {
  /// Names that people look for first; the others follow in their order.
  private static let leading = ["apiVersion", "kind", "metadata", "name", "cluster", "path"]

  /// Block style, with short lists of scalars on one line. Ends with a newline.
  var yaml: String {
    var out = ""
    switch self {
    case .map(let fields) where !fields.isEmpty: Self.write(fields, indent: 0, into: &out)
    case .list(let items) where !items.isEmpty: Self.write(items, indent: 0, into: &out)
    default: out = inline + "\n"
    }
    return out
  }

  private static func sorted(_ fields: [Field]) -> [Field] {
    func rank(_ name: String) -> Int { leading.firstIndex(of: name) ?? leading.count }
    return fields.sorted { (rank($0.name), $0.name) < (rank($1.name), $1.name) }
  }

  private static func write(_ fields: [Field], indent: Int, into out: inout String) {
    for field in sorted(fields) {
      out += String(repeating: " ", count: indent) + quoted(field.name) + ":"
      field.value.writeBehind(indent: indent, into: &out)
    }
  }

  /// After a colon: on the same line where it fits there.
  private func writeBehind(indent: Int, into out: inout String) {
    switch self {
    case .map(let fields) where !fields.isEmpty && !isShort:
      out += "\n"
      Self.write(fields, indent: indent + 2, into: &out)
    case .list(let items) where !items.isEmpty && !isShort:
      out += "\n"
      Self.write(items, indent: indent + 2, into: &out)
    default: out += " " + inline + "\n"
    }
  }

  private static func write(_ items: [OutputTree], indent: Int, into out: inout String) {
    for item in items {
      let margin = String(repeating: " ", count: indent)
      switch item {
      case .map(let fields) where !fields.isEmpty:
        var block = ""
        write(fields, indent: indent + 2, into: &block)
        out += margin + "- " + block.dropFirst(indent + 2)
      case .list(let inner) where !inner.isEmpty && !item.isShort:
        out += margin + "-\n"
        write(inner, indent: indent + 2, into: &out)
      default: out += margin + "- " + item.inline + "\n"
      }
    }
  }

  /// Lists of a few scalars are read best on one line.
  private var isShort: Bool {
    switch self {
    case .list(let items): items.allSatisfy(\.isScalar) && inline.count <= 60
    case .map(let fields): fields.isEmpty
    default: true
    }
  }

  private var isScalar: Bool {
    switch self {
    case .list, .map: false
    default: true
    }
  }

  /// On one line.
  var flow: String { inline }

  private var inline: String {
    switch self {
    case .null: "null"
    case .bool(let truth): String(truth)
    case .number(let text): text
    case .string(let text): Self.quoted(text)
    case .list(let items): "[" + items.map(\.inline).joined(separator: ", ") + "]"
    case .map(let fields):
      "{"
        + Self.sorted(fields).map { Self.quoted($0.name) + ": " + $0.value.inline }
        .joined(separator: ", ") + "}"
    }
  }

  /// Bare where every YAML reader takes it for the same text, and not for a number, a date or a truth.
  static func quoted(_ text: String) -> String {
    isPlain(text) ? text : escaped(text)
  }

  private static func isPlain(_ text: String) -> Bool {
    guard let first = text.utf8.first, text.utf8.last != UInt8(ascii: " "),
      text.utf8.last != UInt8(ascii: ":")
    else { return false }
    let isLetter: (UInt8) -> Bool = { (65...90).contains($0) || (97...122).contains($0) }
    let isDigit: (UInt8) -> Bool = { (48...57).contains($0) }
    guard isLetter(first) || isDigit(first) || first == UInt8(ascii: "/") else { return false }
    let allowed = Set("-._/+= @:".utf8)
    guard text.utf8.allSatisfy({ isLetter($0) || isDigit($0) || allowed.contains($0) }),
      !text.contains(": ")
    else { return false }
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
    if words.contains(text.lowercased()) { return false }
    // Numbers in any base or notation, times (1:30) and dates: what has no letter but e, x and o. But an
    // address or a prefix (two dots or a slash) is text to every reader.
    if isDigit(first) {
      if text.utf8.contains(UInt8(ascii: "/")) { return true }
      if text.split(separator: ".", omittingEmptySubsequences: false).count > 2 { return true }
      return text.utf8.contains { isLetter($0) && !"eExXoOabcdfABCDF_".utf8.contains($0) }
        && !text.contains(":") && !text.contains("T")
    }
    return true
  }

  private static func escaped(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": out += "\\\(scalar)"
      case "\n": out += "\\n"
      case "\t": out += "\\t"
      case _ where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value):
        out += "\\x" + [UInt8(truncatingIfNeeded: scalar.value)].hex
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out + "\""
  }
}
