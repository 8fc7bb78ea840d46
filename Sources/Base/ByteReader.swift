/// Why bytes from outside were refused. Nothing was changed by reading them.
public enum WireError: Error, Hashable, Sendable {
  /// The input ended before the field did.
  case truncated
  /// A length or a count is above its named limit.
  case overLimit(String)
  /// A field has a value that the format does not allow.
  case malformed(String)
  /// Bytes are left after the last field.
  case trailingBytes
}

/// Reads big-endian fields from bytes that nobody vouches for: every read is checked, none traps.
public struct ByteReader: Sendable {
  private let bytes: [UInt8]
  public private(set) var position: Int
  private let end: Int

  public init(_ bytes: [UInt8]) {
    self.bytes = bytes
    position = 0
    end = bytes.count
  }

  public init(_ slice: ArraySlice<UInt8>) {
    bytes = Array(slice)
    position = 0
    end = bytes.count
  }

  public var remaining: Int { end - position }

  public mutating func u8() throws(WireError) -> UInt8 {
    guard remaining >= 1 else { throw .truncated }
    defer { position += 1 }
    return bytes[position]
  }

  public mutating func u16() throws(WireError) -> UInt16 {
    UInt16(try integer(2))
  }

  public mutating func u32() throws(WireError) -> UInt32 {
    UInt32(try integer(4))
  }

  public mutating func u64() throws(WireError) -> UInt64 {
    try integer(8)
  }

  private mutating func integer(_ count: Int) throws(WireError) -> UInt64 {
    guard remaining >= count else { throw .truncated }
    var value: UInt64 = 0
    for i in position..<position + count { value = value << 8 | UInt64(bytes[i]) }
    position += count
    return value
  }

  /// Exactly `count` bytes; `count` comes from outside, so it may be anything.
  public mutating func bytes(_ count: Int) throws(WireError) -> [UInt8] {
    guard count >= 0, remaining >= count else { throw .truncated }
    defer { position += count }
    return Array(bytes[position..<position + count])
  }

  /// A 32-byte digest or key.
  public mutating func bytes32<T: Bytes32>(_ type: T.Type) throws(WireError) -> T {
    let (a, b, c, d) = (try u64(), try u64(), try u64(), try u64())
    return T(words: (a, b, c, d))
  }

  /// Bytes behind a 16-bit length, refused above `limit` before anything is copied.
  public mutating func block(limit: Int, _ name: String) throws(WireError) -> [UInt8] {
    let count = Int(try u16())
    guard count <= limit else { throw .overLimit(name) }
    return try bytes(count)
  }

  /// UTF-8 text behind a 16-bit length.
  public mutating func text(limit: Int, _ name: String) throws(WireError) -> String {
    let raw = try block(limit: limit, name)
    guard let text = String(validating: raw, as: UTF8.self) else { throw .malformed(name) }
    return text
  }

  public func finish() throws(WireError) {
    guard remaining == 0 else { throw .trailingBytes }
  }
}

/// Appends big-endian fields.
public struct ByteWriter: Sendable {
  public private(set) var bytes: [UInt8] = []

  public init(reserving capacity: Int = 64) {
    bytes.reserveCapacity(capacity)
  }

  public mutating func u8(_ value: UInt8) {
    bytes.append(value)
  }

  public mutating func u16(_ value: UInt16) {
    integer(value)
  }

  public mutating func u32(_ value: UInt32) {
    integer(value)
  }

  public mutating func u64(_ value: UInt64) {
    integer(value)
  }

  private mutating func integer(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
  }

  public mutating func raw(_ more: some Sequence<UInt8>) {
    bytes.append(contentsOf: more)
  }

  public mutating func bytes32(_ value: some Bytes32) {
    let words = value.words
    u64(words.0)
    u64(words.1)
    u64(words.2)
    u64(words.3)
  }

  /// Bytes behind a 16-bit length. Only for values whose own limit is below 65,536.
  public mutating func block(_ value: [UInt8]) {
    precondition(value.count <= Int(UInt16.max), "a block's own limit keeps it below 64 KiB")
    u16(UInt16(value.count))
    raw(value)
  }

  public mutating func text(_ value: String) {
    block(Array(value.utf8))
  }
}
