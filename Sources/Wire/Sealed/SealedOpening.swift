public import Base

// MARK: - Receiving

extension SealedSessions {
  /// Opens a datagram; answers of the handshake, and messages that waited for it, go to `out`.
  ///
  /// What is not from an admitted peer costs a length check and a look into a table.
  public mutating func open(
    _ datagram: [UInt8], from source: IPEndpoint, now: Instant, into out: inout [OutgoingDatagram]
  ) -> OpenedDatagram {
    let header: SealedHeader
    do { header = try SealedHeader(reading: datagram) } catch { return count(error) }
    let candidates = candidates(header.sender)
    guard !candidates.isEmpty else { return count(.unknownSender) }
    guard sources.allows(source.address, now: now) else { return count(.sourceLimited) }

    for index in candidates {
      let outcome: Outcome? =
        switch header.kind {
        case .message, .confirmation: openMessage(datagram, header, by: index)
        case .hello: openHello(datagram, header, by: index, from: source, now: now, into: &out)
        case .helloAnswer: openAnswer(datagram, header, by: index, from: source, into: &out)
        }
      guard let outcome else { continue }
      return finish(outcome, of: index, from: source, now: now, into: &out)
    }
    sources.charge(source.address, now: now)
    // A hello names its sender's epoch and needs none of ours: when that does not open, no hello of
    // ours would help.
    if header.kind != .hello {
      for index in candidates { heal(index, at: source, now: now, into: &out) }
    }
    return count(.notAuthentic)
  }

  /// What an authentic datagram came to; `nil` stands for one that is not.
  private enum Outcome {
    case message([UInt8])
    /// The peer proved its epoch in passing: what waits for it may go.
    case firstMessage([UInt8])
    case handshake
    case dropped(SealedDrop)
  }

  private mutating func finish(
    _ outcome: Outcome, of index: Int, from source: IPEndpoint, now: Instant,
    into out: inout [OutgoingDatagram]
  ) -> OpenedDatagram {
    let id = peers[index].id
    switch outcome {
    case .message(let message):
      return message.isEmpty ? .handshake(from: id) : .message(from: id, message)
    case .firstMessage(let message):
      sendQueue(of: index, into: &out)
      return message.isEmpty ? .handshake(from: id) : .message(from: id, message)
    case .handshake:
      return .handshake(from: id)
    case .dropped(let reason):
      // The sender believes that we know its epoch; or somebody replays an old start of it.
      if reason == .unprovenEpoch { heal(index, at: source, now: now, into: &out) }
      return count(reason)
    }
  }

  private mutating func openMessage(
    _ datagram: [UInt8], _ header: SealedHeader, by index: Int
  ) -> Outcome? {
    if peers[index].session?.epoch == header.epoch, let key = peers[index].session?.receiveKey {
      guard peers[index].session?.window.accepts(header.counter) == true else {
        return .dropped(.replayed)
      }
      guard let content = open(datagram, header, key: key) else { return nil }
      guard let (_, message) = split(content, header.kind) else { return .dropped(.malformed) }
      peers[index].session?.window.record(header.counter)
      peers[index].isHeard = true
      return .message(message)
    }
    guard let key = key(of: index, from: .theirs, epoch: header.epoch),
      let content = open(datagram, header, key: key)
    else { return nil }
    guard let (challenge, message) = split(content, header.kind) else {
      return .dropped(.malformed)
    }
    guard challenge == peers[index].challenge else { return .dropped(.unprovenEpoch) }
    adopt(header.epoch, receiveKey: key, by: index)
    peers[index].session?.window.record(header.counter)
    // It sealed this for our epoch, so it knows it.
    peers[index].isHeard = true
    return .firstMessage(message)
  }

  /// Answers any hello of a peer, within bounds. Nothing is learned from one: it may be a replay.
  private mutating func openHello(
    _ datagram: [UInt8], _ header: SealedHeader, by index: Int, from source: IPEndpoint,
    now: Instant, into out: inout [OutgoingDatagram]
  ) -> Outcome? {
    guard let key = helloKey(of: index, epoch: header.epoch),
      let content = open(datagram, header, key: key)
    else { return nil }
    guard
      peers[index].answers.take(
        burst: SealedLimits.handshakeBurst, perSecond: SealedLimits.handshakesPerSecond, now: now)
    else { return .dropped(.handshakeLimited) }
    guard content.count == SealedFormat.challengeBytes else { return .dropped(.malformed) }
    var writer = ByteWriter()
    writer.raw(content)
    writer.u64(peers[index].challenge)
    guard let answerKey = self.key(of: index, from: .own, epoch: header.epoch) else { return nil }
    send(.helloAnswer, writer.bytes, key: answerKey, to: index, at: source, into: &out)
    return .handshake
  }

  private mutating func openAnswer(
    _ datagram: [UInt8], _ header: SealedHeader, by index: Int, from source: IPEndpoint,
    into out: inout [OutgoingDatagram]
  ) -> Outcome? {
    guard let key = key(of: index, from: .theirs, epoch: header.epoch),
      let content = open(datagram, header, key: key)
    else { return nil }
    guard content.count == 2 * SealedFormat.challengeBytes else { return .dropped(.malformed) }
    // An answer to an older hello, late or replayed; the one that counts was taken or will come.
    guard SealedHeader.word(content, at: 0) == peers[index].challenge else {
      return .dropped(.replayed)
    }
    if peers[index].session?.epoch != header.epoch {
      adopt(header.epoch, receiveKey: key, by: index)
    } else {
      peers[index].challenge = rng.next()
    }
    peers[index].peerChallenge = SealedHeader.word(content, at: SealedFormat.challengeBytes)
    peers[index].isHeard = false
    if peers[index].queue.isEmpty {
      sendMessage([], to: index, at: source, into: &out)
    } else {
      sendQueue(of: index, into: &out)
    }
    return .handshake
  }

  /// Takes an epoch that the peer has just proved to live in.
  private mutating func adopt(_ epoch: UInt64, receiveKey: [UInt8], by index: Int) {
    guard let sendKey = key(of: index, from: .own, epoch: epoch) else { return }
    peers[index].session = .init(epoch: epoch, sendKey: sendKey, receiveKey: receiveKey)
    peers[index].challenge = rng.next()
  }

  private mutating func helloKey(of index: Int, epoch: UInt64) -> [UInt8]? {
    guard let secret = peers[index].sharedSecret(crypto) else { return nil }
    return crypto.derive(
      secret,
      keyContext(sender: peers[index].id, receiver: me, senderEpoch: epoch, receiverEpoch: 0))
  }

  private mutating func heal(
    _ index: Int, at source: IPEndpoint, now: Instant, into out: inout [OutgoingDatagram]
  ) {
    guard
      peers[index].healing.take(
        burst: SealedLimits.handshakeBurst, perSecond: SealedLimits.handshakesPerSecond, now: now)
    else { return }
    sayHello(to: index, at: source, into: &out)
  }

  private func open(_ datagram: [UInt8], _ header: SealedHeader, key: [UInt8]) -> [UInt8]? {
    crypto.open(key, header.counter, datagram, SealedFormat.headerBytes)
  }

  /// The challenge of a confirmation (`nil` for a plain message), and the message.
  private func split(_ content: [UInt8], _ kind: SealedKind) -> (UInt64?, [UInt8])? {
    guard kind == .confirmation else { return (nil, content) }
    guard content.count >= SealedFormat.challengeBytes else { return nil }
    return (SealedHeader.word(content, at: 0), Array(content[SealedFormat.challengeBytes...]))
  }
}
