/// What a register holds: a tree that `starling get`, `diff` and `log` can show whatever release
/// wrote it. Typed sections are read from it by `Slices`; fields that a release does not know stay.
public enum Value: Hashable, Sendable {
  case null
  case bool(Bool)
  case integer(Int64)
  case string(String)
  case bytes([UInt8])
  case list([Value])
  /// Sorted by name, each name once: equal trees are equal values.
  case map([Field])

  public struct Field: Hashable, Sendable {
    public var name: String
    public var value: Value

    public init(_ name: String, _ value: Value) {
      self.name = name
      self.value = value
    }
  }

  /// How deep a tree may nest; deeper input is refused.
  public static let depthLimit = 16

  /// A map from fields in any order; of two with one name the last stays.
  public static func map(fields: [String: Value]) -> Value {
    .map(fields.map { Field($0.key, $0.value) }.sorted { $0.name < $1.name })
  }

  /// The member of a map, `nil` where this is no map or has no such name.
  public subscript(name: String) -> Value? {
    guard case .map(let fields) = self else { return nil }
    return fields.first { $0.name == name }?.value
  }

  public var string: String? {
    if case .string(let text) = self { text } else { nil }
  }

  public var integer: Int64? {
    if case .integer(let number) = self { number } else { nil }
  }

  public var bool: Bool? {
    if case .bool(let truth) = self { truth } else { nil }
  }

  public var bytes: [UInt8]? {
    if case .bytes(let raw) = self { raw } else { nil }
  }

  public var list: [Value]? {
    if case .list(let items) = self { items } else { nil }
  }

  public var fields: [Field]? {
    if case .map(let fields) = self { fields } else { nil }
  }
}

extension Value: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByBooleanLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(arrayLiteral elements: Value...) { self = .list(elements) }
  public init(dictionaryLiteral elements: (String, Value)...) {
    self = .map(fields: Dictionary(elements, uniquingKeysWith: { $1 }))
  }
}
