import Base
import Naming
import Slices
import Testing

@Suite struct ResolverTests {
  @Test func servicesInEveryForm() throws {
    var fixture = try Fixture()
    fixture.blue.dns.policy = .all
    let all = ["10.11.16.5", "10.11.16.6", "10.11.32.5"]
    for name in [
      "web.shop.svc.slice.local", "web.shop.blue.slice.local", "web.shop.svc.clusterset.local",
      "WEB.shop.SVC.Slice.Local",
    ] {
      #expect(try fixture.texts(name) == all)
      #expect(try fixture.texts(name, RecordType.aaaa) == ["fd11::5"])
    }
    let reply = try fixture.ask("web.shop.svc.slice.local")
    #expect(reply.isAuthoritative && !reply.recursionAvailable && reply.recursionDesired)
    #expect(reply.answers.allSatisfy { $0.ttl == 2 })
    #expect(try fixture.code("web.shop.blue.clusterset.local") == "nameError")
    #expect(try fixture.code("web.shop.green.slice.local") == "nameError")
  }

  @Test func reachabilityHealthAndPolicy() throws {
    var fixture = try Fixture()
    let name = "web.shop.svc.slice.local"
    #expect(try fixture.texts(name).count == 3)
    fixture.blue.dns.policy = .nearest
    #expect(try fixture.texts(name) == ["10.11.32.5"])
    fixture.reachability.reachable = ["b"]
    #expect(try fixture.texts(name) == ["10.11.16.5", "10.11.16.6"])
    fixture.reachability.reachable = []
    #expect(try fixture.code(name) == "noData")
    #expect(try fixture.code("db.shop.svc.slice.local") == "nameError")
    fixture.blue.dns.keepLast = true
    #expect(try fixture.texts(name) == ["10.11.32.5"])
    fixture.blue.dns = SliceDNS()
    fixture.reachability.reachable = ["b", "c"]
    fixture.reachability.drained = ["b"]
    #expect(try fixture.texts(name) == ["10.11.32.5"])
    try fixture.export("web", from: "a", ["10.11.0.99"])
    #expect(try fixture.texts(name) == ["10.11.0.99"])
    try fixture.export("web", from: "a", ["10.11.0.99"], ready: false)
    #expect(try fixture.texts(name) == ["10.11.32.5"])
  }

