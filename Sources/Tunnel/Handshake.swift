internal import Base

/// One attempt at a session: a TLS 1.3 handshake over sealed datagrams. It knows nothing of the
/// sessions that live beside it, and its failure touches none of them.
struct Handshake: Sendable {
  enum Phase: Hashable, Sendable {
    /// Initiator: asks every endpoint for a cookie until one answers.
    case hello
    /// TLS flights go back and forth.
    case flights
    /// TLS is done, the session exists, and nothing was heard under it yet.
    case finished
    /// Responder: repeats why it refused to whoever has not heard it.
    case refused(String)
  }

  let role: TLSRole
  let session: SessionID
  var phase: Phase
  /// Ours, and the key that it gives.
  let salt: [UInt8]
  private let sendKey: [UInt8]
  private var counter: UInt64 = 0
  /// Theirs, once it is known.
  private(set) var peerSalt: [UInt8]?
  private var receiveKey: [UInt8]?
  private var replay = ReplayWindow()
  /// The cookie (initiator), or the initiator's salt (responder).
  var echo: [UInt8]
  var target: TunnelTarget?
  private(set) var remoteSession: UInt32?
  private(set) var remoteLanes = 0
  var stream: FlightStream
  var tls: TLSEngine?
  let startedAt: Instant
  /// When it is given up; none in `hello`, which costs next to nothing.
  var deadline: Instant?
  var helloAt: Instant
  var helloInterval: Duration
  var hellos = 0
  /// Its session number is taken; false once a refusal gave it back.
  var holdsSlot = true
  /// A renewal was wanted when it began.
  var renews = false

  /// Initiator.
  init(
    initiating session: SessionID, keys: LinkKeys, roundTripTime: Duration?, timing: TunnelTiming,
    now: Instant, crypto: TunnelCrypto
  ) {
    role = .client
    self.session = session
    phase = .hello
    salt = crypto.random(HandshakeDatagram.saltSize)
    sendKey = keys.sendKey(salt: salt, crypto)
    echo = HandshakeMessage.noEcho
    stream = FlightStream(timing: timing, roundTripTime: roundTripTime)
    startedAt = now
    helloAt = now
    helloInterval = timing.helloInterval
  }

  /// Responder, at the first flight that carries a good cookie.
  init(
    responding session: SessionID, keys: LinkKeys, peerSalt: [UInt8], receiveKey: [UInt8],
    target: TunnelTarget, roundTripTime: Duration?, timing: TunnelTiming, now: Instant,
    crypto: TunnelCrypto
  ) {
    role = .server
    self.session = session
    phase = .flights
    salt = crypto.random(HandshakeDatagram.saltSize)
    sendKey = keys.sendKey(salt: salt, crypto)
    self.peerSalt = peerSalt
    self.receiveKey = receiveKey
    echo = peerSalt
    self.target = target
    stream = FlightStream(timing: timing, roundTripTime: roundTripTime)
    startedAt = now
    deadline = now + timing.handshakeTimeout
    helloAt = now
    helloInterval = timing.helloInterval
  }

  /// The key of datagrams under this salt, if it is the far side's in this attempt.
  func receiveKey(for salt: [UInt8]) -> [UInt8]? {
    peerSalt == salt ? receiveKey : nil
  }

  /// Initiator: the first flight or refusal of the responder settles its salt.
  mutating func settle(peerSalt: [UInt8], key: [UInt8]) {
    guard self.peerSalt == nil else { return }
    self.peerSalt = peerSalt
    receiveKey = key
  }

  /// Records a datagram of the far side; false for a repeated one.
  mutating func recordCounter(_ counter: UInt64) -> Bool {
    replay.record(counter)
  }

  /// The far side's session and lanes; false where they changed in the middle of the attempt.
  mutating func note(_ flight: HandshakeMessage.Flight) -> Bool {
    guard let remoteSession else {
      remoteSession = flight.session
      remoteLanes = Int(flight.lanes)
      return true
    }
    return remoteSession == flight.session && remoteLanes == Int(flight.lanes)
  }

  /// Seals a message; the counter never repeats.
  mutating func seal(
    _ body: HandshakeMessage.Body, keys: LinkKeys, crypto: TunnelCrypto
  ) -> [UInt8] {
    defer { counter += 1 }
    return HandshakeDatagram.seal(
      HandshakeMessage(echo: echo, body: body).encoded, tag: keys.sendTag, salt: salt,
      counter: counter, key: sendKey, crypto)
  }

  /// What the stream has to send now, sealed.
  mutating func flights(
    lanes: Int, keys: LinkKeys, now: Instant, crypto: TunnelCrypto
  ) -> [[UInt8]] {
    stream.datagrams(now: now).map { piece in
      let flight = HandshakeMessage.Flight(
        session: session.index, lanes: UInt8(lanes), acknowledged: UInt32(stream.received),
        offset: UInt32(piece.offset), bytes: piece.bytes)
      return seal(.flight(flight), keys: keys, crypto: crypto)
    }
  }

  /// When `tick` has something to do.
  var nextDeadline: Instant {
    switch phase {
    case .hello: helloAt
    case .flights, .finished:
      min(deadline ?? .distantFuture, stream.deadline ?? .distantFuture)
    case .refused: deadline ?? .distantFuture
    }
  }
}

/// Cookies of the responder: it keeps nothing of a hello, and a cookie fits one source address, one
/// attempt, a short time, and only until the link's next handshake begins.
struct CookieJar: Sendable {
  private let key: [UInt8]
  private static let period: Int64 = 60_000_000_000

  init(_ crypto: TunnelCrypto) {
    key = crypto.random(32)
  }

  func cookie(
    tag: UInt64, generation: UInt64, salt: [UInt8], source: TunnelTarget, now: Instant,
    crypto: TunnelCrypto, periodsAgo: Int64 = 0
  ) -> [UInt8] {
    var writer = ByteWriter(reserving: 80)
    writer.u64(tag)
    writer.u64(generation)
    writer.u64(UInt64(bitPattern: now.nanoseconds / Self.period - periodsAgo))
    writer.raw(salt)
    writer.raw(source.encoded)
    return Array(crypto.authenticate(key, writer.bytes).prefix(HandshakeMessage.cookieSize))
  }

  func accepts(
    _ cookie: [UInt8], tag: UInt64, generation: UInt64, salt: [UInt8], source: TunnelTarget,
    now: Instant, crypto: TunnelCrypto
  ) -> Bool {
    (0...1).contains { ago in
      self.cookie(
        tag: tag, generation: generation, salt: salt, source: source, now: now, crypto: crypto,
        periodsAgo: ago) == cookie
    }
  }
}
