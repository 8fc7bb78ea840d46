internal import Base

extension TunnelControl {
  /// A handshake datagram of a known link. What does not open, comes twice or belongs to no attempt
  /// is counted and changes nothing.
  mutating func receive(
    _ bytes: [UInt8], from origin: TunnelSource, _ now: Instant, _ effects: inout [TunnelEffect]
  ) {
    guard let datagram = try? HandshakeDatagram(bytes) else {
      return refuse(.malformed, &effects)
    }
    guard let number = tags[datagram.tag], let link = links[number] else {
      return refuse(.unknownLink, &effects)
    }
    // Answers go back the way that this came.
    let source: TunnelTarget
    switch origin {
    case .address(let endpoint): source = .address(endpoint)
    case .relay(let relay) where isRelay(relay, for: number):
      source = .relay(link: relay, addressee: link.address)
    case .relay: return refuse(.noRelay, &effects)
    }
    let key =
      link.initiating?.receiveKey(for: datagram.salt)
      ?? link.responding?.receiveKey(for: datagram.salt)
      ?? link.keys.receiveKey(salt: datagram.salt, crypto)
    guard let text = datagram.open(key, crypto) else { return refuse(.forged, &effects) }
    guard let message = try? HandshakeMessage(decoding: text) else {
      return refuse(.malformed, &effects)
    }
    switch message.body {
    case .hello:
      answerHello(number, datagram, from: source, now, &effects)
    case .challenge(let cookie):
      challenged(number, message.echo, cookie, from: source, now, &effects)
    case .forgotten(let cookie):
      forgotten(number, message.echo, cookie, from: source, now, &effects)
    case .flight(let flight):
      if message.echo == link.initiating?.salt {
        initiatorFlight(number, datagram, key, flight, now, &effects)
      } else {
        responderFlight(number, datagram, key, message.echo, flight, from: source, now, &effects)
      }
    case .refusal(let reason):
      refused(number, datagram, key, message.echo, reason, now, &effects)
    }
  }

  private func refuse(_ reason: TunnelDrop, _ effects: inout [TunnelEffect]) {
    effects.append(.event(.refusedDatagram(reason)))
  }

  /// Our own attempt goes first: it got an answer, and we are the one to initiate.
  private func prefersOwnAttempt(_ link: Link) -> Bool {
    guard link.initiates, let own = link.initiating else { return false }
    return own.phase != .hello
  }

  /// Answers with a cookie and keeps nothing.
  private mutating func answerHello(
    _ number: Int, _ datagram: HandshakeDatagram, from source: TunnelTarget, _ now: Instant,
    _ effects: inout [TunnelEffect]
  ) {
    guard let link = links[number] else { return }
    if prefersOwnAttempt(link), var own = link.initiating {
      // The far side may have restarted in the middle of our attempt: asked again, it says so.
      own.stream.hurry(now)
      send(&own, link, now, &effects)
      links[number]?.initiating = own
      return
    }
    sendCookie(link, datagram, to: source, now, &effects) { .challenge(cookie: $0) }
  }

  private func sendCookie(
    _ link: Link, _ datagram: HandshakeDatagram, to source: TunnelTarget, _ now: Instant,
    _ effects: inout [TunnelEffect], in body: ([UInt8]) -> HandshakeMessage.Body
  ) {
    let cookie = cookies.cookie(
      tag: datagram.tag, generation: link.generation, salt: datagram.salt, source: source,
      now: now, crypto: crypto)
    let salt = crypto.random(HandshakeDatagram.saltSize)
    let answer = HandshakeDatagram.seal(
      HandshakeMessage(echo: datagram.salt, body: body(cookie)).encoded,
      tag: link.keys.sendTag, salt: salt, counter: 0,
      key: link.keys.sendKey(salt: salt, crypto), crypto)
    effects.append(.send(answer, to: source))
  }

  /// Initiator: the far side is there, and TLS begins.
  private mutating func challenged(
    _ number: Int, _ echo: [UInt8], _ cookie: [UInt8], from source: TunnelTarget, _ now: Instant,
    _ effects: inout [TunnelEffect]
  ) {
    guard let link = links[number], var handshake = link.initiating, echo == handshake.salt,
      handshake.phase == .hello
    else { return refuse(.replayed, &effects) }
    handshake.phase = .flights
    handshake.echo = cookie
    handshake.target = source
    handshake.deadline = now + timing.handshakeTimeout
    links[number]?.initiating = handshake
    begin(\.initiating, number, now, &effects)
  }

