import Base
import NIOCore
import NIOPosix
import Synchronization
import Testing
import Wire

@testable import Runtime

/// What a handler was given, for tests to wait on.
final class Inbox<Element: Sendable>: Sendable {
  private let items = Mutex<[Element]>([])

  func add(_ more: [Element]) { items.withLock { $0 += more } }
  var all: [Element] { items.withLock { $0 } }

  /// Waits up to five seconds.
  @discardableResult
  func wait(_ isEnough: @Sendable ([Element]) -> Bool) async -> Bool {
    for _ in 0..<1_000 {
      if isEnough(all) { return true }
      try? await Task.sleep(for: .milliseconds(5))
    }
    return isEnough(all)
  }
}

let loopback = IPAddress(v4: 0x7f00_0001)
let loop6 = IPAddress(v6: 1)

@Suite("UDP endpoint")
final class NetworkDatagramTests: Sendable {
  let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)

  private let lost = Atomic<Int>(0)

  private func endpoint(
    _ address: IPAddress, port: UInt16 = 0
  ) async throws -> (DatagramEndpoint, Inbox<ReceivedDatagram>) {
    let inbox = Inbox<ReceivedDatagram>()
    let endpoint = try await DatagramEndpoint.bind(
      to: IPEndpoint(address, port: port), on: group.next(),
      onLost: { self.lost.wrappingAdd(1, ordering: .relaxed) }, onReceive: { inbox.add($0) })
    return (endpoint, inbox)
  }

  /// The kernel refuses port 0 as it refuses where no route leads, and what a firewall forbids.
  @Test("what cannot be sent costs nothing but itself")
  func refusedByTheKernel() async throws {
    let (a, ofA) = try await endpoint(loopback)
    let (b, ofB) = try await endpoint(loopback)
    let nowhere = OutgoingDatagram(to: IPEndpoint(loopback, port: 0), bytes: [0])
    a.send([nowhere, OutgoingDatagram(to: b.localAddress, bytes: [1]), nowhere])
    await ofB.wait { $0.count == 1 }
    b.send([OutgoingDatagram(to: a.localAddress, bytes: [2])])
    await ofA.wait { $0.count == 1 }
    #expect(ofA.all.map(\.bytes) == [[2]] && ofB.all.map(\.bytes) == [[1]])
    await ofA.wait { _ in lost.load(ordering: .relaxed) == 2 }
    #expect(lost.load(ordering: .relaxed) == 2)
    await a.close()
    await b.close()
    try await group.shutdownGracefully()
  }

  @Test("datagrams arrive whole, with their sender")
  func exchange() async throws {
    let (a, ofA) = try await endpoint(loopback)
    let (b, ofB) = try await endpoint(loopback)
    a.send((0..<100).map { OutgoingDatagram(to: b.localAddress, bytes: [UInt8($0)]) })
    await ofB.wait { $0.count == 100 }
    #expect(ofB.all.map { $0.bytes } == (0..<100).map { [UInt8($0)] })
    #expect(ofB.all.allSatisfy { $0.from == a.localAddress })
    b.send([OutgoingDatagram(to: a.localAddress, bytes: [UInt8](repeating: 3, count: 1_200))])
    await ofA.wait { $0.count == 1 }
    #expect(ofA.all.first?.bytes.count == 1_200)
    await a.close()
    await b.close()
    try await group.shutdownGracefully()
  }

  @Test("one socket of IPv6 serves IPv4 as well")
  func dualStack() async throws {
    guard let (both, ofBoth) = try? await endpoint(IPAddress(v6: 0)) else { return }
    let (four, ofFour) = try await endpoint(loopback)
    let (six, ofSix) = try await endpoint(loop6)
    let port = both.localAddress.port
    four.send([OutgoingDatagram(to: IPEndpoint(loopback, port: port), bytes: [4])])
    six.send([OutgoingDatagram(to: IPEndpoint(loop6, port: port), bytes: [6])])
    await ofBoth.wait { $0.count == 2 }
    #expect(Set(ofBoth.all.map { $0.from }) == [four.localAddress, six.localAddress])
    both.send(ofBoth.all.map { OutgoingDatagram(to: $0.from, bytes: $0.bytes) })
    await ofFour.wait { $0.count == 1 }
    await ofSix.wait { $0.count == 1 }
    #expect(ofFour.all.map { $0.bytes } == [[4]])
    #expect(ofSix.all.map { $0.bytes } == [[6]])
    // A socket of IPv4 has no way to IPv6: dropped and counted.
    four.send([OutgoingDatagram(to: six.localAddress, bytes: [1])])
    await ofSix.wait { _ in lost.load(ordering: .relaxed) == 1 }
    #expect(lost.load(ordering: .relaxed) == 1)
    for endpoint in [both, four, six] { await endpoint.close() }
    try await group.shutdownGracefully()
  }

  @Test("a datagram that is too long arrives too long, and is refused for it")
  func tooLong() async throws {
    let (a, _) = try await endpoint(loopback)
    let (b, ofB) = try await endpoint(loopback)
    a.send([OutgoingDatagram(to: b.localAddress, bytes: [UInt8](repeating: 1, count: 9_000))])
    await ofB.wait { $0.count == 1 }
    #expect((ofB.all.first?.bytes.count ?? 0) > SealedFormat.maximumDatagram)
    await a.close()
    await b.close()
    try await group.shutdownGracefully()
  }

  @Test("sending to nobody harms nothing")
  func portUnreachable() async throws {
    let (a, ofA) = try await endpoint(loopback)
    let (gone, _) = try await endpoint(loopback)
    await gone.close()
    for _ in 0..<10 { a.send([OutgoingDatagram(to: gone.localAddress, bytes: [1])]) }
    a.send([OutgoingDatagram(to: a.localAddress, bytes: [2])])
    await ofA.wait { $0.count == 1 }
    #expect(ofA.all.map { $0.bytes } == [[2]])
    await a.close()
    try await group.shutdownGracefully()
  }

  @Test("a port in use and an address of another machine are one clear line")
  func errors() async throws {
    let (a, _) = try await endpoint(loopback)
    await #expect(throws: NetworkError.portInUse("udp \(a.localAddress)")) {
      try await endpoint(loopback, port: a.localAddress.port)
    }
    let foreign = IPAddress(v4: 0x0808_0808)
    await #expect(throws: NetworkError.addressNotAvailable("udp 8.8.8.8:0")) {
      try await endpoint(foreign)
    }
    await a.close()
    try await group.shutdownGracefully()
  }
}

