public import Base
internal import Yams

/// A YAML document as a `Value`, with the line of every field, so that whoever checks the value can
/// say where it is wrong.
///
/// The core schema of YAML 1.2 and not more: `yes`, `no`, `on` and dates are text (`no` is also a
/// country), duplicate names and tags of other types are errors. `Value` has no fractions: `0.5` is
/// the text "0.5".
public struct YAMLDocument: Sendable {
  public var file: String
  public var value: Value
  /// Line of each field by its path (`spec.members[1].cluster`), the document itself under "".
  public private(set) var lines: [String: Int]

  public static let maximumBytes = 1 << 20
  /// Scalars, lists and maps after aliases are resolved: bounds documents that grow by aliases.
  public static let maximumNodes = 100_000

  /// All documents of a stream (separated by `---`), without empty ones.
  public static func parseAll(
    _ text: String, file: String
  ) throws(LocatedError) -> [YAMLDocument] {
    guard text.utf8.count <= maximumBytes else {
      throw LocatedError(file: file, reason: "is larger than \(maximumBytes) bytes")
    }
    var documents: [YAMLDocument] = []
    var budget = maximumNodes
    do {
      // The default resolver would match every scalar against regular expressions.
      let parser = try Yams.Parser(yaml: text, resolver: .basic)
      while let root = try parser.nextRoot() {
        var reader = YAMLReader(file: file, budget: budget)
        let value = try reader.value(of: root, at: "")
        budget = reader.budget
        reader.lines[""] = root.mark?.line ?? 1
        if value != .null {
          documents.append(YAMLDocument(file: file, value: value, lines: reader.lines))
        }
      }
    } catch {
      throw YAMLReader.located(error, file: file)
    }
    return documents
  }

  /// The only document of the text; an empty text is an empty map.
  public static func parse(_ text: String, file: String) throws(LocatedError) -> YAMLDocument {
    let documents = try parseAll(text, file: file)
    guard documents.count < 2 else {
      throw LocatedError(
        file: file, line: documents[1].lines[""], reason: "a second document begins here",
        allowed: "one document")
    }
    return documents.first ?? YAMLDocument(file: file, value: .map([]), lines: ["": 1])
  }

  /// Where a field stands; for one that is missing, the nearest one around it.
  public func line(of field: String) -> Int? {
    var path = field[...]
    while true {
      if let line = lines[String(path)] { return line }
      guard let cut = path.lastIndex(where: { $0 == "." || $0 == "[" }) else { return lines[""] }
      path = path[..<cut]
    }
  }

  public func error(_ field: String, _ reason: String, allowed: String = "") -> LocatedError {
    LocatedError(
      file: file, line: line(of: field), field: field, reason: reason, allowed: allowed)
  }
}

/// Walks the nodes of one document.
private struct YAMLReader {
  let file: String
  var budget: Int
  var lines: [String: Int] = [:]

  init(file: String, budget: Int) {
    self.file = file
    self.budget = budget
  }

  mutating func value(of node: Yams.Node, at path: String, depth: Int = 0) throws -> Value {
    budget -= 1
    guard budget >= 0 else {
      throw error(node, path, "the document has more than \(YAMLDocument.maximumNodes) nodes")
    }
    guard depth < Value.depthLimit else {
      throw error(node, path, "nested deeper than \(Value.depthLimit) levels")
    }
    switch node {
    case .scalar(let scalar):
      return try Self.scalar(scalar, or: { error(node, path, $0) })
    case .sequence(let items):
      try checkTag(items.tag, of: node, path)
      var list: [Value] = []
      for (i, item) in items.enumerated() {
        let place = "\(path)[\(i)]"
        lines[place] = item.mark?.line
        list.append(try value(of: item, at: place, depth: depth + 1))
      }
      return .list(list)
    case .mapping(let pairs):
      try checkTag(pairs.tag, of: node, path)
      return try map(pairs, at: path, depth: depth)
    case .alias:
      throw error(node, path, "an alias without its anchor")
    }
  }

  private mutating func map(
    _ pairs: Yams.Node.Mapping, at path: String, depth: Int
  ) throws -> Value {
    var fields: [String: Value] = [:]
    for (key, child) in pairs {
      guard case .scalar(let name) = key else {
        throw error(key, path, "a name is a list or a map", allowed: "text")
      }
      guard name.string != "<<" else {
        throw error(key, path, "merging (<<) is not supported", allowed: "write the fields out")
      }
      let place = path.isEmpty ? name.string : "\(path).\(name.string)"
      lines[place] = key.mark?.line
      // Two spellings of one name ("a" and a) are two keys to the parser.
      guard fields[name.string] == nil else { throw error(key, place, "is given twice") }
      fields[name.string] = try value(of: child, at: place, depth: depth + 1)
    }
    return .map(fields: fields)
  }

  private func checkTag(_ tag: Yams.Tag, of node: Yams.Node, _ path: String) throws {
    let name = tag.description
    let known = ["", "!", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"]
    guard known.contains(name) else {
      throw error(node, path, "has the tag \(name)", allowed: "no tag")
    }
  }

  private static func scalar(
    _ scalar: Yams.Node.Scalar, or error: (String) -> LocatedError
  ) throws -> Value {
    let text = scalar.string
    switch scalar.tag.description {
    case "tag:yaml.org,2002:str", "!": return .string(text)
    case "": break
    case let other: throw error("has the tag \(other), which is not known here")
    }
    guard scalar.style == .plain else { return .string(text) }
    switch text {
    case "", "~", "null", "Null", "NULL": return .null
    case "true", "True", "TRUE": return .bool(true)
    case "false", "False", "FALSE": return .bool(false)
    default: return integer(text).map(Value.integer) ?? .string(text)
    }
  }

  /// `[-+]?[0-9]+`, `0o[0-7]+`, `0x[0-9a-fA-F]+` (YAML 1.2.2, 10.3.2); beyond 64 bits it is text.
  private static func integer(_ text: String) -> Int64? {
    if text.hasPrefix("0x") { return unsigned(text.dropFirst(2), radix: 16) }
    if text.hasPrefix("0o") { return unsigned(text.dropFirst(2), radix: 8) }
    return Int64(text)
  }

  private static func unsigned(_ digits: Substring, radix: Int) -> Int64? {
    guard let first = digits.first, first != "-", first != "+" else { return nil }
    return Int64(digits, radix: radix)
  }

  private func error(
    _ node: Yams.Node, _ path: String, _ reason: String, allowed: String = ""
  ) -> LocatedError {
    LocatedError(
      file: file, line: node.mark?.line, field: path, reason: reason, allowed: allowed)
  }

  static func located(_ error: any Error, file: String) -> LocatedError {
    if let located = error as? LocatedError { return located }
    switch error as? YamlError {
    case .scanner(let context, let problem, let mark, _),
      .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      let around = context.map { " \($0.text)" } ?? ""
      return LocatedError(
        file: file, line: mark.line, reason: "is not YAML: \(problem)\(around)")
    case .duplicatedKeysInMapping(let names, let context):
      return LocatedError(
        file: file, line: context.mark.line, field: names.first ?? "", reason: "is given twice")
    case .reader(let problem, _, _, _):
      return LocatedError(file: file, reason: "is not YAML: \(problem)")
    default:
      return LocatedError(file: file, reason: "is not YAML")
    }
  }
}
