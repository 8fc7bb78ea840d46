import Base
import NIOCore
import NIOPosix
import Testing

@testable import Runtime

@Suite("Streams", .serialized)
struct NetworkStreamTests {
  let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  let trust = TestTrust()

  private func peer(
    _ cluster: String, admitted: Bool = true, limits: StreamLimits = StreamLimits()
  ) async throws -> TestPeer {
    let peer = try TestPeer(cluster, trust: trust, on: group.next(), limits: limits)
    if admitted { trust.admit(peer) }
    return try await peer.listen()
  }

  private func end(_ peers: TestPeer...) async throws {
    for peer in peers { await peer.transport.shutdown() }
    try await group.shutdownGracefully()
  }

  @Test("frames arrive in order, whatever their size, over one connection")
  func exchange() async throws {
    let (a, b) = (try await peer("a"), try await peer("b"))
    var frames: [[UInt8]] = (0..<50).map { [UInt8($0)] }
    frames.append([UInt8](repeating: 9, count: 1 << 20))
    frames += (50..<60).map { [UInt8](repeating: UInt8($0), count: 40_000) }
    for frame in frames { a.send(frame, to: b) }
    let count = frames.count
    #expect(await b.waitFor { $0.frames.count == count })
    #expect(b.frames == frames)
    #expect(b.events.all.opened.map { $0.identity } == [.peer(a.id, cluster: "a")])
    #expect(a.events.all.opened.map { $0.identity } == [.peer(b.id, cluster: "b")])
    // The way back is the same connection.
    b.send([1, 2, 3], to: a)
    #expect(await a.waitFor { $0.frames == [[1, 2, 3]] })
    #expect(a.events.all.opened.count == 1)
    try await end(a, b)
  }

  @Test("an unadmitted peer is marked so, and becomes a member on the same connection")
  func joining() async throws {
    let (seed, newcomer) = (try await peer("seed"), try await peer("new", admitted: false))
    newcomer.transport.contact(seed.address, joining: true)
    #expect(await newcomer.waitFor { $0.opened.count == 1 })
    #expect(await seed.waitFor { $0.opened.count == 1 })
    let stream = try #require(seed.events.all.opened.first)
    #expect(stream.identity == .unadmitted)
    let own = try #require(newcomer.events.all.opened.first)
    newcomer.transport.send([7], on: own.id)
    #expect(await seed.waitFor { $0.frames == [[7]] })
    // The seed takes the enrolment, and answers on the connection.
    trust.admit(newcomer)
    seed.transport.trustChanged()
    #expect(await seed.waitFor { $0.identified == [.peer(newcomer.id, cluster: "new")] })
    seed.send([UInt8](repeating: 1, count: 900_000), to: newcomer)
    #expect(await newcomer.waitFor { $0.frames.count == 1 })
    #expect(seed.events.all.opened.count == 1)
    try await end(seed, newcomer)
  }

  @Test("an unadmitted peer cannot send much")
  func unadmittedBytes() async throws {
    let (seed, stranger) = (try await peer("seed"), try await peer("x", admitted: false))
    stranger.transport.contact(seed.address, joining: true)
    #expect(await stranger.waitFor { $0.opened.count == 1 })
    let id = try #require(stranger.events.all.opened.first?.id)
    for number in 0..<10 {
      stranger.transport.send([UInt8](repeating: UInt8(number), count: 100_000), on: id)
    }
    #expect(await seed.waitFor { $0.closures == [.refused(.unadmittedLimit)] })
    #expect(seed.frames.count < 8)
    #expect(seed.events.all.refusals == [.unadmittedLimit])
    // Nor a frame that says it is large, nor many.
    stranger.transport.contact(seed.address, joining: true)
    #expect(await stranger.waitFor { $0.opened.count == 2 })
    let second = try #require(stranger.events.all.opened.last?.id)
    for _ in 0..<100 { stranger.transport.send([1], on: second) }
    #expect(await seed.waitFor { $0.closures.count == 2 })
    try await end(seed, stranger)
  }

  @Test("strangers are few at a time")
  func unadmittedConnections() async throws {
    var limits = StreamLimits()
    limits.unadmitted = 3
    let seed = try await peer("seed", limits: limits)
    // It knows nobody either, so it keeps all of its connections.
    let stranger = try TestPeer("x", trust: TestTrust(), on: group.next())
    for _ in 0..<10 { stranger.transport.contact(seed.address, joining: true) }
    #expect(await seed.waitFor { $0.refusals.count == 7 })
    #expect(seed.events.all.opened.count == 3)
    #expect(Set(seed.events.all.refusals) == [.tooManyUnadmitted])
    // Members still get in.
    let member = try await peer("m")
    member.send([5], to: seed)
    #expect(await seed.waitFor { $0.frames == [[5]] })
    try await end(seed, stranger, member)
  }