@Suite("Names and addresses")
struct NetworkAddressTests {
  @Test("literals cost no lookup, names are remembered")
  func resolver() async throws {
    let resolver = AddressResolver()
    #expect(resolver.lookup("127.0.0.1:7946") == IPEndpoint(loopback, port: 7946))
    #expect(resolver.lookup("[::1]:7946") == IPEndpoint(loop6, port: 7946))
    let found = try await resolver.resolve("localhost:80")
    #expect(found.contains { $0.address == loopback || $0.address == loop6 })
    #expect(found.allSatisfy { $0.port == 80 })
    _ = resolver.lookup("localhost:80")
    for _ in 0..<200 where resolver.lookup("localhost:80") == nil {
      try await Task.sleep(for: .milliseconds(5))
    }
    #expect(resolver.lookup("localhost:80")?.port == 80)
  }

  @Test(
    "what is no address is told apart from what has none",
    arguments: [
      "", ":", "host", "host:", ":80", "host:99999", "a:b:c", "::1:80",
    ])
  func bad(_ text: String) async {
    await #expect(throws: NetworkError.badAddress(text)) {
      try await AddressResolver().resolve(text)
    }
  }

  @Test("socket addresses there and back, mapped or not")
  func conversion() throws {
    for text in ["1.2.3.4:5", "[fd00::1:2]:65535", "255.255.255.255:1", "[::]:80"] {
      let endpoint = IPEndpoint(text)
      #expect(try endpoint.flatMap { IPEndpoint(try $0.socketAddress()) } == endpoint)
      #expect(try endpoint.flatMap { IPEndpoint(try $0.socketAddress(mapped: true)) } == endpoint)
    }
  }
}
