internal import Base
internal import FoundationEssentials

extension Value {
  /// Refuses trees deeper than `Value.depthLimit` and maps that are not strictly ascending.
  init(_ proto: ProtoValue, depth: Int = 0) throws(WireError) {
    guard depth < Value.depthLimit else { throw .overLimit("value depth") }
    switch proto.kind {
    case nil: self = .null
    case .bool(let truth): self = .bool(truth)
    case .integer(let number): self = .integer(number)
    case .string(let text): self = .string(text)
    case .bytes(let raw): self = .bytes([UInt8](raw))
    case .list(let list):
      var items: [Value] = []
      items.reserveCapacity(list.items.count)
      for item in list.items { items.append(try Value(item, depth: depth + 1)) }
      self = .list(items)
    case .map(let map):
      var fields: [Field] = []
      fields.reserveCapacity(map.fields.count)
      for field in map.fields {
        if let last = fields.last, last.name >= field.name { throw .malformed("map order") }
        fields.append(Field(field.name, try Value(field.value, depth: depth + 1)))
      }
      self = .map(fields)
    }
  }

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
