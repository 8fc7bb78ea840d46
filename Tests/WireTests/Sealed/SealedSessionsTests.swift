import Base
import Testing
import Wire

@Suite("Sealed datagrams")
struct SealedSessionsTests {
  @Test("the first message arrives after one handshake, later ones go at once")
  func firstContact() {
    var pair = Pair()
    pair.fromA("one")
    #expect(text(pair.b.messages) == ["one"])
    // Hello, answer, confirmation with the message.
    #expect(pair.recorded.count == 3)
    pair.fromB("two")
    pair.fromA("three")
    #expect(text(pair.a.messages) == ["two"])
    #expect(text(pair.b.messages) == ["one", "three"])
    #expect(pair.recorded.count == 5)
    #expect(pair.a.drops.isEmpty && pair.b.drops.isEmpty)
  }

  @Test("both sides may begin at the same time")
  func simultaneousContact() {
    var pair = Pair()
    var out: [OutgoingDatagram] = []
    pair.a.sessions.seal([1], to: pair.b.id, at: pair.b.address, now: pair.now, into: &out)
    pair.b.sessions.seal([2], to: pair.a.id, at: pair.a.address, now: pair.now, into: &out)
    pair.deliver(out)
    #expect(pair.a.messages == [[2]])
    #expect(pair.b.messages == [[1]])
    pair.fromA("x")
    pair.fromB("y")
    #expect(text(pair.a.messages).last == "y" && text(pair.b.messages).last == "x")
  }

  @Test("no datagram that was ever recorded counts again, in any order, around any restart")
  func replay() {
    var pair = Pair()
    for round in 0..<6 {
      pair.fromA("a\(round)")
      pair.fromB("b\(round)")
      if round == 2 {
        pair.a = restart(pair.a, 100)
        pair.a.admit(pair.b)
      }
      if round == 4 {
        pair.b = restart(pair.b, 200)
        pair.b.admit(pair.a)
      }
    }
    pair.fromA("end")
    pair.fromB("end")
    let (recorded, gotA, gotB) = (pair.recorded, pair.a.messages, pair.b.messages)
    var rng = SeededGenerator(seed: 5)
    for _ in 0..<20 {
      for (toA, bytes) in recorded.shuffled(using: &rng) {
        // The attacker delivers what the sides answer as well, or keeps it back.
        let answers = pair.arrive(bytes, toA: toA)
        if Bool.random(using: &rng) { pair.deliver(answers) }
        pair.now = pair.now + .milliseconds(400)
      }
    }
    #expect(pair.a.messages == gotA)
    #expect(pair.b.messages == gotB)
    // And the honest go on.
    pair.fromA("after")
    pair.fromB("after")
    #expect(text(pair.b.messages).last == "after")
    #expect(text(pair.a.messages).last == "after")
  }

  /// Keeps what the test has counted.
  private func restart(_ side: Side, _ seed: UInt64) -> Side {
    var next = side.restarted(seed: seed)
    next.messages = side.messages
    next.drops = side.drops
    return next
  }

  @Test("the peer of a restarted one heals with its next message, and loses only that")
  func restartHeals() {
    var pair = Pair()
    pair.fromA("before")
    pair.fromB("before")
    pair.b = restart(pair.b, 77)
    pair.b.admit(pair.a)
    pair.fromA("lost")
    #expect(text(pair.b.messages) == ["before"])
    #expect(pair.b.drops == [.notAuthentic])
    pair.fromA("arrives")
    #expect(text(pair.b.messages) == ["before", "arrives"])
    pair.fromB("back")
    #expect(text(pair.a.messages).last == "back")
  }

  @Test("a restarted peer reaches the others with its first message")
  func restartedSpeaksFirst() {
    var pair = Pair()
    pair.fromA("x")
    pair.b = restart(pair.b, 78)
    pair.b.admit(pair.a)
    pair.fromB("here again")
    #expect(text(pair.a.messages) == ["here again"])
    #expect(pair.a.drops.isEmpty)
  }

