/// Why bytes are no acceptable JSON. Nothing was taken from them.
public enum JSONError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What was expected at that byte.
  case expected(String, at: Int)
  case tooDeep(at: Int)
  case tooLarge(bytes: Int, limit: Int)
  case tooManyValues(limit: Int)
  case duplicateName(String, at: Int)
  case trailingBytes(at: Int)

  public var description: String {
    switch self {
    case .expected(let what, let offset): "expected \(what) at byte \(offset)"
    case .tooDeep(let offset): "nested deeper than \(JSONLimits.depth) at byte \(offset)"
    case .tooLarge(let bytes, let limit): "\(bytes) bytes are more than \(limit)"
    case .tooManyValues(let limit): "more than \(limit) values"
    case .duplicateName(let name, let offset):
      "the name \"\(name.prefix(64))\" comes twice in one object, at byte \(offset)"
    case .trailingBytes(let offset): "bytes behind the document's end at byte \(offset)"
    }
  }
}

public struct JSONLimits: Hashable, Sendable {
  public var bytes: Int
  public var values: Int

  /// A CRD's schema nests about 40 deep.
  public static let depth = 64
  /// A page of a list: 500 objects of at most a few KiB, some far larger.
  public static let page = JSONLimits(bytes: 64 << 20, values: 4_000_000)
  /// One object: etcd takes 1.5 MiB, JSON is up to a few times its Protobuf form.
  public static let object = JSONLimits(bytes: 8 << 20, values: 1_000_000)

  public init(bytes: Int, values: Int) {
    self.bytes = bytes
    self.values = values
  }
}

extension JSON {
  /// Reads one document and nothing behind it but white space.
  public init(
    parsing bytes: some Collection<UInt8>, limits: JSONLimits = .object
  ) throws(JSONError) {
    guard bytes.count <= limits.bytes else {
      throw .tooLarge(bytes: bytes.count, limit: limits.bytes)
    }
    var parser = JSONParser(bytes: Array(bytes), valueLimit: limits.values)
    self = try parser.document()
  }

  public init(parsing text: String) throws(JSONError) {
    try self.init(parsing: text.utf8)
  }
}

/// Recursive descent over bytes, bounded in depth and in values. Strict: no comments, no trailing
/// commas, no names twice, no invalid UTF-8, no lone surrogates.
private struct JSONParser {
  let bytes: [UInt8]
  let valueLimit: Int
  var values = 0
  var offset = 0

  init(bytes: [UInt8], valueLimit: Int) {
    self.bytes = bytes
    self.valueLimit = valueLimit
  }

  mutating func document() throws(JSONError) -> JSON {
    let value = try value(depth: 0)
    skipSpace()
    guard offset == bytes.count else { throw .trailingBytes(at: offset) }
    return value
  }