  /// Initiator: the far side restarted in the middle of our attempt, which begins anew.
  private mutating func forgotten(
    _ number: Int, _ echo: [UInt8], _ cookie: [UInt8], from source: TunnelTarget, _ now: Instant,
    _ effects: inout [TunnelEffect]
  ) {
    guard let handshake = links[number]?.initiating, echo == handshake.salt,
      handshake.phase != .hello, cookie != handshake.echo, source == handshake.target
    else { return refuse(.replayed, &effects) }
    abandon(\.initiating, number, &effects)
    initiate(number, now, &effects)
  }

  private mutating func initiatorFlight(
    _ number: Int, _ datagram: HandshakeDatagram, _ key: [UInt8],
    _ flight: HandshakeMessage.Flight, _ now: Instant, _ effects: inout [TunnelEffect]
  ) {
    guard var handshake = links[number]?.initiating,
      handshake.phase == .flights || handshake.phase == .finished,
      handshake.peerSalt == nil || handshake.peerSalt == datagram.salt
    else { return refuse(.replayed, &effects) }
    handshake.settle(peerSalt: datagram.salt, key: key)
    guard handshake.recordCounter(datagram.counter) else { return refuse(.replayed, &effects) }
    guard handshake.note(flight) else { return refuse(.malformed, &effects) }
    links[number]?.initiating = handshake
    take(flight, \.initiating, number, now, &effects)
  }

  private mutating func responderFlight(
    _ number: Int, _ datagram: HandshakeDatagram, _ key: [UInt8], _ cookie: [UInt8],
    _ flight: HandshakeMessage.Flight, from source: TunnelTarget, _ now: Instant,
    _ effects: inout [TunnelEffect]
  ) {
    guard let link = links[number] else { return }
    if link.responding?.peerSalt != datagram.salt {
      let fits = cookies.accepts(
        cookie, tag: datagram.tag, generation: link.generation, salt: datagram.salt,
        source: source, now: now, crypto: crypto)
      guard fits else {
        refuse(.replayed, &effects)
        // A cookie of our process before this one, or a stale one: the far side gets a new one. Not
        // for an attempt that came to its end here, whose datagrams may still be under way.
        if datagram.salt != link.respondedTo {
          sendCookie(link, datagram, to: source, now, &effects) { .forgotten(cookie: $0) }
        }
        return
      }
      guard !prefersOwnAttempt(link) else { return }
      // The other side goes first, or ours got no answer: one handshake at a time.
      abandon(\.initiating, number, &effects)
      abandon(\.responding, number, &effects)
      guard let id = allocateSession() else { return }
      let handshake = Handshake(
        responding: id, keys: link.keys, peerSalt: datagram.salt, receiveKey: key,
        target: source, roundTripTime: session(link.active)?.liveness.smoothed, timing: timing,
        now: now, crypto: crypto)
      links[number]?.generation += 1
      links[number]?.respondedTo = datagram.salt
      links[number]?.responding = handshake
      guard begin(\.responding, number, now, &effects) else { return }
    }
    guard var handshake = links[number]?.responding else { return }
    guard handshake.recordCounter(datagram.counter) else { return refuse(.replayed, &effects) }
    if case .refused(let reason) = handshake.phase {
      links[number]?.responding = handshake
      return repeatRefusal(number, reason, &effects)
    }
    guard handshake.note(flight) else { return refuse(.malformed, &effects) }
    links[number]?.responding = handshake
    take(flight, \.responding, number, now, &effects)
  }

  private mutating func repeatRefusal(
    _ number: Int, _ reason: String, _ effects: inout [TunnelEffect]
  ) {
    guard let link = links[number], var handshake = link.responding,
      let target = handshake.target
    else { return }
    let message = handshake.seal(.refusal(reason), keys: link.keys, crypto: crypto)
    links[number]?.responding = handshake
    effects.append(.send(message, to: target))
  }

  private mutating func refused(
    _ number: Int, _ datagram: HandshakeDatagram, _ key: [UInt8], _ echo: [UInt8],
    _ reason: String, _ now: Instant, _ effects: inout [TunnelEffect]
  ) {
    let text = "the far side refused: \(reason)"
    if var handshake = links[number]?.initiating, echo == handshake.salt,
      handshake.peerSalt == nil || handshake.peerSalt == datagram.salt
    {
      handshake.settle(peerSalt: datagram.salt, key: key)
      guard handshake.recordCounter(datagram.counter) else { return refuse(.replayed, &effects) }
      links[number]?.initiating = handshake
      fail(\.initiating, number, text, tell: false, now, &effects)
    } else if var handshake = links[number]?.responding, handshake.peerSalt == datagram.salt {
      guard handshake.recordCounter(datagram.counter) else { return refuse(.replayed, &effects) }
      links[number]?.responding = handshake
      guard !Self.isRefused(handshake) else { return }
      fail(\.responding, number, text, tell: false, now, &effects)
    } else {
      refuse(.replayed, &effects)
    }
  }