  @Test("every datagram of a handshake may be lost", arguments: 0..<3)
  func loss(_ lost: Int) {
    var pair = Pair()
    pair.isLost = { $0 == lost }
    pair.fromA("m0")
    for _ in 0..<8 { pair.poll(after: .milliseconds(100)) }
    pair.fromA("m1")
    for _ in 0..<8 { pair.poll(after: .milliseconds(100)) }
    pair.fromB("m2")
    for _ in 0..<8 { pair.poll(after: .milliseconds(100)) }
    pair.fromB("m3")
    #expect(text(pair.b.messages).last == "m1")
    #expect(text(pair.a.messages).last == "m3")
  }

  @Test("half of all datagrams lost: what is said often enough arrives")
  func heavyLoss() {
    var rng = SeededGenerator(seed: 3)
    let lost = (0..<4_000).map { _ in Bool.random(using: &rng) }
    var pair = Pair()
    pair.isLost = { lost[$0 % lost.count] }
    for number in 0..<200 {
      pair.fromA("\(number)")
      pair.poll(after: .milliseconds(100))
    }
    #expect(pair.b.messages.count > 80)
    #expect(Set(pair.b.messages).count == pair.b.messages.count)
  }

  @Test("a changed byte anywhere is refused")
  func tampering() throws {
    var pair = Pair()
    pair.fromA("hello")
    pair.fromB("hello")
    var out: [OutgoingDatagram] = []
    pair.a.sessions.seal([1, 2, 3], to: pair.b.id, at: pair.b.address, now: pair.now, into: &out)
    let datagram = try #require(out.first).bytes
    for index in datagram.indices {
      var changed = datagram
      changed[index] ^= 0x40
      _ = pair.arrive(changed, toA: false)
    }
    #expect(text(pair.b.messages) == ["hello"])
    _ = pair.arrive(datagram, toA: false)
    #expect(pair.b.messages.last == [1, 2, 3])
  }

  @Test("whoever is not admitted is not heard, and who is no longer is forgotten")
  func admission() {
    var pair = Pair()
    let stranger = Side(9, seed: 1)
    var third = Pair(stranger, pair.b)
    third.b = pair.b  // knows only A
    third.fromA("hi")
    #expect(third.b.messages.isEmpty)
    #expect(third.b.drops == [.unknownSender])

    pair.fromA("x")
    pair.b.sessions.setPeers([], now: pair.now)
    pair.fromA("y")
    #expect(text(pair.b.messages) == ["x"])
    #expect(pair.b.drops == [.unknownSender])
    var out: [OutgoingDatagram] = []
    #expect(
      !pair.b.sessions.seal([1], to: pair.a.id, at: pair.a.address, now: pair.now, into: &out))
    #expect(out.isEmpty)
  }

  @Test("a peer that is admitted again starts over: what was recorded before stays dead")
  func admittedAgain() {
    var pair = Pair()
    pair.fromA("secret")
    pair.fromB("x")
    let recorded = pair.recorded
    pair.b.sessions.setPeers([], now: pair.now)
    pair.b.admit(pair.a, at: pair.now)
    for (toA, bytes) in recorded where !toA { pair.deliver(pair.arrive(bytes, toA: false)) }
    #expect(text(pair.b.messages) == ["secret"])
    pair.now = pair.now + .seconds(5)
    pair.fromA("a")
    pair.fromA("b")
    #expect(text(pair.b.messages).last == "b")
  }

  @Test("peers whose IDs begin alike are told apart")
  func samePrefix() {
    let c = Side(3, id: NodeID(words: (1, 99, 99, 99)), seed: 4)
    var pair = Pair(Side(1, id: NodeID(words: (1, 5, 5, 5)), seed: 3), Side(2, seed: 5))
    pair.b.sessions.setPeers([(c.id, c.key), (pair.a.id, pair.a.key)], now: pair.now)
    pair.fromA("mine")
    #expect(text(pair.b.messages) == ["mine"])
    #expect(pair.b.sessions.isEstablished(with: pair.a.id))
    #expect(!pair.b.sessions.isEstablished(with: c.id))
  }
}
