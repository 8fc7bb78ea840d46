import Base
import Testing

@testable import Wire

@Suite("Bounds of sealed datagrams")
struct SealedLimitsTests {
  @Test("the longest message fits a datagram, a longer one is refused")
  func sizes() {
    var pair = Pair()
    var out: [OutgoingDatagram] = []
    let longest = [UInt8](repeating: 7, count: SealedFormat.maximumMessage)
    #expect(
      pair.a.sessions.seal(
        longest, to: pair.b.id, at: pair.b.address, now: pair.now, into: &out))
    pair.deliver(out)
    #expect(pair.b.messages == [longest])
    #expect(pair.recorded.allSatisfy { $0.bytes.count <= SealedFormat.maximumDatagram })
    #expect(pair.recorded.contains { $0.bytes.count == SealedFormat.maximumDatagram })
    #expect(
      !pair.a.sessions.seal(
        longest + [0], to: pair.b.id, at: pair.b.address, now: pair.now, into: &out))
  }

  @Test("any bytes are dropped without a trap, each with its reason")
  func garbage() {
    var pair = Pair()
    pair.fromA("x")
    var rng = SeededGenerator(seed: 8)
    for _ in 0..<20_000 {
      var bytes = (0..<Int.random(in: 0...1_300, using: &rng)).map { _ in
        UInt8.random(in: 0...255, using: &rng)
      }
      if bytes.count > 9, Bool.random(using: &rng) {
        bytes.replaceSubrange(
          0..<9, with: [0x10 | UInt8.random(in: 0...4, using: &rng)] + pair.a.id.bytes.prefix(8))
      }
      _ = pair.arrive(bytes, toA: false)
    }
    #expect(pair.b.messages.count == 1)
    #expect(pair.b.drops.count == 20_000)
    let reasons = Set(pair.b.drops)
    for reason: SealedDrop in [
      .tooShort, .tooLong, .unknownVersion, .unknownSender, .notAuthentic, .sourceLimited,
    ] {
      #expect(reasons.contains(reason), "\(reason)")
    }
    #expect(pair.b.sessions.drops.values.reduce(0, +) == 20_000)
  }

  @Test("forged datagrams draw a bounded number of hellos")
  func healingIsBounded() {
    var pair = Pair()
    var answers = 0
    for number in 0..<1_000 {
      let forged =
        SealedHeader(
          kind: .message, sender: pair.a.id.words.0, epoch: 5, counter: UInt64(number)
        ).bytes + [UInt8](repeating: 0, count: 40)
      answers += pair.arrive(forged, toA: false).count
      pair.now = pair.now + .milliseconds(1)
    }
    #expect((1...12).contains(answers))
  }

  @Test("messages that wait are bounded in number and in time")
  func queue() {
    var pair = Pair()
    pair.isLost = { _ in true }
    for number in 0..<100 { pair.fromA("\(number)") }
    #expect(pair.a.sessions.expiredMessages == UInt64(100 - SealedLimits.queuedMessages))
    #expect(pair.a.sessions.nextDeadline != nil)
    pair.poll(after: .seconds(10))
    #expect(pair.a.sessions.nextDeadline == nil)
    #expect(pair.a.sessions.expiredMessages == 100)
    pair.isLost = { _ in false }
    pair.fromA("now")
    #expect(text(pair.b.messages) == ["now"])
  }

  @Test("all that wait together are bounded in bytes, and an expelled peer's are given back")
  func queuedBytes() {
    var me = Side(1, seed: 1)
    let others = (10..<200).map { Side(UInt64($0), seed: UInt64($0)) }
    me.sessions.setPeers(others.map { ($0.id, $0.key) }, now: .zero)
    let message = [UInt8](repeating: 1, count: 1_000)
    var out: [OutgoingDatagram] = []
    for _ in 0..<8 {
      for other in others {
        me.sessions.seal(message, to: other.id, at: other.address, now: .zero, into: &out)
      }
    }
    #expect(me.sessions.queuedBytes <= SealedLimits.queuedBytes)
    #expect(me.sessions.queuedBytes > SealedLimits.queuedBytes - 2_000)
    me.sessions.setPeers([], now: .zero)
    #expect(me.sessions.queuedBytes == 0)
    #expect(me.sessions.nextDeadline == nil)
  }

  @Test("a peer whose key allows no agreement is not sent to, and costs nothing")
  func badKey() {
    var me = Side(1, seed: 1)
    me.sessions.setPeers([(ToyCrypto.id(9), PublicKey(words: (0, 0, 0, 0)))], now: .zero)
    var out: [OutgoingDatagram] = []
    let address = IPEndpoint(IPAddress(v4: 1), port: 1)
    #expect(!me.sessions.seal([1], to: ToyCrypto.id(9), at: address, now: .zero, into: &out))
    #expect(out.isEmpty)
  }

  @Test("the replay window takes each counter once, in any order within its size")
  func window() {
    var rng = SeededGenerator(seed: 1)
    var window = ReplayWindow()
    var seen: Set<UInt64> = []
    var greatest: UInt64 = 0
    for _ in 0..<50_000 {
      let base = greatest
      let counter =
        Bool.random(using: &rng)
        ? base &+ UInt64.random(in: 1...40, using: &rng)
        : base - min(base, UInt64.random(in: 0...3_000, using: &rng))
      let isInReach = counter > greatest || greatest - counter < ReplayWindow.size
      #expect(window.accepts(counter) == (!seen.contains(counter) && isInReach))
      if window.accepts(counter) {
        window.record(counter)
        seen.insert(counter)
        greatest = max(greatest, counter)
      }
    }
  }

  @Test("the replay window stands any jump, up to the last counter")
  func windowEdges() {
    var window = ReplayWindow()
    for counter: UInt64 in [0, 1, 5_000, 1 << 40, .max - 1, .max] {
      #expect(window.accepts(counter))
      window.record(counter)
      #expect(!window.accepts(counter))
    }
    #expect(!window.accepts(0))
    #expect(window.accepts(.max - 100))
    #expect(ReplayWindow.size >= 1_024)
  }
}