  // MARK: TLS

  /// Makes the engine of an attempt and, as client, sends the first flight.
  @discardableResult
  private mutating func begin(
    _ attempt: WritableKeyPath<Link, Handshake?>, _ number: Int, _ now: Instant,
    _ effects: inout [TunnelEffect]
  ) -> Bool {
    guard let link = links[number], let handshake = link[keyPath: attempt] else { return false }
    switch provider.make(handshake.role, link.config.id) {
    case .failure(let failure):
      fail(attempt, number, failure.reason, tell: true, now, &effects)
      return false
    case .success(let engine):
      // Whatever leaf was waiting to be used is used by this engine.
      links[number]?[keyPath: attempt]?.renews = link.wantsRenewal
      links[number]?.wantsRenewal = false
      links[number]?[keyPath: attempt]?.tls = engine
      if handshake.role == .client { drive(attempt, number, [], now, &effects) }
      return true
    }
  }

  private mutating func take(
    _ flight: HandshakeMessage.Flight, _ attempt: WritableKeyPath<Link, Handshake?>,
    _ number: Int, _ now: Instant, _ effects: inout [TunnelEffect]
  ) {
    let ready = links[number]?[keyPath: attempt]?.stream.receive(
      offset: Int(flight.offset), bytes: flight.bytes, acknowledged: Int(flight.acknowledged),
      now: now)
    drive(attempt, number, ready ?? [], now, &effects)
  }

  /// Feeds TLS, sends what it says, and acts on where it stands.
  private mutating func drive(
    _ attempt: WritableKeyPath<Link, Handshake?>, _ number: Int, _ bytes: [UInt8],
    _ now: Instant, _ effects: inout [TunnelEffect]
  ) {
    guard let link = links[number], var handshake = link[keyPath: attempt] else { return }
    var progress: TLSProgress?
    if !bytes.isEmpty || handshake.role == .client && handshake.stream.received == 0 {
      progress = handshake.tls?.advance(bytes)
    }
    var fits = true
    var failure: String?
    if case .failed(let reason) = progress?.state { failure = reason }
    // A refusal says more than a TLS alert, and it is repeated to whoever has not heard it.
    if let progress, failure == nil { fits = handshake.stream.write(progress.output) }
    // Keys before the flight that lets the far side use them.
    if case .finished(let peer) = progress?.state, handshake.phase == .flights {
      handshake.phase = .finished
      links[number]?[keyPath: attempt] = handshake
      guard openSession(handshake, number, peer, now, &effects) else {
        return fail(
          attempt, number, "TLS gave no keying material", tell: true, now, &effects)
      }
    }
    send(&handshake, link, now, &effects)
    links[number]?[keyPath: attempt] = handshake
    if isOpen(handshake.session) { tickSession(handshake.session, now, &effects) }
    if let failure {
      fail(attempt, number, failure, tell: true, now, &effects)
    } else if !fits {
      fail(attempt, number, "the TLS flight is too long", tell: true, now, &effects)
    }
  }

  /// Sends what an attempt's stream has due.
  mutating func send(
    _ handshake: inout Handshake, _ link: Link, _ now: Instant,
    _ effects: inout [TunnelEffect]
  ) {
    guard let target = handshake.target else { return }
    for datagram in handshake.flights(
      lanes: sendLanes, keys: link.keys, now: now, crypto: crypto)
    {
      effects.append(.send(datagram, to: target))
    }
  }

  /// Gives an attempt up. Sessions beside it stay as they are; a session that came of it and was
  /// never heard ends.
  mutating func fail(
    _ attempt: WritableKeyPath<Link, Handshake?>, _ number: Int, _ reason: String, tell: Bool,
    _ now: Instant, _ effects: inout [TunnelEffect]
  ) {
    guard let link = links[number], var handshake = link[keyPath: attempt] else { return }
    if tell, let target = handshake.target {
      effects.append(
        .send(handshake.seal(.refusal(reason), keys: link.keys, crypto: crypto), to: target))
    }
    if tell, handshake.role == .server {
      // Kept for a while to say it again, without the session.
      abandon(attempt, number, &effects)
      handshake.phase = .refused(reason)
      handshake.holdsSlot = false
      handshake.tls = nil
      links[number]?[keyPath: attempt] = handshake
    } else {
      abandon(attempt, number, &effects)
    }
    links[number]?.failures += 1
    links[number]?.failedHandshakes += 1
    links[number]?.lastError = reason
    let exponent = min(links[number]?.failures ?? 1, 16)
    let delay = min(timing.retryAfter * (1 << exponent), timing.retryMost)
    let next = now + jittered(delay)
    links[number]?.nextAttempt = next
    effects.append(.event(.handshakeFailed(link.config.id, reason: reason)))
  }
}
