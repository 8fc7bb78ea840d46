public import Base

/// A domain name in wire form (RFC 1035 section 3.1), lower case, the root's empty label included.
public struct DomainName: Hashable, Sendable, CustomStringConvertible {
  /// At least the root's 0.
  public let wire: [UInt8]

  public static let maximumBytes = 255
  public static let maximumLabelBytes = 63
  public static let root = DomainName(wire: [0])

  private init(wire: [UInt8]) {
    self.wire = wire
  }

  /// Labels joined by dots, with or without the root's dot at the end. No escapes: the names of this
  /// project have none.
  public init?(_ text: some StringProtocol) {
    var wire: [UInt8] = []
    var bytes = Array(text.utf8.prefix(Self.maximumBytes + 1))[...]
    if bytes.last == UInt8(ascii: ".") { bytes.removeLast() }
    if !bytes.isEmpty {
      for label in bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
        guard (1...Self.maximumLabelBytes).contains(label.count) else { return nil }
        wire.append(UInt8(label.count))
        wire.append(contentsOf: label.map { Self.lower($0) })
      }
    }
    wire.append(0)
    guard wire.count <= Self.maximumBytes else { return nil }
    self.wire = wire
  }

  /// Reads a name at `offset` and follows compression pointers, which may only point backwards; so
  /// there is no loop to fall into.
  ///
  /// - Returns: the name, and the offset behind it in the message.
  public static func read(
    _ message: [UInt8], at offset: Int
  ) throws(WireError) -> (name: DomainName, end: Int) {
    var wire: [UInt8] = []
    var (position, end, bound) = (offset, Int?.none, offset)
    while true {
      guard message.indices.contains(position) else { throw .truncated }
      let length = Int(message[position])
      switch length >> 6 {
      case 0:
        guard position + 1 + length <= message.count else { throw .truncated }
        wire.append(UInt8(length))
        wire.append(
          contentsOf: message[position + 1..<position + 1 + length].lazy.map { lower($0) })
        guard wire.count <= maximumBytes else { throw .overLimit("domain name") }
        position += 1 + length
        if length == 0 { return (DomainName(wire: wire), end ?? position) }
      case 3:
        guard position + 1 < message.count else { throw .truncated }
        let target = (length & 0x3f) << 8 | Int(message[position + 1])
        guard target < bound else { throw .malformed("compression pointer") }
        end = end ?? position + 2
        (position, bound) = (target, target)
      default: throw .malformed("label type")
      }
    }
  }

  public static func + (relative: DomainName, zone: DomainName) -> DomainName? {
    let wire = relative.wire.dropLast() + zone.wire
    return wire.count <= maximumBytes ? DomainName(wire: Array(wire)) : nil
  }

  public var labels: [String] {
    var out: [String] = []
    var position = 0
    while position < wire.count, wire[position] != 0 {
      let end = position + 1 + Int(wire[position])
      out.append(String(decoding: wire[position + 1..<end], as: UTF8.self))
      position = end
    }
    return out
  }

  /// With the root's dot: `db.shop.svc.slice.local.`
  public var description: String {
    wire.count == 1 ? "." : labels.map { $0 + "." }.joined()
  }

  /// ASCII only (RFC 4343).
  @inline(__always)
  static func lower(_ byte: UInt8) -> UInt8 {
    byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
  }

  /// `7.48.11.10.in-addr.arpa` or 32 nibbles under `ip6.arpa` (RFC 1035 section 3.5, RFC 3596).
  public init(reverse address: IPAddress) {
    let labels: [String]
    if address.family == .v4 {
      labels = address.bytes.reversed().map { String($0) } + ["in-addr", "arpa"]
    } else {
      labels =
        address.bytes.reversed().flatMap {
          [String($0 & 15, radix: 16), String($0 >> 4, radix: 16)]
        } + ["ip6", "arpa"]
    }
    self = DomainName(labels.joined(separator: ".")) ?? .root
  }

  /// The address range that a name under `in-addr.arpa` or `ip6.arpa` stands for: a whole address,
  /// or what its labels fix of one. `nil` for any other name.
  public var reversePrefix: IPPrefix? {
    let labels = labels
    let digits = labels.dropLast(2).reversed()
    if labels.suffix(2) == ["in-addr", "arpa"], digits.count <= 4 {
      let octets = digits.compactMap { text in
        UInt8(text).flatMap { String($0) == text ? $0 : nil }
      }
      guard octets.count == digits.count,
        let address = IPAddress(bytes: octets + Array(repeating: 0, count: 4 - octets.count))
      else { return nil }
      return IPPrefix(address, length: octets.count * 8)
    }
    guard labels.suffix(2) == ["ip6", "arpa"], digits.count <= 32 else { return nil }
    var value: UInt128 = 0
    for text in digits {
      guard text.utf8.count == 1, let nibble = UInt8(text, radix: 16) else { return nil }
      value = value << 4 | UInt128(nibble)
    }
    let missing = UInt128(32 - digits.count) * 4
    return IPPrefix(IPAddress(v6: missing == 128 ? 0 : value << missing), length: digits.count * 4)
  }
}
