/// A 32-byte value kept in four words: hashing, comparing and copying cost no allocation.
///
/// Order is that of the bytes, so that it is the same on every machine.
public protocol Bytes32: Hashable, Comparable, Sendable, CustomStringConvertible {
  var words: (UInt64, UInt64, UInt64, UInt64) { get }
  init(words: (UInt64, UInt64, UInt64, UInt64))
}

extension Bytes32 {
  /// `nil` unless there are exactly 32 bytes.
  public init?(_ bytes: some Collection<UInt8>) {
    // Digests are made for every changeset and row, so bytes that lie together are read as words.
    let words =
      bytes.withContiguousStorageIfAvailable { readWords(UnsafeRawBufferPointer($0)) }
      ?? Array(bytes).withUnsafeBytes { readWords($0) }
    guard let words else { return nil }
    self.init(words: words)
  }

  /// `nil` unless it is exactly 64 hexadecimal digits.
  public init?(hex: some StringProtocol) {
    guard let bytes = [UInt8](hex: hex) else { return nil }
    self.init(bytes)
  }

  public var bytes: [UInt8] {
    let words = words
    return [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
      let raw = UnsafeMutableRawBufferPointer(buffer)
      raw.storeBytes(of: words.0.bigEndian, toByteOffset: 0, as: UInt64.self)
      raw.storeBytes(of: words.1.bigEndian, toByteOffset: 8, as: UInt64.self)
      raw.storeBytes(of: words.2.bigEndian, toByteOffset: 16, as: UInt64.self)
      raw.storeBytes(of: words.3.bigEndian, toByteOffset: 24, as: UInt64.self)
      count = 32
    }
  }

  public static func < (a: Self, b: Self) -> Bool {
    let (x, y) = (a.words, b.words)
    if x.0 != y.0 { return x.0 < y.0 }
    if x.1 != y.1 { return x.1 < y.1 }
    if x.2 != y.2 { return x.2 < y.2 }
    return x.3 < y.3
  }

  public static func == (a: Self, b: Self) -> Bool {
    a.words == b.words
  }

  public func hash(into hasher: inout Hasher) {
    // The values are digests or keys, so half of the bits already tell them apart.
    hasher.combine(words.0)
    hasher.combine(words.1)
  }

  /// 64 lower-case hexadecimal digits.
  public var hex: String { bytes.hex }

  /// The first 12 hexadecimal digits: what people read and type.
  public var short: String { String(hex.prefix(12)) }

  public var description: String { short }
}

private func readWords(_ raw: UnsafeRawBufferPointer) -> (UInt64, UInt64, UInt64, UInt64)? {
  guard raw.count == 32 else { return nil }
  func word(_ offset: Int) -> UInt64 {
    UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
  return (word(0), word(8), word(16), word(24))
}

/// A SHA-256 digest: identity of changesets, grants, ClusterSets and members.
public struct Digest: Bytes32 {
  public let words: (UInt64, UInt64, UInt64, UInt64)

  public init(words: (UInt64, UInt64, UInt64, UInt64)) {
    self.words = words
  }

  public static let zero = Digest(words: (0, 0, 0, 0))
}

/// An Ed25519 public key (RFC 8032): an author, a grant's subject, a peer.
public struct PublicKey: Bytes32 {
  public let words: (UInt64, UInt64, UInt64, UInt64)

  public init(words: (UInt64, UInt64, UInt64, UInt64)) {
    self.words = words
  }
}

/// A member as SWIM and the transport know it: SHA-256 of its Ed25519 public key.
public typealias NodeID = Digest

/// An Ed25519 signature, 64 bytes.
public struct Signature: Hashable, Sendable {
  public let bytes: [UInt8]

  /// `nil` unless there are exactly 64 bytes.
  public init?(_ bytes: [UInt8]) {
    guard bytes.count == 64 else { return nil }
    self.bytes = bytes
  }
}

extension [UInt8] {
  /// `nil` where a digit is missing or is none.
  public init?(hex: some StringProtocol) {
    let digits = hex.utf8
    guard digits.count.isMultiple(of: 2) else { return nil }
    self = []
    reserveCapacity(digits.count / 2)
    var high: UInt8?
    for digit in digits {
      let value: UInt8
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): value = digit - UInt8(ascii: "A") + 10
      default: return nil
      }
      if let first = high {
        append(first << 4 | value)
        high = nil
      } else {
        high = value
      }
    }
  }

  public var hex: String {
    let digits: [UInt8] = Array<UInt8>("0123456789abcdef".utf8)
    var out: [UInt8] = []
    out.reserveCapacity(count * 2)
    for byte in self {
      out.append(digits[Int(byte >> 4)])
      out.append(digits[Int(byte & 15)])
    }
    return String(decoding: out, as: UTF8.self)
  }
}
