internal import Base

/// What the two ends of a session tell each other under the session's own keys.
enum SessionMessage: Hashable, Sendable {
  /// Says nothing: the authenticated packet that shows a switch of epoch or session.
  case nothing
  case probe(number: UInt64)
  /// With the address that the probe came from, where it came directly.
  case answer(number: UInt64, observed: IPEndpoint? = nil)
  /// The initiator's share for the next epoch.
  case propose(epoch: UInt64, share: [UInt8])
  /// The responder's: it can receive that epoch now.
  case accept(epoch: UInt64, share: [UInt8])
  /// The responder would like the epoch behind this one.
  case ask(epoch: UInt64)
  case close(String)
  /// Is there somebody at this address who holds the session's keys?
  case challenge(token: [UInt8])
  case response(token: [UInt8])

  private enum Kind: UInt8 {
    case nothing = 0
    case probe = 1
    case answer = 2
    case propose = 3
    case accept = 4
    case ask = 5
    case close = 6
    case challenge = 7
    case response = 8
  }

  static let shareSize = 32
  static let tokenSize = 8

  var encoded: [UInt8] {
    var writer = ByteWriter()
    func kind(_ kind: Kind) { writer.u8(kind.rawValue) }
    switch self {
    case .nothing:
      kind(.nothing)
    case .probe(let number):
      kind(.probe)
      writer.u64(number)
    case .answer(let number, let observed):
      kind(.answer)
      writer.u64(number)
      let address = observed?.address.bytes ?? []
      writer.u8(UInt8(address.count))
      writer.raw(address)
      writer.u16(observed?.port ?? 0)
    case .propose(let epoch, let share):
      kind(.propose)
      writer.u64(epoch)
      writer.raw(share)
    case .accept(let epoch, let share):
      kind(.accept)
      writer.u64(epoch)
      writer.raw(share)
    case .ask(let epoch):
      kind(.ask)
      writer.u64(epoch)
    case .close(let reason):
      kind(.close)
      writer.block(Array(reason.utf8.prefix(TunnelLimits.reason)))
    case .challenge(let token):
      kind(.challenge)
      writer.raw(token)
    case .response(let token):
      kind(.response)
      writer.raw(token)
    }
    return writer.bytes
  }

  /// A probe of a path's size: with it the datagram has `size` bytes.
  static func padded(probe number: UInt64, datagram size: Int) -> [UInt8] {
    let message = SessionMessage.probe(number: number).encoded
    let padding = size - PacketHeader.overhead - message.count
    return message + [UInt8](repeating: 0, count: max(0, padding))
  }

  /// Probes may be padded to try a path's size, so bytes behind a probe are ignored.
  init(decoding bytes: [UInt8]) throws(WireError) {
    var reader = ByteReader(bytes)
    guard let kind = Kind(rawValue: try reader.u8()) else { throw .malformed("message kind") }
    switch kind {
    case .nothing: self = .nothing
    case .probe:
      self = .probe(number: try reader.u64())
      return
    case .answer:
      let number = try reader.u64()
      let count = Int(try reader.u8())
      guard [0, 4, 16].contains(count) else { throw .malformed("address") }
      let address = IPAddress(bytes: try reader.bytes(count))
      let port = try reader.u16()
      self = .answer(number: number, observed: address.map { IPEndpoint($0, port: port) })
    case .propose: self = .propose(epoch: try reader.u64(), share: try reader.bytes(32))
    case .accept: self = .accept(epoch: try reader.u64(), share: try reader.bytes(32))
    case .ask: self = .ask(epoch: try reader.u64())
    case .close:
      let raw = try reader.block(limit: TunnelLimits.reason, "reason")
      self = .close(String(decoding: raw, as: UTF8.self))
    case .challenge: self = .challenge(token: try reader.bytes(Self.tokenSize))
    case .response: self = .response(token: try reader.bytes(Self.tokenSize))
    }
    try reader.finish()
  }
}
