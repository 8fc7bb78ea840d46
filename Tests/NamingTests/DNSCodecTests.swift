import Base
import Naming
import Testing

@Suite struct DNSCodecTests {
  @Test func namesRoundTrip() throws {
    let name = try #require(DomainName("DB.shop.svc.slice.local."))
    #expect(name.description == "db.shop.svc.slice.local.")
    #expect(name.wire.count == 25)
    #expect(try DomainName.read(name.wire, at: 0).name == name)
    #expect(DomainName("") == .root && DomainName(".") == .root)
    for bad in ["a..b", String(repeating: "x", count: 64), ".a"] {
      #expect(DomainName(bad) == nil)
    }
    let labels = Array(repeating: String(repeating: "x", count: 63), count: 4)
    #expect(DomainName(labels.joined(separator: ".")) == nil)
    #expect(DomainName(labels.dropLast().joined(separator: ".")) != nil)
  }

  @Test func pointersGoBackwardsOnly() throws {
    let message: [UInt8] = [1, 97, 0, 1, 98, 0xc0, 0, 0xc0, 3, 0xc0, 9, 0xc0, 12]
    #expect(try DomainName.read(message, at: 3).name == DomainName("b.a"))
    #expect(try DomainName.read(message, at: 3).end == 7)
    #expect(try DomainName.read(message, at: 7).name == DomainName("b.a"))
    #expect(throws: WireError.malformed("compression pointer")) {
      try DomainName.read(message, at: 9)
    }
    #expect(throws: WireError.malformed("compression pointer")) {
      try DomainName.read(message, at: 11)
    }
    #expect(throws: WireError.truncated) { try DomainName.read([3, 97], at: 0) }
    #expect(throws: WireError.malformed("label type")) { try DomainName.read([0x40], at: 0) }
  }

  @Test func reverseNames() throws {
    let four = try #require(IPAddress("10.11.48.7"))
    #expect(DomainName(reverse: four).description == "7.48.11.10.in-addr.arpa.")
    let six = try #require(IPAddress("fd11::7"))
    for address in [four, six] {
      #expect(
        DomainName(reverse: address).reversePrefix
          == IPPrefix(address, length: address.family.bits))
    }
    #expect(DomainName("11.10.in-addr.arpa")?.reversePrefix == IPPrefix("10.11.0.0/16"))
    #expect(DomainName("d.f.ip6.arpa")?.reversePrefix == IPPrefix("fd00::/8"))
    for bad in ["256.in-addr.arpa", "01.in-addr.arpa", "1.2.3.4.5.in-addr.arpa", "local"] {
      #expect(DomainName(bad)?.reversePrefix == nil)
    }
  }

  @Test func messagesRoundTrip() throws {
    let name = try #require(DomainName("db.shop.svc.slice.local"))
    let address = try #require(IPAddress("10.11.48.7"))
    let six = try #require(IPAddress("fd11::7"))
    var message = DNSMessage(
      id: 77, questions: [.init(name: name, type: RecordType.any)], isResponse: true,
      edns: .init(payloadBytes: 4096, dnssecOK: true, options: [.init(code: 10, data: [1, 2])]))
    message.isAuthoritative = true
    let data: [(UInt16, RecordData)] = [
      (RecordType.a, .address(address)), (RecordType.aaaa, .address(six)),
      (RecordType.ptr, .name(name)),
      (RecordType.srv, .service(priority: 0, weight: 100, port: 80, target: name)),
      (RecordType.txt, .text([Array("1.0.0".utf8), []])),
      (
        RecordType.soa,
        .authority(
          primary: name, mailbox: name, serial: 1, refresh: 2, retry: 3, expire: 4, minimum: 5)
      ), (999, .other([1, 2, 3])),
    ]
    message.answers = data.map { .init(name: name, type: $0.0, ttl: 2, data: $0.1) }
    #expect(try DNSMessage(message.encoded()) == message)
  }

  @Test func mutatedMessagesNeverTrap() throws {
    var rng = SeededGenerator(seed: 5)
    let name = try #require(DomainName("_sql._tcp.db.shop.svc.slice.local"))
    var message = DNSMessage(
      id: 1, questions: [.init(name: name, type: RecordType.srv)], edns: .init())
    message.answers = [
      .init(
        name: name, type: RecordType.srv, ttl: 1,
        data: .service(priority: 1, weight: 2, port: 3, target: name)),
      .init(name: name, type: RecordType.txt, ttl: 1, data: .text([[1, 2, 3]])),
    ]
    let good = message.encoded()
    for _ in 0..<50_000 { _ = try? DNSMessage(good.mutated(using: &rng)) }
  }
}

extension [UInt8] {
  /// Some bytes changed, cut off, doubled or added.
  func mutated(using rng: inout SeededGenerator) -> [UInt8] {
    var out = self
    for _ in 0..<Int.random(in: 1...4, using: &rng) where !out.isEmpty {
      let index = Int.random(in: 0..<out.count, using: &rng)
      switch Int.random(in: 0..<6, using: &rng) {
      case 0: out[index] = .random(in: 0...255, using: &rng)
      case 1: out[index] ^= 1 << UInt8.random(in: 0..<8, using: &rng)
      case 2: out.removeSubrange(index...)
      case 3: out.insert([0, 63, 64, 192, 255].randomElement(using: &rng) ?? 0, at: index)
      case 4: out += out[index...]
      default: out.remove(at: index)
      }
    }
    return out
  }
}
