public import Base

extension Value {
  /// Block YAML that reads back as the same value.
  public var yaml: String {
    var out = ""
    write(to: &out, indent: 0)
    return out
  }

  private func write(to out: inout String, indent: Int) {
    let space = String(repeating: "  ", count: indent)
    switch self {
    case .map(let fields) where !fields.isEmpty:
      for field in fields {
        out += "\(space)\(Self.quoted(field.name)):"
        field.value.writeNested(to: &out, indent: indent + 1)
      }
    case .list(let items) where !items.isEmpty:
      for item in items {
        out += "\(space)-"
        item.writeNested(to: &out, indent: indent + 1)
      }
    default:
      out += "\(space)\(inlineYAML)\n"
    }
  }

  private func writeNested(to out: inout String, indent: Int) {
    switch self {
    case .map(let fields) where !fields.isEmpty:
      out += "\n"
      write(to: &out, indent: indent)
    case .list(let items) where !items.isEmpty:
      out += "\n"
      write(to: &out, indent: indent)
    default:
      out += " \(inlineYAML)\n"
    }
  }

  private var inlineYAML: String {
    switch self {
    case .null: "null"
    case .bool(let truth): "\(truth)"
    case .integer(let number): "\(number)"
    case .string(let text): Self.quoted(text)
    case .bytes(let raw): "{\"$bytes\": \"\(raw.hex)\"}"
    case .list: "[]"
    case .map: "{}"
    }
  }

  private static func quoted(_ text: String) -> String {
    let isPlain =
      !text.isEmpty && text.utf8.count < 200
      && text.utf8.allSatisfy {
        (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0)
          || [45, 46, 47, 95].contains($0)
      }
    let looksLikeAnother =
      ["null", "true", "false"].contains(text.lowercased())
      || text.utf8.first.map { (48...57).contains($0) || $0 == 45 || $0 == 46 } == true
    if isPlain && !looksLikeAnother { return text }
    var out = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case _ where scalar.value < 32:
        out += "\\x" + [UInt8(scalar.value)].hex
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out + "\""
  }
}
