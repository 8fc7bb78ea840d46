public import Base

/// A datagram for the socket.
public struct OutgoingDatagram: Hashable, Sendable {
  public var to: IPEndpoint
  public var bytes: [UInt8]

  public init(to: IPEndpoint, bytes: [UInt8]) {
    self.to = to
    self.bytes = bytes
  }
}

/// What came of a datagram.
public enum OpenedDatagram: Hashable, Sendable {
  case message(from: NodeID, [UInt8])
  /// Authentic and for the sessions alone.
  case handshake(from: NodeID)
  case dropped(SealedDrop)
}

/// Authenticated, encrypted, replay-proof datagrams between admitted peers, without a connection.
///
/// A peer's Ed25519 key is all that is needed to reach it. Messages flow once each side has proved to
/// the other, by repeating a challenge, that its epoch is of its present start:
///
///     A → B  hello {a}                 sealed for epoch 0
///     B → A  answer {a, b}             sealed for A's epoch; B's epoch is in the header, proved by a
///     A → B  confirmation {b} message  sealed for B's epoch; A's epoch proved by b
///
/// So a message that was recorded in any earlier start of either side is refused, whatever is replayed
/// around it. A side that cannot open what a known peer sent says hello itself, so a restart heals
/// within about a round trip. Keys are static (no forward secrecy): what travels here is gossip that
/// every member may read; streams and tunnels use TLS.
///
/// Sans-IO: `seal`, `open` and `poll` append datagrams for the caller to send.
public struct SealedSessions: Sendable {
  public let me: NodeID
  let crypto: SealedCrypto
  var rng: SeededGenerator

  var peers: [SealedPeer] = []
  private var byID: [NodeID: Int] = [:]
  private var byPrefix: [UInt64: [Int]] = [:]
  /// Peers with a queue, in the order in which they began to wait.
  var waiting: [NodeID] = []
  var queuedBytes = 0
  var sources: SourceLimiter

  /// Datagrams dropped, by reason.
  public private(set) var drops: [SealedDrop: UInt64] = [:]
  /// Messages given up in the queue: too many, too old, or their peer is gone.
  public private(set) var expiredMessages: UInt64 = 0

  /// `rng` has to be seeded from the operating system: epochs come from it.
  public init(me: NodeID, crypto: SealedCrypto, rng: SeededGenerator) {
    self.me = me
    self.crypto = crypto
    self.rng = rng
    sources = SourceLimiter(
      secret: self.rng.next(), burst: SealedLimits.failureBurst,
      perSecond: SealedLimits.failuresPerSecond)
  }

  /// The peers that the signed state admits now. Sessions of those that stay are kept, all of those
  /// that go is forgotten at once.
  public mutating func setPeers(_ admitted: [(id: NodeID, key: PublicKey)], now: Instant) {
    var next: [SealedPeer] = []
    next.reserveCapacity(admitted.count)
    var index: [NodeID: Int] = [:]
    for (id, key) in admitted where id != me && index[id] == nil {
      index[id] = next.count
      if let known = byID[id], peers[known].key == key {
        next.append(peers[known])
      } else {
        next.append(SealedPeer(id: id, key: key, now: now, using: &rng))
      }
    }
    peers = next
    byID = index
    byPrefix = Dictionary(grouping: peers.indices, by: { peers[$0].id.words.0 })
    waiting.removeAll { id in index[id].map { next[$0].queue.isEmpty } ?? true }
    let kept = next.reduce(0) { $0 + $1.queue.reduce(0) { $0 + $1.message.count } }
    queuedBytes = kept
  }

  /// Whether a message would go out at once.
  public func isEstablished(with id: NodeID) -> Bool {
    byID[id].map { peers[$0].session != nil } ?? false
  }

  /// Seals a message, or says hello and keeps the message until the peer has proved its epoch.
  ///
  /// - Returns: `false`, and nothing is sent, where the peer is not admitted, its key allows no
  ///   agreement, or the message is longer than `SealedFormat.maximumMessage`.
  @discardableResult
  public mutating func seal(
    _ message: [UInt8], to id: NodeID, at address: IPEndpoint, now: Instant,
    into out: inout [OutgoingDatagram]
  ) -> Bool {
    guard message.count <= SealedFormat.maximumMessage, let index = byID[id],
      peers[index].sharedSecret(crypto) != nil
    else { return false }
    if peers[index].session != nil {
      sendMessage(message, to: index, at: address, into: &out)
    } else {
      enqueue(message, to: index, at: address, now: now)
      sayHelloIfDue(to: index, at: address, now: now, into: &out)
    }
    return true
  }

  /// When `poll` has something to do next.
  public var nextDeadline: Instant? {
    var earliest: Instant?
    for id in waiting {
      guard let index = byID[id], let oldest = peers[index].queue.first else { continue }
      let due = min(oldest.until, peers[index].nextHello)
      if earliest.map({ due < $0 }) ?? true { earliest = due }
    }
    return earliest
  }

