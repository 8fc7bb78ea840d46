/// An IPv4 or IPv6 address, kept as a number so that comparing and masking cost no allocation.
///
/// IPv4 is kept in the low 32 bits. Order: IPv4 before IPv6, then by number.
public struct IPAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
  public enum Family: UInt8, Hashable, Comparable, Sendable {
    case v4 = 4
    case v6 = 6

    /// 32 or 128.
    public var bits: Int { self == .v4 ? 32 : 128 }

    public static func < (a: Family, b: Family) -> Bool { a.rawValue < b.rawValue }
  }

  public let family: Family
  public let value: UInt128

  public init(v4 value: UInt32) {
    family = .v4
    self.value = UInt128(value)
  }

  public init(v6 value: UInt128) {
    family = .v6
    self.value = value
  }

  /// `nil` unless there are 4 or 16 bytes, in network order.
  public init?(bytes: some Collection<UInt8>) {
    guard bytes.count == 4 || bytes.count == 16 else { return nil }
    family = bytes.count == 4 ? .v4 : .v6
    value = bytes.reduce(0) { $0 << 8 | UInt128($1) }
  }

  /// In network order: 4 or 16 bytes.
  public var bytes: [UInt8] {
    stride(from: family.bits - 8, through: 0, by: -8).map {
      UInt8(truncatingIfNeeded: value >> UInt128($0))
    }
  }

  public static func < (a: Self, b: Self) -> Bool {
    a.family == b.family ? a.value < b.value : a.family < b.family
  }

  /// Dotted decimal, or IPv6 text in any form of RFC 4291 section 2.2 without a zone.
  public init?(_ text: some StringProtocol) {
    if text.utf8.contains(UInt8(ascii: ":")) {
      guard let value = Self.parseV6(text) else { return nil }
      self.init(v6: value)
    } else {
      guard let value = Self.parseV4(text) else { return nil }
      self.init(v4: value)
    }
  }

  /// Dotted decimal, or the canonical text of RFC 5952.
  public var description: String {
    family == .v4 ? bytes.map { String($0) }.joined(separator: ".") : canonicalV6
  }

  private static func parseV4(_ text: some StringProtocol) -> UInt32? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var value: UInt32 = 0
    for part in parts {
      // "010" is refused: some readers take it for octal.
      guard (1...3).contains(part.utf8.count), part.utf8.count == 1 || part.utf8.first != 48,
        part.utf8.allSatisfy({ (48...57).contains($0) }), let octet = UInt8(part)
      else { return nil }
      value = value << 8 | UInt32(octet)
    }
    return value
  }

  private static func parseV6(_ text: some StringProtocol) -> UInt128? {
    guard text.utf8.count <= 45 else { return nil }
    var groups = text.split(separator: ":", omittingEmptySubsequences: false).map { String($0) }
    if let last = groups.last, last.contains(".") {
      guard let tail = parseV4(last) else { return nil }
      groups.removeLast()
      groups += [String(tail >> 16, radix: 16), String(tail & 0xffff, radix: 16)]
    }
    // A leading or trailing "::" leaves two empty groups at that end; one of them is the gap.
    if groups.first == "" {
      guard groups.count > 1, groups[1] == "" else { return nil }
      groups.removeFirst()
    }
    if groups.last == "" {
      guard groups.count > 1 || text.utf8.elementsEqual("::".utf8) else { return nil }
      if groups.count > 1 {
        guard groups[groups.count - 2] == "" else { return nil }
        groups.removeLast()
      }
    }
    let gaps = groups.indices.filter { groups[$0].isEmpty }
    guard gaps.count <= 1 else { return nil }
    if let gap = gaps.first {
      guard groups.count <= 8 else { return nil }
      groups.replaceSubrange(gap...gap, with: Array(repeating: "0", count: 9 - groups.count))
    }
    guard groups.count == 8 else { return nil }
    var value: UInt128 = 0
    for group in groups {
      guard (1...4).contains(group.utf8.count), !group.hasPrefix("+"),
        let number = UInt16(group, radix: 16)
      else { return nil }
      value = value << 16 | UInt128(number)
    }
    return value
  }

  private var canonicalV6: String {
    let groups = stride(from: 112, through: 0, by: -16).map {
      UInt16(truncatingIfNeeded: value >> UInt128($0))
    }
    var (best, bestLength, start) = (0, 1, 0)
    for index in 0...8 where index == 8 || groups[index] != 0 {
      if index - start > bestLength { (best, bestLength) = (start, index - start) }
      start = index + 1
    }
    let text = groups.map { String($0, radix: 16) }
    guard bestLength > 1 else { return text.joined(separator: ":") }
    return text[..<best].joined(separator: ":") + "::"
      + text[(best + bestLength)...].joined(separator: ":")
  }
}

