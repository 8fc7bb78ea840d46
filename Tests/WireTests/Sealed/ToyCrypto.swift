import Base
import Wire

/// Keyed and checked like the real thing, and secure against nobody: sessions are tested here, the
/// cipher in RuntimeTests.
enum ToyCrypto {
  static func key(_ name: UInt64) -> PublicKey { PublicKey(words: (name, name, name, name)) }
  /// As SHA-256 would, but readable: the prefix is chosen by the test.
  static func id(_ name: UInt64) -> NodeID { NodeID(words: (name, name &* 7, 0, 1)) }

  static func sealed(_ me: PublicKey) -> SealedCrypto {
    SealedCrypto(
      agree: { peer in
        peer.words.0 == 0 ? nil : mix([min(me, peer).bytes, max(me, peer).bytes].flatMap { $0 })
      },
      derive: { secret, context in mix(secret + context) },
      seal: { key, counter, header, message in
        let box = xor(message, key, counter)
        return header + box + tag(key, counter, header + box)
      },
      open: { key, counter, datagram, headerBytes in
        let content = Array(datagram.dropLast(SealedFormat.tagBytes))
        guard tag(key, counter, content) == Array(datagram.suffix(SealedFormat.tagBytes)) else {
          return nil
        }
        return xor(Array(content[headerBytes...]), key, counter)
      })
  }

  private static func tag(_ key: [UInt8], _ counter: UInt64, _ content: [UInt8]) -> [UInt8] {
    Array(mix(key + content + [UInt8(truncatingIfNeeded: counter)]).prefix(SealedFormat.tagBytes))
  }

  private static func xor(_ message: [UInt8], _ key: [UInt8], _ counter: UInt64) -> [UInt8] {
    var stream = SeededGenerator(seed: word(mix(key)) ^ counter)
    return message.map { $0 ^ UInt8(truncatingIfNeeded: stream.next()) }
  }

  private static func mix(_ bytes: [UInt8]) -> [UInt8] {
    var state: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { state = (state ^ UInt64(byte)) &* 0x100_0000_01b3 }
    var generator = SeededGenerator(seed: state)
    return (0..<32).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
  }

  private static func word(_ bytes: [UInt8]) -> UInt64 {
    bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
  }
}

/// One end, at an address of its own.
struct Side {
  let name: UInt64
  let key: PublicKey
  let id: NodeID
  let address: IPEndpoint
  var sessions: SealedSessions
  var messages: [[UInt8]] = []
  var drops: [SealedDrop] = []

  init(_ name: UInt64, id: NodeID? = nil, seed: UInt64) {
    self.name = name
    key = ToyCrypto.key(name)
    self.id = id ?? ToyCrypto.id(name)
    address = IPEndpoint(IPAddress(v4: UInt32(truncatingIfNeeded: 0x0a00_0000 + name)), port: 7946)
    sessions = SealedSessions(
      me: self.id, crypto: ToyCrypto.sealed(key), rng: SeededGenerator(seed: seed))
  }

  mutating func admit(_ others: Side..., at now: Instant = .zero) {
    sessions.setPeers(others.map { ($0.id, $0.key) }, now: now)
  }

  /// The same peer after a restart: nothing is left but its key.
  func restarted(seed: UInt64) -> Side { Side(name, id: id, seed: seed) }
}

/// Two ends and everything that ever went between them.
struct Pair {
  var a: Side
  var b: Side
  var now = Instant(nanoseconds: 1_000_000_000)
  var recorded: [(toA: Bool, bytes: [UInt8])] = []
  /// Says which datagrams are lost, by their number.
  var isLost: (Int) -> Bool = { _ in false }

  init(_ a: Side, _ b: Side) {
    self.a = a
    self.b = b
    self.a.admit(b)
    self.b.admit(a)
  }

  init() { self.init(Side(1, seed: 11), Side(2, seed: 22)) }

  mutating func fromA(_ text: String) {
    var out: [OutgoingDatagram] = []
    a.sessions.seal(Array(text.utf8), to: b.id, at: b.address, now: now, into: &out)
    deliver(out)
  }

  mutating func fromB(_ text: String) {
    var out: [OutgoingDatagram] = []
    b.sessions.seal(Array(text.utf8), to: a.id, at: a.address, now: now, into: &out)
    deliver(out)
  }

  /// Delivers at once, with all that follows.
  mutating func deliver(_ datagrams: [OutgoingDatagram]) {
    var queue = datagrams
    while !queue.isEmpty {
      let next = queue.removeFirst()
      let toA = next.to == a.address
      recorded.append((toA, next.bytes))
      if isLost(recorded.count - 1) { continue }
      queue += arrive(next.bytes, toA: toA)
    }
  }

  /// Hands a datagram to one side; its answers are returned, not sent.
  mutating func arrive(_ bytes: [UInt8], toA: Bool) -> [OutgoingDatagram] {
    var out: [OutgoingDatagram] = []
    if toA {
      Self.take(a.sessions.open(bytes, from: b.address, now: now, into: &out), by: &a)
    } else {
      Self.take(b.sessions.open(bytes, from: a.address, now: now, into: &out), by: &b)
    }
    return out
  }

  mutating func poll(after delay: Duration) {
    now = now + delay
    var out: [OutgoingDatagram] = []
    a.sessions.poll(now: now, into: &out)
    b.sessions.poll(now: now, into: &out)
    deliver(out)
  }

  private static func take(_ opened: OpenedDatagram, by side: inout Side) {
    switch opened {
    case .message(_, let bytes): side.messages.append(bytes)
    case .handshake: break
    case .dropped(let reason): side.drops.append(reason)
    }
  }
}

func text(_ messages: [[UInt8]]) -> [String] {
  messages.map { String(decoding: $0, as: UTF8.self) }
}