  @Test("who is no member any more is dropped at once")
  func expelled() async throws {
    let (a, b) = (try await peer("a"), try await peer("b"))
    a.send([1], to: b)
    #expect(await b.waitFor { $0.frames.count == 1 })
    trust.expel(a)
    b.transport.trustChanged()
    #expect(await b.waitFor { $0.closures == [.untrusted] })
    #expect(await a.waitFor { $0.closures.count == 1 })
    try await end(a, b)
  }

  @Test("a frame goes to the peer it is for, or nowhere")
  func wrongPeer() async throws {
    let (a, b, c) = (try await peer("a"), try await peer("b"), try await peer("c"))
    a.transport.send([1], to: c.id, addresses: [b.address])
    #expect(await a.waitFor { $0.unreachable == 1 })
    #expect(a.events.all.refusals == [.wrongPeer])
    #expect(b.frames.isEmpty)
    // With the right address as well, the second is tried.
    try await Task.sleep(for: .milliseconds(300))
    a.transport.send([2], to: c.id, addresses: [b.address, c.address])
    #expect(await c.waitFor { $0.frames == [[2]] })
    // Not joining, nobody unknown is talked to either.
    let stranger = try await peer("x", admitted: false)
    a.transport.contact(stranger.address)
    #expect(await a.waitFor { $0.addressUnreachable == 1 })
    try await end(a, b, c, stranger)
  }

  @Test("a certificate of another CA makes nobody a member")
  func impostor() async throws {
    let (a, b) = (try await peer("a"), try await peer("b"))
    // The same names under a CA that the state does not know.
    let impostor = try TestPeer("b", trust: trust, on: group.next())
    impostor.send([6], to: a)
    #expect(await a.waitFor { $0.opened.count == 1 || $0.refusals.count == 1 })
    #expect(a.events.all.opened.allSatisfy { $0.identity == .unadmitted })
    try await end(a, b, impostor)
  }

