public import Base

/// What the kernel answered.
public enum NetlinkReply: Hashable, Sendable {
  /// 0, or an `errno`.
  case result(Int32)
  case done
  case link(Link)
  case address(IPAddress, index: UInt32)
  case route(Route)
  case other

  public struct Link: Hashable, Sendable {
    public var index: UInt32
    public var name: String
    public var hardware: [UInt8]
    public var mtu: Int
    public var isUp: Bool
  }

  public struct Route: Hashable, Sendable {
    public var destination: IPPrefix
    public var hop: IPAddress?
    public var index: UInt32
  }

  /// The messages of one datagram; what is cut off or makes no sense ends the list.
  public static func all(in bytes: [UInt8]) -> [NetlinkReply] {
    var out: [NetlinkReply] = []
    var offset = 0
    while let length = number(bytes, offset, 4), let type = number(bytes, offset + 4, 2),
      length >= NetlinkMessage.headerBytes, offset + length <= bytes.count
    {
      let body = Array(bytes[(offset + NetlinkMessage.headerBytes)..<(offset + length)])
      out.append(read(UInt16(type), body))
      offset += (length + 3) & ~3
    }
    return out
  }

  private static func read(_ type: UInt16, _ body: [UInt8]) -> NetlinkReply {
    switch type {
    case NetlinkNumbers.error:
      guard let code = number(body, 0, 4) else { return .other }
      return .result(-Int32(truncatingIfNeeded: code))
    case NetlinkNumbers.done: return .done
    case NetlinkNumbers.newLink: return link(body) ?? .other
    case NetlinkNumbers.newAddress: return address(body) ?? .other
    case NetlinkNumbers.newRoute: return route(body) ?? .other
    default: return .other
    }
  }

  private static func link(_ body: [UInt8]) -> NetlinkReply? {
    guard let index = number(body, 4, 4), let flags = number(body, 8, 4) else { return nil }
    let attributes = attributes(body, from: 16)
    let name = attributes[LinkRequests.nameAttribute].map {
      String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
    }
    let mtu = attributes[LinkRequests.mtuAttribute].flatMap { number($0, 0, 4) }
    return .link(
      Link(
        index: UInt32(index), name: name ?? "",
        hardware: attributes[LinkRequests.hardwareAttribute] ?? [], mtu: mtu ?? 0,
        isUp: flags & 1 != 0))
  }

  private static func address(_ body: [UInt8]) -> NetlinkReply? {
    guard let index = number(body, 4, 4) else { return nil }
    let attributes = attributes(body, from: 8)
    guard let address = (attributes[2] ?? attributes[1]).flatMap({ IPAddress(bytes: $0) }) else {
      return nil
    }
    return .address(address, index: UInt32(index))
  }

  private static func route(_ body: [UInt8]) -> NetlinkReply? {
    guard body.count >= 12 else { return nil }
    let attributes = attributes(body, from: 12)
    guard let network = attributes[1].flatMap({ IPAddress(bytes: $0) }),
      let destination = IPPrefix(network, length: Int(body[1])),
      let index = attributes[4].flatMap({ number($0, 0, 4) })
    else { return nil }
    return .route(
      Route(
        destination: destination, hop: attributes[5].flatMap { IPAddress(bytes: $0) },
        index: UInt32(index)))
  }

  /// The first of each type.
  private static func attributes(_ bytes: [UInt8], from start: Int) -> [UInt16: [UInt8]] {
    var out: [UInt16: [UInt8]] = [:]
    var offset = start
    while let length = number(bytes, offset, 2), let type = number(bytes, offset + 2, 2),
      length >= 4, offset + length <= bytes.count
    {
      let key = UInt16(type) & 0x3fff
      if out[key] == nil { out[key] = Array(bytes[(offset + 4)..<(offset + length)]) }
      offset += (length + 3) & ~3
    }
    return out
  }

  /// Little-endian; `nil` behind the end.
  private static func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> Int? {
    guard offset >= 0, offset + count <= bytes.count else { return nil }
    return (0..<count).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
  }
}