/// A CIDR block, for example `10.11.3.0/24`. Bits behind the prefix are zero.
public struct IPPrefix: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let network: IPAddress
  public let length: Int

  /// Clears the host bits; `nil` where the length does not fit the family.
  public init?(_ address: IPAddress, length: Int) {
    guard (0...address.family.bits).contains(length) else { return nil }
    let network = address.value & Self.mask(address.family, length)
    self.network =
      address.family == .v4
      ? IPAddress(v4: UInt32(truncatingIfNeeded: network)) : IPAddress(v6: network)
    self.length = length
  }

  /// `address/length`; `nil` where host bits are set, since that is mostly a mistake.
  public init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let address = IPAddress(parts[0]),
      (1...3).contains(parts[1].utf8.count),
      parts[1].utf8.allSatisfy({ (48...57).contains($0) }),
      let length = Int(parts[1]), let prefix = IPPrefix(address, length: length),
      prefix.network == address
    else { return nil }
    self = prefix
  }

  public func contains(_ address: IPAddress) -> Bool {
    address.family == network.family
      && address.value & Self.mask(network.family, length) == network.value
  }

  public func contains(_ other: IPPrefix) -> Bool {
    other.length >= length && contains(other.network)
  }

  public func overlaps(_ other: IPPrefix) -> Bool {
    contains(other) || other.contains(self)
  }

  /// The address `offset` steps behind the network address; `nil` outside the block.
  public func address(at offset: UInt128) -> IPAddress? {
    let hostBits = network.family.bits - length
    guard hostBits == 128 || offset >> UInt128(hostBits) == 0 else { return nil }
    let value = network.value | offset
    return network.family == .v4
      ? IPAddress(v4: UInt32(truncatingIfNeeded: value)) : IPAddress(v6: value)
  }

  public static func < (a: Self, b: Self) -> Bool {
    a.network == b.network ? a.length < b.length : a.network < b.network
  }

  public var description: String { "\(network)/\(length)" }

  private static func mask(_ family: IPAddress.Family, _ length: Int) -> UInt128 {
    guard length > 0 else { return 0 }
    let ones = family == .v4 ? UInt128(UInt32.max) : UInt128.max
    return ones << UInt128(family.bits - length) & ones
  }
}

/// An address and a UDP or TCP port.
public struct IPEndpoint: Hashable, Comparable, Sendable, CustomStringConvertible {
  public var address: IPAddress
  public var port: UInt16

  public init(_ address: IPAddress, port: UInt16) {
    self.address = address
    self.port = port
  }

  /// `1.2.3.4:7900` or `[fd00::1]:7900`.
  public init?(_ text: some StringProtocol) {
    guard let colon = text.lastIndex(of: ":") else { return nil }
    var host = text[..<colon]
    let port = text[text.index(after: colon)...]
    if host.first == "[", host.last == "]" {
      host = host.dropFirst().dropLast()
      guard host.contains(":") else { return nil }
    } else if host.contains(":") {
      return nil
    }
    guard let address = IPAddress(host), port.utf8.allSatisfy({ (48...57).contains($0) }),
      let number = UInt16(port)
    else { return nil }
    self.init(address, port: number)
  }

  public static func < (a: Self, b: Self) -> Bool {
    a.address == b.address ? a.port < b.port : a.address < b.address
  }

  public var description: String {
    address.family == .v4 ? "\(address):\(port)" : "[\(address)]:\(port)"
  }
}
