internal import FoundationEssentials

/// The part of Structured Field Values (RFC 9651) that HTTP Message Signatures are written in:
/// dictionaries of items and of inner lists, with parameters. Strict, and bounded by the limit on
/// headers; what is not used there (decimals, dates) is refused.
enum StructuredField {
  enum Bare: Hashable, Sendable {
    case integer(Int64)
    case string(String)
    case token(String)
    case bytes([UInt8])
    case bool(Bool)

    /// RFC 9651, section 4.1.
    var serialized: String {
      switch self {
      case .integer(let number): return String(number)
      case .token(let text): return text
      case .bool(let truth): return truth ? "?1" : "?0"
      case .bytes(let raw): return ":" + Data(raw).base64EncodedString() + ":"
      case .string(let text):
        let escaped = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
        return "\"" + escaped + "\""
      }
    }
  }

  struct Parameter: Hashable, Sendable {
    var name: String
    var value: Bare

    var serialized: String {
      value == .bool(true) ? ";\(name)" : ";\(name)=\(value.serialized)"
    }
  }

  struct Item: Hashable, Sendable {
    var value: Bare
    var parameters: [Parameter] = []

    var serialized: String { value.serialized + parameters.map(\.serialized).joined() }
  }

  enum Member: Hashable, Sendable {
    case item(Item)
    case list([Item], [Parameter])
  }

  static let memberLimit = 16
  static let itemLimit = 64

  /// A dictionary; `nil` where it is malformed. Of two members of one name the last stays.
  static func dictionary(_ text: String) -> [String: Member]? {
    var parser = Parser(text)
    return parser.dictionary()
  }

  static func serialized(_ items: [Item], _ parameters: [Parameter]) -> String {
    "(" + items.map(\.serialized).joined(separator: " ") + ")"
      + parameters.map(\.serialized).joined()
  }

  private struct Parser {
    private var rest: ArraySlice<UInt8>

    init(_ text: String) {
      rest = Array(text.utf8)[...]
    }

    mutating func dictionary() -> [String: Member]? {
      var members: [String: Member] = [:]
      skip(spaces: " ")
      while !rest.isEmpty {
        guard members.count < memberLimit, let key = key() else { return nil }
        if take("=") {
          guard let member = member() else { return nil }
          members[key] = member
        } else {
          guard let parameters = parameters() else { return nil }
          members[key] = .item(Item(value: .bool(true), parameters: parameters))
        }
        skip(spaces: " \t")
        if rest.isEmpty { return members }
        guard take(",") else { return nil }
        skip(spaces: " \t")
        // A trailing comma is an error.
        guard !rest.isEmpty else { return nil }
      }
      return members
    }

    private mutating func member() -> Member? {
      if take("(") {
        guard let items = innerList(), let parameters = parameters() else { return nil }
        return .list(items, parameters)
      }
      return item().map(Member.item)
    }

    private mutating func innerList() -> [Item]? {
      var items: [Item] = []
      while true {
        skip(spaces: " ")
        if take(")") { return items }
        guard items.count < itemLimit, let item = item() else { return nil }
        items.append(item)
        guard let next = rest.first, next == UInt8(ascii: " ") || next == UInt8(ascii: ")") else {
          return nil
        }
      }
    }

    private mutating func item() -> Item? {
      guard let value = bare(), let parameters = parameters() else { return nil }
      return Item(value: value, parameters: parameters)
    }

    private mutating func parameters() -> [Parameter]? {
      var parameters: [Parameter] = []
      while take(";") {
        skip(spaces: " ")
        guard parameters.count < itemLimit, let name = key() else { return nil }
        var value = Bare.bool(true)
        if take("=") {
          guard let given = bare() else { return nil }
          value = given
        }
        parameters.removeAll { $0.name == name }
        parameters.append(Parameter(name: name, value: value))
      }
      return parameters
    }

    private mutating func key() -> String? {
      guard let first = rest.first, (97...122).contains(first) || first == UInt8(ascii: "*")
      else { return nil }
      return prefix {
        (97...122).contains($0) || (48...57).contains($0) || "_-.*".utf8.contains($0)
      }
    }

    private mutating func bare() -> Bare? {
      switch rest.first {
      case UInt8(ascii: "\""): string()
      case UInt8(ascii: ":"): bytes()
      case UInt8(ascii: "?"): bool()
      case let first? where (48...57).contains(first) || first == UInt8(ascii: "-"): integer()
      case let first?
      where (65...90).contains(first) || (97...122).contains(first) || first == UInt8(ascii: "*"):
        .token(
          prefix {
            (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0)
              || "!#$%&'*+-.^_`|~:/".utf8.contains($0)
          })
      default: nil
      }
    }

    private mutating func integer() -> Bare? {
      let negative = take("-")
      let digits = prefix { (48...57).contains($0) }
      guard (1...15).contains(digits.utf8.count), rest.first != UInt8(ascii: "."),
        let number = Int64(digits)
      else { return nil }
      return .integer(negative ? -number : number)
    }

    private mutating func string() -> Bare? {
      guard take("\"") else { return nil }
      var text: [UInt8] = []
      while let byte = rest.popFirst() {
        switch byte {
        case UInt8(ascii: "\""): return .string(String(decoding: text, as: UTF8.self))
        case UInt8(ascii: "\\"):
          guard let next = rest.popFirst(), "\"\\".utf8.contains(next) else { return nil }
          text.append(next)
        case 0x20...0x7e: text.append(byte)
        default: return nil
        }
      }
      return nil
    }

    private mutating func bytes() -> Bare? {
      guard take(":") else { return nil }
      let text = prefix { $0 != UInt8(ascii: ":") }
      guard take(":"), let data = Data(base64Encoded: text) else { return nil }
      return .bytes([UInt8](data))
    }

    private mutating func bool() -> Bare? {
      guard take("?") else { return nil }
      if take("1") { return .bool(true) }
      return take("0") ? .bool(false) : nil
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
      guard rest.first == UInt8(ascii: character) else { return false }
      rest = rest.dropFirst()
      return true
    }

    private mutating func skip(spaces: String) {
      rest = rest.drop { spaces.utf8.contains($0) }
    }

    private mutating func prefix(while fits: (UInt8) -> Bool) -> String {
      let taken = rest.prefix(while: fits)
      rest = rest.dropFirst(taken.count)
      return String(decoding: taken, as: UTF8.self)
    }
  }
}
