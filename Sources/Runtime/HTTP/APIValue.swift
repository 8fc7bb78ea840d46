public import Base

/// Register values as plain JSON. Bytes, which JSON has not, are `{"$bytes": "<hex>"}`; a name that
/// itself begins with `$` has one more in front, so that every value survives the way there and back.
extension Value: Codable {
  private struct Name: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }

    static let bytes = Name(stringValue: "$bytes")
  }

  public init(from decoder: any Decoder) throws {
    guard decoder.codingPath.count <= Value.depthLimit + 32 else {
      throw Value.refused(decoder, "nested too deeply")
    }
    if let fields = try? decoder.container(keyedBy: Name.self) {
      self = try Value.map(from: fields, decoder)
    } else if var items = try? decoder.unkeyedContainer() {
      var list: [Value] = []
      while !items.isAtEnd { list.append(try items.decode(Value.self)) }
      self = .list(list)
    } else {
      self = try Value.scalar(from: decoder)
    }
  }

  private static func map(
    from fields: KeyedDecodingContainer<Name>, _ decoder: any Decoder
  ) throws -> Value {
    let names = fields.allKeys
    if names.count == 1, names[0].stringValue == Name.bytes.stringValue {
      guard let raw = [UInt8](hex: try fields.decode(String.self, forKey: .bytes)) else {
        throw refused(decoder, "$bytes is not hexadecimal")
      }
      return .bytes(raw)
    }
    var out: [String: Value] = [:]
    for name in names {
      let text = name.stringValue
      out[text.hasPrefix("$") ? String(text.dropFirst()) : text] =
        try fields.decode(Value.self, forKey: name)
    }
    return .map(fields: out)
  }

  private static func scalar(from decoder: any Decoder) throws -> Value {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() { return .null }
    if let truth = try? container.decode(Bool.self) { return .bool(truth) }
    if let number = try? container.decode(Int64.self) { return .integer(number) }
    if let text = try? container.decode(String.self) { return .string(text) }
    throw refused(decoder, "neither a whole number, a string, true, false nor null")
  }

  private static func refused(_ decoder: any Decoder, _ why: String) -> DecodingError {
    .dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: why))
  }

  public func encode(to encoder: any Encoder) throws {
    switch self {
    case .null:
      var container = encoder.singleValueContainer()
      try container.encodeNil()
    case .bool(let truth): try truth.encode(to: encoder)
    case .integer(let number): try number.encode(to: encoder)
    case .string(let text): try text.encode(to: encoder)
    case .bytes(let raw):
      var container = encoder.container(keyedBy: Name.self)
      try container.encode(raw.hex, forKey: .bytes)
    case .list(let items):
      var container = encoder.unkeyedContainer()
      for item in items { try container.encode(item) }
    case .map(let fields):
      var container = encoder.container(keyedBy: Name.self)
      for field in fields {
        let name = field.name.hasPrefix("$") ? "$" + field.name : field.name
        try container.encode(field.value, forKey: Name(stringValue: name))
      }
    }
  }
}
