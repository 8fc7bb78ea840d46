internal import Base

/// One admitted peer: what was proved of its present start, and what waits for that.
struct SealedPeer: Sendable {
  /// Both directions between two epochs, one of each side.
  struct Session: Sendable {
    var epoch: UInt64
    var sendKey: [UInt8]
    var receiveKey: [UInt8]
    var window = ReplayWindow()
  }

  struct Queued: Sendable {
    var message: [UInt8]
    var address: IPEndpoint
    var until: Instant
  }

  let id: NodeID
  let key: PublicKey
  /// Random, drawn when the peer was admitted in this process. A start anew or a second admission
  /// draws another, so that neither a nonce nor an old datagram ever counts twice.
  let ownEpoch: UInt64
  /// Of the next datagram to this peer.
  var counter: UInt64 = 1
  var secret: [UInt8]?

  /// `nil` until the peer has proved its epoch by our challenge.
  var session: Session?
  /// The peer has used our epoch, so it needs no further confirmation.
  var isHeard = false
  /// What the peer has to repeat; drawn anew whenever it did.
  var challenge: UInt64
  /// What we have to repeat.
  var peerChallenge: UInt64 = 0

  var queue: [Queued] = []
  var nextHello: Instant = .zero
  var helloDelay: Duration = SealedLimits.firstHelloDelay
  var answers: TokenBucket
  var healing: TokenBucket

  init(id: NodeID, key: PublicKey, now: Instant, using rng: inout SeededGenerator) {
    self.id = id
    self.key = key
    ownEpoch = rng.next() | 1
    challenge = rng.next()
    answers = TokenBucket(full: SealedLimits.handshakeBurst, at: now)
    healing = TokenBucket(full: SealedLimits.handshakeBurst, at: now)
  }

  mutating func nextCounter() -> UInt64 {
    // 2^64 datagrams take longer than any process lives.
    defer { counter &+= 1 }
    return counter
  }

  /// `nil` where the peer's key allows no agreement.
  mutating func sharedSecret(_ crypto: SealedCrypto) -> [UInt8]? {
    if secret == nil { secret = crypto.agree(key) }
    return secret
  }
}

/// Bounds of what is kept and sent for peers whose epoch is not known yet.
public enum SealedLimits {
  /// Messages that wait for one peer; the oldest gives way.
  public static let queuedMessages = 16
  /// Bytes that wait for all peers together.
  public static let queuedBytes = 1 << 20
  /// A probe or an announcement is of no use later.
  public static let queuedFor: Duration = .seconds(3)
  /// Peers with the same first 8 bytes of NodeID that are told apart by trying.
  public static let samePrefix = 4

  static let firstHelloDelay: Duration = .milliseconds(200)
  static let lastHelloDelay: Duration = .seconds(2)
  static let handshakeBurst = 8.0
  static let handshakesPerSecond = 4.0

  /// Datagrams of one source that did not open. Generous, since a source address can be forged too:
  /// shutting out an honest neighbour takes a flood, while the flood costs about 2 ms of a core a second.
  static let failureBurst = 2_000.0
  static let failuresPerSecond = 1_000.0
}