  @Test func anOwnAddressOfTheServiceComesFirst() throws {
    var fixture = try Fixture()
    let address = try #require(IPAddress("10.96.0.9"))
    fixture.serviceAddresses[ServiceName(namespace: "shop", name: "web")] = [address]
    #expect(try fixture.texts("web.shop.svc.clusterset.local") == ["10.96.0.9"])
    #expect(
      try fixture.code("9.0.96.10.in-addr.arpa", RecordType.ptr) == "refused")
  }

  @Test func headlessServicesAndPods() throws {
    let fixture = try Fixture()
    #expect(try fixture.texts("db.shop.svc.slice.local") == ["10.11.16.7", "10.11.16.8"])
    #expect(try fixture.texts("db-1.b.db.shop.svc.slice.local") == ["10.11.16.8"])
    #expect(try fixture.texts("db-1.b.db.shop.svc.clusterset.local") == ["10.11.16.8"])
    #expect(try fixture.texts("10-11-16-5.b.web.shop.svc.slice.local") == ["10.11.16.5"])
    // The cluster's own label has no records, yet it is there: a name is below it (RFC 8020).
    #expect(try fixture.code("b.db.shop.svc.clusterset.local") == "noData")
    #expect(try fixture.code("c.db.shop.svc.clusterset.local") == "nameError")
    #expect(try fixture.code("db-2.b.db.shop.svc.slice.local") == "nameError")
  }

  @Test func serviceRecords() throws {
    var fixture = try Fixture()
    let web = ["0 100 80 web.shop.svc.slice.local."]
    #expect(try fixture.texts("_http._tcp.web.shop.svc.slice.local", RecordType.srv) == web)
    #expect(try fixture.texts("web.shop.svc.slice.local", RecordType.srv) == web)
    #expect(
      try fixture.texts("_http._tcp.db.shop.svc.clusterset.local", RecordType.srv)
        == [
          "0 100 80 db-0.b.db.shop.svc.clusterset.local.",
          "0 100 80 db-1.b.db.shop.svc.clusterset.local.",
        ]
    )
    #expect(try fixture.code("_tcp.web.shop.svc.slice.local", RecordType.srv) == "noData")
    #expect(try fixture.code("_http._udp.web.shop.svc.slice.local", RecordType.srv) == "nameError")
    // Two names for one port: at the bare name the target is listed once.
    try fixture.export(
      "twin", from: "b", ["10.11.16.9"],
      ports: [.init(name: "x", port: 53), .init(name: "y", port: 53, transport: .udp)])
    #expect(
      try fixture.texts("twin.shop.svc.slice.local", RecordType.srv)
        == ["0 100 53 twin.shop.svc.slice.local."])
  }

  @Test func zones() throws {
    let fixture = try Fixture()
    #expect(try fixture.texts("dns-version.clusterset.local", RecordType.txt) == ["1.0.0"])
    #expect(try fixture.code("dns-version.slice.local", RecordType.txt) == "nameError")
    #expect(
      try fixture.texts("slice.local", RecordType.soa)
        == ["ns.dns.slice.local. hostmaster.slice.local. 7 1"])
    #expect(try fixture.texts("clusterset.local", RecordType.ns) == ["ns.dns.clusterset.local."])
    #expect(try fixture.texts("ns.dns.slice.local") == ["10.11.0.1"])
    #expect(try fixture.code("slice.local") == "noData")
    #expect(try fixture.code("svc.slice.local") == "noData")
    #expect(try fixture.code("shop.svc.slice.local") == "noData")
    let missing = try fixture.ask("nothing.shop.svc.slice.local")
    #expect(missing.isAuthoritative && missing.answers.isEmpty)
    #expect(missing.authority.map { "\($0.name) \($0.ttl)" } == ["slice.local. 1"])
    for name in ["example.com", "local", ".", "xslice.local", "cluster.local"] {
      let reply = try fixture.ask(name)
      #expect(reply.code == 5 && !reply.isAuthoritative && reply.authority.isEmpty)
    }
    #expect(try fixture.code("slice.local", RecordType.axfr) == "refused")
    #expect(try fixture.texts("dns-version.clusterset.local", RecordType.any) == ["1.0.0"])
  }

  @Test func reverse() throws {
    let fixture = try Fixture()
    #expect(
      try fixture.texts("7.16.11.10.in-addr.arpa", RecordType.ptr)
        == ["db-0.b.db.shop.svc.slice.local."])
    #expect(
      try fixture.texts("5.16.11.10.in-addr.arpa", RecordType.ptr)
        == ["10-11-16-5.b.web.shop.svc.slice.local."])
    let missing = try fixture.ask("99.16.11.10.in-addr.arpa", RecordType.ptr)
    #expect(
      missing.code == 3 && missing.authority.map(\.name.description) == ["11.10.in-addr.arpa."])
    #expect(try fixture.code("16.11.10.in-addr.arpa", RecordType.ptr) == "noData")
    #expect(try fixture.code("7.16.11.10.in-addr.arpa") == "noData")
    #expect(try fixture.code("10.in-addr.arpa", RecordType.ptr) == "refused")
    #expect(try fixture.code("1.1.168.192.in-addr.arpa", RecordType.ptr) == "refused")
    // Green is not this client's.
    #expect(try fixture.code("1.0.12.10.in-addr.arpa", RecordType.ptr) == "refused")
  }

  @Test func clientsSeeTheirOwnSlicesOnly() throws {
    var fixture = try Fixture()
    try fixture.export("web", from: "b", ["10.12.0.5"], in: \.green)
    let (one, two) = (IPAddress(v4: 0xc0a8_0101), IPAddress(v4: 0xc0a8_0102))
    let both = IPAddress(v4: 0xc0a8_0103)
    fixture.clients = ClientViews(
      clients: [one: ["blue"], two: ["green"], both: ["green", "blue"]],
      ranges: [(try #require(IPPrefix("10.12.0.0/20")), ["green"])])
    let name = "web.shop.svc.slice.local"
    #expect(try fixture.texts(name, from: one).count == 3)
    #expect(try fixture.texts(name, from: two) == ["10.12.0.5"])
    #expect(try fixture.texts(name, from: both).count == 3)
    #expect(try fixture.texts("web.shop.green.slice.local", from: both) == ["10.12.0.5"])
    #expect(try fixture.texts("web.shop.green.slice.local", from: one) == [])
    #expect(try fixture.texts(name, from: IPAddress(v4: 0x0a0c_0009)) == ["10.12.0.5"])
    #expect(try fixture.ask(name, from: IPAddress(v4: 1)).code == 3)
    // An IPv4 client over an IPv6 socket is the same client.
    #expect(try fixture.texts(name, from: IPAddress(v6: 0xffff_c0a8_0102)) == ["10.12.0.5"])
    // A forwarder may name its client; nobody else may.
    let option = DNSMessage.EDNS.Option(code: NamingTable.defaultClientOption, data: two.bytes)
    let edns = DNSMessage.EDNS(options: [option])
    #expect(try fixture.ask(name, from: one, edns: edns).answers.count == 3)
    fixture.forwarders = [try #require(IPPrefix("192.168.1.1/32"))]
    #expect(try fixture.ask(name, from: one, edns: edns).answers.count == 1)
  }

  @Test func aliases() throws {
    var fixture = try Fixture()
    let web = ServiceName(namespace: "shop", name: "web")
    fixture.blue.aliases = [
      ServiceAlias(name: "front", service: web), ServiceAlias(name: "www.corp.test", service: web),
    ]
    #expect(try fixture.texts("front.slice.local").count == 3)
    #expect(try fixture.texts("www.corp.test.slice.local").count == 3)
    #expect(try fixture.texts("www.corp.test").count == 3)
    #expect(try fixture.code("corp.test") == "refused")
    #expect(try fixture.code("www.corp.test", RecordType.txt) == "noData")
    #expect(try fixture.code("front.clusterset.local") == "nameError")
  }

  @Test func answersTakeTurns() throws {
    var fixture = try Fixture()
    try fixture.export("many", from: "b", (1...40).map { "10.11.17.\($0)" })
    try fixture.export("list", from: "b", (1...40).map { "10.11.18.\($0)" }, type: .headless)
    var firsts: Set<String> = []
    var seen: Set<String> = []
    for id in UInt16(0)..<200 {
      let reply = try fixture.ask("many.shop.svc.slice.local", id: id)
      #expect(reply.answers.count == Resolver.sampleLimit)
      firsts.insert(reply.answers[0].data.text)
      seen.formUnion(reply.answers.map(\.data.text))
      let again = try fixture.ask("many.shop.svc.slice.local", id: id)
      #expect(again == reply)
    }
    #expect(firsts.count > 30 && seen.count == 40)
    let list = try fixture.ask("list.shop.svc.slice.local", over: .tcp)
    #expect(list.answers.count == 40 && !list.isTruncated)
  }

  @Test func truncation() throws {
    var fixture = try Fixture()
    try fixture.export("list", from: "b", (1...200).map { "10.11.18.\($0)" }, type: .headless)
    let name = "list.shop.svc.slice.local"
    let plain = try fixture.ask(name)
    #expect(plain.isTruncated && plain.answers.count == (512 - 12 - 31) / 16)
    let large = try fixture.ask(name, edns: .init(payloadBytes: 4096))
    #expect(large.isTruncated && large.answers.count == (1232 - 11 - 12 - 31) / 16)
    let tiny = try fixture.ask(name, edns: .init(payloadBytes: 100))
    #expect(tiny.isTruncated && tiny.answers.count == (512 - 11 - 12 - 31) / 16)
    #expect(try fixture.ask(name, over: .tcp).answers.count == 200)
    let services = try fixture.ask("_http._tcp." + name, RecordType.srv)
    #expect(services.isTruncated && !services.answers.isEmpty)
    #expect(try fixture.ask("_http._tcp." + name, RecordType.srv, over: .tcp).answers.count == 200)
  }

  @Test func protocolErrors() throws {
    let fixture = try Fixture()
    let resolver = fixture.resolver
    let name = try #require(DomainName("web.shop.svc.slice.local"))
    let query = DNSMessage(id: 9, questions: [.init(name: name, type: RecordType.a)])
    func code(_ change: (inout DNSMessage) -> Void) throws -> UInt16? {
      var message = query
      change(&message)
      let reply = resolver.answer(message.encoded(), from: Fixture.client)
      return reply.isEmpty ? nil : try DNSMessage(reply).extendedCode
    }
    #expect(try code { _ in } == 0)
    #expect(try code { $0.opcode = 4 } == 4)
    #expect(try code { $0.isResponse = true } == nil)
    #expect(try code { $0.questions = [] } == 1)
    #expect(try code { $0.questions += $0.questions } == 1)
    #expect(try code { $0.questions[0].recordClass = 3 } == 5)
    #expect(try code { $0.questions[0].recordClass = 255 } == 0)
    #expect(try code { $0.edns = .init(version: 1) } == ResponseCode.badVersion.rawValue)
    #expect(resolver.answer([], from: Fixture.client).isEmpty)
    #expect(resolver.answer(Array(query.encoded().prefix(11)), from: Fixture.client).isEmpty)
    let stump = try DNSMessage(
      resolver.answer(Array(query.encoded().dropLast(5)), from: Fixture.client))
    #expect(stump.code == 1 && stump.questions.isEmpty && stump.id == 9)
  }

  @Test func mutatedQueriesNeverTrapAndRepliesAreWellFormed() throws {
    var fixture = try Fixture()
    fixture.blue.aliases = [
      ServiceAlias(name: "a.b", service: ServiceName(namespace: "shop", name: "web"))
    ]
    let resolver = fixture.resolver
    var rng = SeededGenerator(seed: 17)
    let names = [
      "web.shop.svc.slice.local", "_http._tcp.db.shop.svc.clusterset.local", "slice.local", "a.b",
      "7.16.11.10.in-addr.arpa", "7.0.0.0.1.1.d.f.ip6.arpa", "dns-version.clusterset.local",
    ]
    let types: [UInt16] = [1, 2, 6, 12, 16, 28, 33, 252, 255, 999]
    let option = DNSMessage.EDNS.Option(code: NamingTable.defaultClientOption, data: [1, 2, 3, 4])
    var queries: [[UInt8]] = []
    for name in names.compactMap({ DomainName($0) }) {
      for type in types {
        let edns = DNSMessage.EDNS(options: [option])
        let query = DNSMessage(id: 1, questions: [.init(name: name, type: type)], edns: edns)
        queries.append(query.encoded())
      }
    }
    for _ in 0..<60_000 {
      guard let query = queries.randomElement(using: &rng)?.mutated(using: &rng) else { continue }
      let reply = resolver.answer(query, from: Fixture.client)
      if !reply.isEmpty {
        #expect(throws: Never.self) { try DNSMessage(reply) }
        #expect(reply.count <= 1232)
      }
    }
  }
}

@Suite struct DNSReconcilerTests {
  @Test func theSerialGrows() throws {
    var reconciler = DNSReconciler()
    let input = DNSReconciler.Input(cluster: "a", sources: [:])
    let first = reconciler.table(ClustersetView(), nil, input)
    let second = reconciler.table(ClustersetView(), ViewChange(), input)
    #expect(second.serial > first.serial)
  }
}