  /// Says hello again where messages wait, and gives up those that waited too long.
  public mutating func poll(now: Instant, into out: inout [OutgoingDatagram]) {
    for id in waiting {
      guard let index = byID[id] else { continue }
      while let oldest = peers[index].queue.first, oldest.until <= now {
        giveUpOldest(of: index)
      }
      if let newest = peers[index].queue.last {
        sayHelloIfDue(to: index, at: newest.address, now: now, into: &out)
      }
    }
    waiting.removeAll { id in byID[id].map { peers[$0].queue.isEmpty } ?? true }
  }

  func candidates(_ prefix: UInt64) -> ArraySlice<Int> {
    (byPrefix[prefix] ?? []).prefix(SealedLimits.samePrefix)
  }

  mutating func count(_ reason: SealedDrop) -> OpenedDatagram {
    drops[reason, default: 0] += 1
    return .dropped(reason)
  }
}

// MARK: - Sending

extension SealedSessions {
  mutating func sendMessage(
    _ message: [UInt8], to index: Int, at address: IPEndpoint, into out: inout [OutgoingDatagram]
  ) {
    guard let session = peers[index].session else { return }
    if peers[index].isHeard {
      send(.message, message, key: session.sendKey, to: index, at: address, into: &out)
    } else {
      var writer = ByteWriter(reserving: SealedFormat.challengeBytes + message.count)
      writer.u64(peers[index].peerChallenge)
      writer.raw(message)
      send(.confirmation, writer.bytes, key: session.sendKey, to: index, at: address, into: &out)
    }
  }

  mutating func sayHello(to index: Int, at address: IPEndpoint, into out: inout [OutgoingDatagram])
  {
    guard let key = key(of: index, from: .own, epoch: 0) else { return }
    var writer = ByteWriter()
    writer.u64(peers[index].challenge)
    send(.hello, writer.bytes, key: key, to: index, at: address, into: &out)
  }

  mutating func send(
    _ kind: SealedKind, _ content: [UInt8], key: [UInt8], to index: Int, at address: IPEndpoint,
    into out: inout [OutgoingDatagram]
  ) {
    let counter = peers[index].nextCounter()
    let header = SealedHeader(
      kind: kind, sender: me.words.0, epoch: peers[index].ownEpoch, counter: counter)
    out.append(
      OutgoingDatagram(to: address, bytes: crypto.seal(key, counter, header.bytes, content)))
  }

  enum Direction { case own, theirs }

  /// The key for one direction between our epoch and theirs; a hello has 0 for its receiver's.
  mutating func key(of index: Int, from direction: Direction, epoch: UInt64) -> [UInt8]? {
    guard let secret = peers[index].sharedSecret(crypto) else { return nil }
    return crypto.derive(
      secret,
      keyContext(
        sender: direction == .own ? me : peers[index].id,
        receiver: direction == .own ? peers[index].id : me,
        senderEpoch: direction == .own ? peers[index].ownEpoch : epoch,
        receiverEpoch: direction == .own ? epoch : peers[index].ownEpoch))
  }

  func keyContext(
    sender: NodeID, receiver: NodeID, senderEpoch: UInt64, receiverEpoch: UInt64
  ) -> [UInt8] {
    var writer = ByteWriter(reserving: SealedFormat.keyContext.count + 80)
    writer.raw(SealedFormat.keyContext)
    writer.bytes32(sender)
    writer.bytes32(receiver)
    writer.u64(senderEpoch)
    writer.u64(receiverEpoch)
    return writer.bytes
  }

  private mutating func enqueue(
    _ message: [UInt8], to index: Int, at address: IPEndpoint, now: Instant
  ) {
    if peers[index].queue.count == SealedLimits.queuedMessages { giveUpOldest(of: index) }
    guard queuedBytes + message.count <= SealedLimits.queuedBytes else {
      expiredMessages += 1
      return
    }
    if peers[index].queue.isEmpty, !waiting.contains(peers[index].id) {
      waiting.append(peers[index].id)
    }
    queuedBytes += message.count
    peers[index].queue.append(
      .init(message: message, address: address, until: now + SealedLimits.queuedFor))
  }

  private mutating func giveUpOldest(of index: Int) {
    queuedBytes -= peers[index].queue.removeFirst().message.count
    expiredMessages += 1
  }

  private mutating func sayHelloIfDue(
    to index: Int, at address: IPEndpoint, now: Instant, into out: inout [OutgoingDatagram]
  ) {
    guard now >= peers[index].nextHello else { return }
    sayHello(to: index, at: address, into: &out)
    let delay = peers[index].helloDelay
    let jitter = Int64.random(in: 0...max(delay.nanoseconds / 4, 1), using: &rng)
    peers[index].nextHello = now + delay + .nanoseconds(jitter)
    peers[index].helloDelay = min(delay * 2, SealedLimits.lastHelloDelay)
  }

  mutating func sendQueue(of index: Int, into out: inout [OutgoingDatagram]) {
    let queue = peers[index].queue
    peers[index].queue = []
    peers[index].helloDelay = SealedLimits.firstHelloDelay
    peers[index].nextHello = .zero
    let id = peers[index].id
    waiting.removeAll { $0 == id }
    for entry in queue {
      queuedBytes -= entry.message.count
      sendMessage(entry.message, to: index, at: entry.address, into: &out)
    }
  }
}