  private var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
      offset += 1
    }
  }

  private mutating func expect(_ byte: UInt8, _ what: String) throws(JSONError) {
    guard next == byte else { throw .expected(what, at: offset) }
    offset += 1
  }

  private mutating func value(depth: Int) throws(JSONError) -> JSON {
    guard depth <= JSONLimits.depth else { throw .tooDeep(at: offset) }
    values += 1
    guard values <= valueLimit else { throw .tooManyValues(limit: valueLimit) }
    skipSpace()
    switch next {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"), (UInt8(ascii: "0")...UInt8(ascii: "9"))?: return try number()
    default: throw .expected("a value", at: offset)
    }
  }

  private mutating func word(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
    let text = word.description.utf8
    guard bytes[offset...].starts(with: text) else { throw .expected("\(word)", at: offset) }
    offset += text.count
    return value
  }

  private mutating func array(depth: Int) throws(JSONError) -> JSON {
    offset += 1
    var items: [JSON] = []
    skipSpace()
    if next == UInt8(ascii: "]") {
      offset += 1
      return .array([])
    }
    while true {
      items.append(try value(depth: depth + 1))
      skipSpace()
      if next == UInt8(ascii: "]") { break }
      try expect(UInt8(ascii: ","), "',' or ']'")
    }
    offset += 1
    return .array(items)
  }

  private mutating func object(depth: Int) throws(JSONError) -> JSON {
    offset += 1
    var members: [JSON.Member] = []
    var isSorted = true
    skipSpace()
    if next == UInt8(ascii: "}") {
      offset += 1
      return .object([])
    }
    while true {
      skipSpace()
      guard next == UInt8(ascii: "\"") else { throw .expected("a name", at: offset) }
      let name = try string()
      skipSpace()
      try expect(UInt8(ascii: ":"), "':'")
      let value = try value(depth: depth + 1)
      if let last = members.last?.name, last >= name { isSorted = false }
      members.append(JSON.Member(name, value))
      skipSpace()
      if next == UInt8(ascii: "}") { break }
      try expect(UInt8(ascii: ","), "',' or '}'")
    }
    offset += 1
    if !isSorted {
      members.sort { $0.name < $1.name }
      for index in members.indices.dropFirst() where members[index].name == members[index - 1].name
      {
        throw .duplicateName(members[index].name, at: offset)
      }
    }
    return .object(members)
  }

  private mutating func string() throws(JSONError) -> String {
    offset += 1
    let start = offset
    while let byte = next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
      offset += 1
    }
    guard let byte = next, byte >= 0x20 else { throw .expected("the text's end", at: offset) }
    if byte == UInt8(ascii: "\"") {
      let text = try utf8(bytes[start..<offset], at: start)
      offset += 1
      return text
    }
    return try escapedString(from: start)
  }

  private mutating func escapedString(from start: Int) throws(JSONError) -> String {
    var out = Array(bytes[start..<offset])
    while let byte = next, byte != UInt8(ascii: "\"") {
      guard byte >= 0x20 else { throw .expected("the text's end", at: offset) }
      offset += 1
      guard byte == UInt8(ascii: "\\") else {
        out.append(byte)
        continue
      }
      guard let escape = next else { throw .expected("an escape", at: offset) }
      offset += 1
      switch escape {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(escape)
      case UInt8(ascii: "b"): out.append(0x08)
      case UInt8(ascii: "f"): out.append(0x0c)
      case UInt8(ascii: "n"): out.append(0x0a)
      case UInt8(ascii: "r"): out.append(0x0d)
      case UInt8(ascii: "t"): out.append(0x09)
      case UInt8(ascii: "u"): out += Array(String(Character(try scalar())).utf8)
      default: throw .expected("an escape", at: offset - 1)
      }
    }
    guard next != nil else { throw .expected("the text's end", at: offset) }
    let text = try utf8(out[...], at: start)
    offset += 1
    return text
  }

  /// Behind `\u`: one scalar, which takes two escapes above the basic plane.
  private mutating func scalar() throws(JSONError) -> Unicode.Scalar {
    let start = offset
    let first = try hexadecimal()
    if let scalar = Unicode.Scalar(first) { return scalar }
    guard (0xd800...0xdbff).contains(first), bytes[offset...].starts(with: [0x5c, 0x75]) else {
      throw .expected("a pair of surrogates", at: start)
    }
    offset += 2
    let second = try hexadecimal()
    guard (0xdc00...0xdfff).contains(second),
      let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
    else { throw .expected("a pair of surrogates", at: start) }
    return scalar
  }

  private mutating func hexadecimal() throws(JSONError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      let digit: UInt8
      switch next {
      case let byte? where (0x30...0x39).contains(byte): digit = byte - 0x30
      case let byte? where (0x41...0x46).contains(byte): digit = byte - 0x41 + 10
      case let byte? where (0x61...0x66).contains(byte): digit = byte - 0x61 + 10
      default: throw .expected("four hexadecimal digits", at: offset)
      }
      offset += 1
      value = value << 4 | UInt32(digit)
    }
    return value
  }

  private func utf8(_ slice: ArraySlice<UInt8>, at start: Int) throws(JSONError) -> String {
    guard let text = String(validating: slice, as: UTF8.self) else {
      throw .expected("valid UTF-8", at: start)
    }
    return text
  }

  private mutating func number() throws(JSONError) -> JSON {
    let start = offset
    if next == UInt8(ascii: "-") { offset += 1 }
    let whole = digits()
    guard whole > 0 else { throw .expected("a digit", at: offset) }
    if whole > 1, bytes[offset - whole] == UInt8(ascii: "0") {
      throw .expected("no leading zero", at: offset - whole)
    }
    var isFraction = false
    if next == UInt8(ascii: ".") {
      isFraction = true
      offset += 1
      guard digits() > 0 else { throw .expected("a digit", at: offset) }
    }
    if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
      isFraction = true
      offset += 1
      if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { offset += 1 }
      guard digits() > 0 else { throw .expected("a digit", at: offset) }
    }
    let text = String(decoding: bytes[start..<offset], as: UTF8.self)
    if !isFraction, let number = Int64(text) { return .integer(number) }
    guard let number = Double(text), number.isFinite else {
      throw .expected("a number that fits", at: start)
    }
    return .number(number)
  }

  private mutating func digits() -> Int {
    let start = offset
    while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { offset += 1 }
    return offset - start
  }
}
