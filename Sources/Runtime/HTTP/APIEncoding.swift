public import Base
public import Replication

// How the project's own values look in the API's JSON: digests, keys and signatures as lower-case
// hexadecimal digits, scopes and capabilities as they are written, HLC readings as 16 digits.

/// A moment on the wall clock, RFC 3339 in UTC with milliseconds: `2026-01-31T08:15:00.250Z`.
public struct APITime: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// Milliseconds since 1970-01-01T00:00:00Z.
  public var milliseconds: UInt64

  /// The last moment of the year 9999: RFC 3339 writes four digits, HLC readings go further.
  public static let maximumMilliseconds: UInt64 = 253_402_300_799_999

  public init(milliseconds: UInt64) {
    self.milliseconds = min(milliseconds, Self.maximumMilliseconds)
  }

  /// The wall-clock part of an HLC reading.
  public init(_ time: HybridTime) {
    self.init(milliseconds: time.milliseconds)
  }

  public static func < (a: APITime, b: APITime) -> Bool {
    a.milliseconds < b.milliseconds
  }

  public var description: String { CivilDate.rfc3339(milliseconds, fractionDigits: 3) }

  /// `nil` unless it is an RFC 3339 time from 1970 on; any offset, up to milliseconds.
  public init?(_ text: String) {
    guard let milliseconds = CivilDate.milliseconds(rfc3339: text) else { return nil }
    self.init(milliseconds: milliseconds)
  }
}

/// Coded as one JSON string.
public protocol APIText: Codable {
  init?(apiText: String)
  var apiText: String { get }
}

extension APIText {
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let value = Self(apiText: try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "not a \(Self.self)")
    }
    self = value
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(apiText)
  }
}

extension APITime: APIText {
  public init?(apiText: String) { self.init(apiText) }
  public var apiText: String { description }
}

extension Digest: APIText {
  public init?(apiText: String) { self.init(hex: apiText) }
  public var apiText: String { hex }
}

extension PublicKey: APIText {
  public init?(apiText: String) { self.init(hex: apiText) }
  public var apiText: String { hex }
}

extension Signature: APIText {
  public init?(apiText: String) {
    guard let bytes = [UInt8](hex: apiText) else { return nil }
    self.init(bytes)
  }
  public var apiText: String { bytes.hex }
}

extension Scope: APIText {
  public init?(apiText: String) { self.init(apiText) }
  public var apiText: String { description }
}

extension Capability: APIText {
  public init?(apiText: String) { self.init(apiText) }
  public var apiText: String { description }
}

/// 16 hexadecimal digits: a number of 64 bits does not survive JSON readers that use doubles.
extension HybridTime: Codable {
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let text = try container.decode(String.self)
    guard text.utf8.count == 16, let raw = UInt64(text, radix: 16) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "not an HLC reading")
    }
    self.init(rawValue: raw)
  }

  public func encode(to encoder: any Encoder) throws {
    let digits = String(rawValue, radix: 16)
    var container = encoder.singleValueContainer()
    try container.encode(String(repeating: "0", count: 16 - digits.utf8.count) + digits)
  }
}

/// `[{"author": ..., "counter": 3}, ...]`, ascending by author.
extension VersionVector: Codable {
  private struct Coded: Codable {
    var author: PublicKey
    var counter: UInt64
  }

  public init(from decoder: any Decoder) throws {
    let entries = try [Coded](from: decoder)
    guard
      let vector = VersionVector(
        sorted: entries.map { Entry(author: $0.author, counter: $0.counter) })
    else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "authors out of order"))
    }
    self = vector
  }

  public func encode(to encoder: any Encoder) throws {
    try entries.map { Coded(author: $0.author, counter: $0.counter) }.encode(to: encoder)
  }
}