  @Test("unreachable peers are backed off from, and reached when they are back")
  func backoff() async throws {
    var limits = StreamLimits()
    limits.firstDelay = .milliseconds(20)
    limits.lastDelay = .milliseconds(100)
    let a = try await peer("a", limits: limits)
    let b = try await peer("b")
    let port = try #require(IPEndpoint(b.address)).port
    await b.transport.shutdown()
    for _ in 0..<200 {
      a.send([1], to: b)
      try await Task.sleep(for: .milliseconds(1))
    }
    #expect(await a.waitFor { $0.unreachable > 20 })
    let again = try TestPeer("b", trust: trust, on: group.next())
    trust.admit(again)
    try await again.listen(port)
    for _ in 0..<50 where again.frames.isEmpty {
      a.send([2], to: again)
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(again.frames.first == [2])
    try await end(a, again)
  }

  @Test("both connecting at once leaves both able to send")
  func simultaneous() async throws {
    let (a, b) = (try await peer("a"), try await peer("b"))
    for number in 0..<20 {
      a.send([UInt8(number)], to: b)
      b.send([UInt8(number)], to: a)
    }
    #expect(await a.waitFor { $0.frames.count == 20 })
    #expect(await b.waitFor { $0.frames.count == 20 })
    a.send([99], to: b)
    b.send([98], to: a)
    #expect(await a.waitFor { $0.frames.last == [98] })
    #expect(await b.waitFor { $0.frames.last == [99] })
    #expect(a.events.all.opened.count <= 2)
    try await end(a, b)
  }

  @Test("garbage and silence on the port end by themselves, counted")
  func garbage() async throws {
    var limits = StreamLimits()
    // Enough for a real handshake beside other tests: the last peer gets in by one.
    limits.handshakeTimeout = .seconds(2)
    let a = try await peer("a", limits: limits)
    let port = try #require(IPEndpoint(a.address)).port
    var rng = SeededGenerator(seed: 3)
    for count in [1, 5, 300, 20_000] {
      let noise = (0..<count).map { _ in UInt8.random(in: 0...255, using: &rng) }
      try await sendPlain(noise, to: port, on: group)
    }
    try await sendPlain(Array("GET / HTTP/1.1\r\n\r\n".utf8), to: port, on: group)
    #expect(await a.waitFor { $0.refusals.count == 5 })
    let silent = try await ClientBootstrap(group: group).connect(
      to: try IPEndpoint(loopback, port: port).socketAddress()
    ).get()
    #expect(await a.waitFor { $0.refusals.contains(.handshakeTimeout) })
    try? await silent.close().get()
    let b = try await peer("b")
    b.send([1], to: a)
    #expect(await a.waitFor { $0.frames == [[1]] })
    try await end(a, b)
  }

  @Test("one source cannot take all handshakes")
  func perSource() async throws {
    var limits = StreamLimits()
    limits.unknownPerSource = 4
    let a = try await peer("a", limits: limits)
    let port = try #require(IPEndpoint(a.address)).port
    var channels: [any Channel] = []
    for _ in 0..<8 {
      channels.append(
        try await ClientBootstrap(group: group).connect(
          to: try IPEndpoint(loopback, port: port).socketAddress()
        ).get())
    }
    #expect(await a.waitFor { $0.refusals.filter { $0 == .tooManyFromSource }.count == 4 })
    for channel in channels { try? await channel.close().get() }
    try await end(a)
  }

  @Test("whoever connects again and again is held off")
  func tooOften() async throws {
    var limits = StreamLimits()
    limits.acceptsBurst = 3
    limits.acceptsPerSecond = 5
    let a = try await peer("a", limits: limits)
    let port = try #require(IPEndpoint(a.address)).port
    // At once: one after the other would be slow enough on a busy machine.
    try await withThrowingTaskGroup(of: Void.self) { connections in
      for _ in 0..<12 {
        connections.addTask { try await sendPlain([0], to: port, on: self.group) }
      }
      try await connections.waitForAll()
    }
    #expect(await a.waitFor { $0.refusals.contains(.tooOften) })
    // And let in again later.
    try await Task.sleep(for: .milliseconds(500))
    let b = try await peer("b")
    b.send([1], to: a)
    #expect(await a.waitFor { $0.frames == [[1]] })
    try await end(a, b)
  }

  @Test("what waits for a peer is bounded")
  func queueBound() async throws {
    var limits = StreamLimits()
    limits.queuedBytes = 100_000
    let a = try await peer("a", limits: limits)
    let b = try await peer("b")
    for _ in 0..<10 { a.send([UInt8](repeating: 0, count: 30_000), to: b) }
    #expect(await b.waitFor { $0.frames.count >= 3 })
    let dropped = a.events.all.count { if case .dropped = $0 { true } else { false } }
    #expect(dropped >= 1)
    a.transport.send([UInt8](repeating: 0, count: (1 << 20) + 1), to: b.id, addresses: [b.address])
    #expect(
      await a.waitFor {
        $0.contains { if case .dropped(_, let bytes) = $0 { bytes > 1 << 20 } else { false } }
      })
    try await end(a, b)
  }

  @Test("idle connections are closed")
  func idle() async throws {
    var limits = StreamLimits()
    limits.idleTimeout = .milliseconds(100)
    limits.sweepInterval = .milliseconds(50)
    let (a, b) = (try await peer("a", limits: limits), try await peer("b"))
    a.send([1], to: b)
    #expect(await a.waitFor { $0.closures == [.idle] })
    #expect(await b.waitFor { $0.closures == [.remote] })
    a.send([2], to: b)
    #expect(await b.waitFor { $0.frames.count == 2 })
    try await end(a, b)
  }

  @Test("a port in use is one clear line")
  func portInUse() async throws {
    let a = try await peer("a")
    let port = try #require(IPEndpoint(a.address)).port
    let b = try TestPeer("b", trust: trust, on: group.next())
    await #expect(throws: NetworkError.portInUse("tcp 127.0.0.1:\(port)")) {
      try await b.listen(port)
    }
    #expect(
      NetworkError.portInUse("tcp 127.0.0.1:1").description
        == "tcp 127.0.0.1:1: the port is in use by another process")
    try await end(a, b)
  }

  @Test("a new leaf serves new connections")
  func newLeaf() async throws {
    let (a, b) = (try await peer("a"), try await peer("b"))
    let identity = SPIFFEIdentity(
      clusterSet: testClusterSet, cluster: "a", role: .peer(a.id))
    try a.transport.setLeaf(try a.ca.issue(identity, now: testNow))
    a.send([1], to: b)
    #expect(await b.waitFor { $0.frames == [[1]] })
    try await end(a, b)
  }
}
