internal import Base

/// What a handshake datagram says, once opened.
struct HandshakeMessage: Hashable, Sendable {
  /// What makes the message belong here and now: from the initiator the responder's cookie (zeros in
  /// a hello), from the responder the initiator's salt. A recorded datagram has neither.
  var echo: [UInt8]
  var body: Body

  enum Body: Hashable, Sendable {
    /// The initiator asks for a cookie. As long as the answer, so that it amplifies nothing.
    case hello
    /// The responder's cookie: bound to the source address and the attempt, no state is kept.
    case challenge(cookie: [UInt8])
    /// The same, to a flight of an attempt that the responder knows nothing of: it restarted. A hello
    /// that someone says again never brings this about.
    case forgotten(cookie: [UInt8])
    case flight(Flight)
    /// The far side gave up; the sentence says why.
    case refusal(String)
  }

  /// A piece of the TLS byte stream of one side, and an acknowledgement of the other's.
  struct Flight: Hashable, Sendable {
    /// The session number at which the sender wants to receive.
    var session: UInt32
    /// Data lanes that the sender will send with.
    var lanes: UInt8
    /// Bytes of the other side's stream that arrived without a gap.
    var acknowledged: UInt32
    /// Where `bytes` start in the sender's stream. Empty bytes: an acknowledgement only.
    var offset: UInt32
    var bytes: [UInt8]
  }

  static let echoSize = 16
  static let cookieSize = 16
  static let leastSize = echoSize + 1
  static let noEcho = [UInt8](repeating: 0, count: echoSize)

  private enum Kind: UInt8 {
    case hello = 0
    case challenge = 1
    case flight = 2
    case refusal = 3
    case forgotten = 4
  }

  var encoded: [UInt8] {
    var writer = ByteWriter(reserving: TunnelLimits.handshakeDatagram)
    writer.raw(echo)
    switch body {
    case .hello:
      writer.u8(Kind.hello.rawValue)
      writer.raw([UInt8](repeating: 0, count: Self.cookieSize))
    case .challenge(let cookie):
      writer.u8(Kind.challenge.rawValue)
      writer.raw(cookie)
    case .forgotten(let cookie):
      writer.u8(Kind.forgotten.rawValue)
      writer.raw(cookie)
    case .flight(let flight):
      writer.u8(Kind.flight.rawValue)
      writer.u32(flight.session)
      writer.u8(flight.lanes)
      writer.u32(flight.acknowledged)
      writer.u32(flight.offset)
      writer.block(flight.bytes)
    case .refusal(let reason):
      writer.u8(Kind.refusal.rawValue)
      writer.block(Array(reason.utf8.prefix(TunnelLimits.reason)))
    }
    return writer.bytes
  }

  init(echo: [UInt8], body: Body) {
    self.echo = echo
    self.body = body
  }

  init(decoding bytes: [UInt8]) throws(WireError) {
    var reader = ByteReader(bytes)
    echo = try reader.bytes(Self.echoSize)
    guard let kind = Kind(rawValue: try reader.u8()) else { throw .malformed("message kind") }
    switch kind {
    case .hello:
      _ = try reader.bytes(Self.cookieSize)
      body = .hello
    case .challenge:
      body = .challenge(cookie: try reader.bytes(Self.cookieSize))
    case .forgotten:
      body = .forgotten(cookie: try reader.bytes(Self.cookieSize))
    case .flight:
      let flight = Flight(
        session: try reader.u32(), lanes: try reader.u8(), acknowledged: try reader.u32(),
        offset: try reader.u32(),
        bytes: try reader.block(limit: TunnelLimits.fragment, "fragment"))
      guard (1...TunnelLimits.lanes).contains(Int(flight.lanes)) else {
        throw .malformed("lanes")
      }
      guard Int(flight.offset) + flight.bytes.count <= TunnelLimits.flightBytes,
        Int(flight.acknowledged) <= TunnelLimits.flightBytes
      else { throw .overLimit("flight") }
      body = .flight(flight)
    case .refusal:
      // Shown to people: what is no text is replaced, control characters included.
      let raw = try reader.block(limit: TunnelLimits.reason, "reason")
      let text = String(decoding: raw, as: UTF8.self)
      body = .refusal(String(text.map { $0.isASCII && ($0 < " " || $0 == "\u{7f}") ? " " : $0 }))
    }
    try reader.finish()
  }
}
