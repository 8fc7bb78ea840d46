/// A JSON value (RFC 8259) as the Kubernetes API uses it.
///
/// Unlike `Base.Value`, which holds registers, it has fractions and nests deeper. Objects are kept
/// sorted by name, each name once, so equal documents are equal values.
public enum JSON: Hashable, Sendable {
  case null
  case bool(Bool)
  case integer(Int64)
  /// Never NaN or infinite: JSON has no such numbers.
  case number(Double)
  case string(String)
  case array([JSON])
  case object([Member])

  public struct Member: Hashable, Sendable {
    public var name: String
    public var value: JSON

    public init(_ name: String, _ value: JSON) {
      self.name = name
      self.value = value
    }
  }

  public static let empty = JSON.object([])

  /// An object of members in any order; of two with one name the last stays. Members that are `nil`
  /// are left out.
  public static func object(_ members: [String: JSON?]) -> JSON {
    .object(
      members.compactMap { name, value in value.map { Member(name, $0) } }
        .sorted { $0.name < $1.name })
  }

  /// The member of an object; `nil` where this is none or has no such member.
  public subscript(name: String) -> JSON? {
    get {
      guard case .object(let members) = self, let index = Self.index(of: name, in: members) else {
        return nil
      }
      return members[index].value
    }
    set {
      var members = self.members ?? []
      if let index = Self.index(of: name, in: members) {
        if let newValue {
          members[index].value = newValue
        } else {
          members.remove(at: index)
        }
      } else if let newValue {
        let place = members.firstIndex { name < $0.name } ?? members.count
        members.insert(Member(name, newValue), at: place)
      }
      self = .object(members)
    }
  }

  private static func index(of name: String, in members: [Member]) -> Int? {
    members.firstIndex { $0.name == name }
  }

  /// The value at a path of member names.
  public func at(_ path: String...) -> JSON? {
    var value = self
    for name in path {
      guard let next = value[name] else { return nil }
      value = next
    }
    return value
  }

  public var string: String? {
    if case .string(let text) = self { text } else { nil }
  }

  public var bool: Bool? {
    if case .bool(let truth) = self { truth } else { nil }
  }

  /// Also of a fraction without digits behind the point: `1.0` and `1e3` are whole numbers.
  public var integer: Int64? {
    switch self {
    case .integer(let number): number
    case .number(let number): Int64(exactly: number)
    default: nil
    }
  }

  public var array: [JSON]? {
    if case .array(let items) = self { items } else { nil }
  }

  public var members: [Member]? {
    if case .object(let members) = self { members } else { nil }
  }

  /// Members whose value is text, as labels and annotations are.
  public var texts: [String: String] {
    (members ?? []).reduce(into: [:]) { out, member in
      if let text = member.value.string { out[member.name] = text }
    }
  }

  public static func texts(_ map: [String: String]) -> JSON {
    .object(map.mapValues { .string($0) })
  }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(arrayLiteral elements: JSON...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSON)...) {
    self = .object(Dictionary(elements, uniquingKeysWith: { $1 }).mapValues { Optional($0) })
  }
}
