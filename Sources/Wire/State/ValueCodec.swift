internal import Base
internal import FoundationEssentials

extension Value {
  var proto: ProtoValue {
    var proto = ProtoValue()
    switch self {
    case .null: break
    case .bool(let truth): proto.bool = truth
    case .integer(let number): proto.integer = number
    case .string(let text): proto.string = text
    case .bytes(let raw): proto.bytes = .init(raw)
    case .list(let items): proto.list.items = items.map(\.proto)
    case .map(let fields):
      proto.map.fields = fields.map { field in
        var out = ProtoField()
        out.name = field.name
        out.value = field.value.proto
        return out
      }
    }
    return proto
  }
}

/// Reads a `Value` message (`Schema/state.proto`) as every release writes it: one kind, fields in
/// ascending order, each once. Anything else is refused, so that no two releases read it differently.
///
/// Refuses trees deeper than `Value.depthLimit` and maps that are not strictly ascending.
struct ValueReader {
  private let bytes: [UInt8]
  private var position = 0

  private enum WireType: UInt64 {
    case varint = 0
    case lengthDelimited = 2
  }

  static func read(_ bytes: [UInt8]) throws(WireError) -> Value {
    var reader = ValueReader(bytes: bytes)
    return try reader.value(until: bytes.count, depth: 0)
  }

  private init(bytes: [UInt8]) {
    self.bytes = bytes
  }

  private mutating func value(until end: Int, depth: Int) throws(WireError) -> Value {
    guard depth < Value.depthLimit else { throw .overLimit("value depth") }
    guard position < end else { return .null }
    let value: Value
    switch try varint(end) {
    case Self.tag(1, .varint): value = .bool(try varint(end) != 0)
    case Self.tag(2, .varint): value = .integer(Self.unzigzag(try varint(end)))
    case Self.tag(3, .lengthDelimited): value = .string(try text(end))
    case Self.tag(4, .lengthDelimited):
      let length = try self.length(end)
      value = .bytes(Array(bytes[position..<position + length]))
      position += length
    case Self.tag(5, .lengthDelimited): value = .list(try items(until: try block(end), depth))
    case Self.tag(6, .lengthDelimited): value = .map(try fields(until: try block(end), depth))
    default: throw .malformed("value kind")
    }
    guard position == end else { throw .malformed("value") }
    return value
  }

  private mutating func items(until end: Int, _ depth: Int) throws(WireError) -> [Value] {
    var items: [Value] = []
    while position < end {
      guard try varint(end) == Self.tag(1, .lengthDelimited) else { throw .malformed("list") }
      items.append(try value(until: try block(end), depth: depth + 1))
    }
    return items
  }

  private mutating func fields(until end: Int, _ depth: Int) throws(WireError) -> [Value.Field] {
    var fields: [Value.Field] = []
    while position < end {
      guard try varint(end) == Self.tag(1, .lengthDelimited) else { throw .malformed("map") }
      let field = try self.field(until: try block(end), depth)
      if let last = fields.last, last.name >= field.name { throw .malformed("map order") }
      fields.append(field)
    }
    return fields
  }

  private mutating func field(until end: Int, _ depth: Int) throws(WireError) -> Value.Field {
    var name = ""
    var content = Value.null
    if position < end, bytes[position] == Self.tag(1, .lengthDelimited) {
      position += 1
      name = try text(end)
    }
    if position < end {
      guard try varint(end) == Self.tag(2, .lengthDelimited) else { throw .malformed("field") }
      content = try value(until: try block(end), depth: depth + 1)
    }
    guard position == end else { throw .malformed("field") }
    return Value.Field(name, content)
  }

  // MARK: Protobuf's encoding

  private static func tag(_ field: UInt64, _ type: WireType) -> UInt64 {
    field << 3 | type.rawValue
  }

  private static func unzigzag(_ number: UInt64) -> Int64 {
    Int64(bitPattern: number >> 1) ^ -Int64(bitPattern: number & 1)
  }

  private mutating func varint(_ end: Int) throws(WireError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while position < end {
      let byte = bytes[position]
      position += 1
      guard shift < 63 || byte <= 1 else { throw .malformed("number") }
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
    throw .truncated
  }

  /// A length that does not go beyond `end`.
  private mutating func length(_ end: Int) throws(WireError) -> Int {
    let length = try varint(end)
    guard length <= UInt64(end - position) else { throw .truncated }
    return Int(length)
  }

  /// Where a nested message ends.
  private mutating func block(_ end: Int) throws(WireError) -> Int {
    let length = try self.length(end)
    return position + length
  }

  private mutating func text(_ end: Int) throws(WireError) -> String {
    let length = try self.length(end)
    defer { position += length }
    let slice = bytes[position..<position + length]
    guard let text = String(validating: slice, as: UTF8.self) else { throw .malformed("text") }
    return text
  }
}
