import Base
import Naming
import Slices
import Testing

@Suite struct SliceNamesTests {
  /// Names that were changed step by step answer what names made anew answer.
  @Test func stepsComeToTheSame() throws {
    var rng = SeededGenerator(seed: 29)
    var fixture = try Fixture()
    fixture.blue.dns.policy = .all
    var sources = NameSources(reachability: fixture.reachability)
    var names = SliceNames(fixture.blue, sources)
    for _ in 0..<400 {
      let service = ServiceName(
        namespace: "shop", name: try #require(Self.services.randomElement(using: &rng)))
      var changed: Set<ServiceName> = [service]
      switch Int.random(in: 0..<6, using: &rng) {
      case 0: fixture.blue.services.removeAll { $0.service == service }
      case 1:
        sources.serviceAddresses[service] =
          Bool.random(using: &rng) ? Self.addresses(&rng) : nil
      case 2:
        sources.localEndpoints[service] =
          Bool.random(using: &rng) ? Self.addresses(&rng).map { ServiceEndpoint(address: $0) } : nil
      case 3:
        // Whose alias it is follows from exports: nobody says that the service changed.
        changed = []
        fixture.blue.aliases = ["cache", "db.example.com"].compactMap { alias in
          Bool.random(using: &rng) ? ServiceAlias(name: alias, service: service) : nil
        }
      default:
        try fixture.export(
          service.name, from: ["a", "b", "c"].randomElement(using: &rng) ?? "a",
          Self.addresses(&rng).map(\.description),
          hostnames: Bool.random(using: &rng) ? ["zero", "one"] : [],
          type: Bool.random(using: &rng) ? .headless : .clusterSetIP,
          ports: [.init(name: "http", port: UInt16.random(in: 80...81, using: &rng))])
      }
      names = SliceNames(fixture.blue, sources, keeping: names, but: changed)
      let anew = SliceNames(fixture.blue, sources)
      let answers = try [names, anew].map { try Self.answers($0) }
      #expect(answers[0] == answers[1])
    }
  }

  /// A headless name has the addresses that are in this cluster's own EndpointSlices (KEP-1645).
  @Test func ownPodsAreReachedAsTheyAre() throws {
    var fixture = try Fixture()
    try fixture.export("db", from: "a", ["10.11.0.9"], hostnames: ["db-0"], type: .headless)
    let service = ServiceName(namespace: "shop", name: "db")
    let pod = ServiceEndpoint(address: try #require(IPAddress("10.244.1.7")), hostname: "db-0")
    let sources = NameSources(
      reachability: Reachability(local: "a"), localEndpoints: [service: [pod]])
    let resolver = Self.resolver(SliceNames(fixture.blue, sources))
    for name in ["db.shop.svc.clusterset.local", "db-0.a.db.shop.svc.clusterset.local"] {
      let reply = try DNSMessage(
        resolver.answer(try Self.query(name, RecordType.a), from: Fixture.client))
      #expect(reply.answers.map(\.data) == [.address(pod.address)])
    }
  }

  /// While a service has no address of its own yet, one that leads to another port is none.
  @Test func endpointsStandInWhereTheirPortsAreTheServices() throws {
    var fixture = try Fixture()
    let sources = NameSources(reachability: fixture.reachability, hasServiceAddresses: true)
    func count() throws -> Int {
      let resolver = Self.resolver(SliceNames(fixture.blue, sources))
      let query = try Self.query("web.shop.svc.clusterset.local", RecordType.a)
      return try DNSMessage(resolver.answer(query, from: Fixture.client)).answers.count
    }
    #expect(try count() > 0)
    for cluster in ["b", "c"] {
      try fixture.export(
        "web", from: cluster, ["10.11.16.5"],
        ports: [.init(name: "http", port: 80, targetPort: 8080)])
    }
    #expect(try count() == 0)
  }

  private static let services = ["web", "db", "a", "queue"]

  private static func addresses(_ rng: inout SeededGenerator) -> [IPAddress] {
    (0..<Int.random(in: 0...3, using: &rng)).map { _ in
      IPAddress(v4: 0x0a0b_1000 + UInt32.random(in: 0..<12, using: &rng))
    }
  }

  private static func resolver(_ names: SliceNames) -> Resolver {
    Resolver(NamingTable(slices: [names], clients: ClientViews(others: ["blue"])))
  }

  private static func query(_ name: String, _ type: UInt16) throws -> [UInt8] {
    DNSMessage(id: 9, questions: [.init(name: try #require(DomainName(name)), type: type)])
      .encoded()
  }

  /// Every name that there may be, relative to a zone.
  private static var relativeNames: [String] {
    let pods = ["zero", "one"] + (0..<12).map { "10-11-16-\($0)" }
    var out = ["shop.svc", "shop.blue", "blue", "cache"]
    for service in services {
      for cluster in ["a", "b", "c"] {
        let parent = "\(cluster).\(service).shop.svc"
        out.append(parent)
        out += pods.map { "\($0).\(parent)" }
      }
      for form in ["\(service).shop.svc", "\(service).shop.blue"] {
        out += [form, "_tcp.\(form)", "_http._tcp.\(form)"]
      }
    }
    return out
  }

  /// What is answered to every question that counts.
  private static func answers(_ names: SliceNames) throws -> [[UInt8]] {
    var full = ["db.example.com", "example.com"]
    full += (0..<12).map { "\($0).16.11.10.in-addr.arpa" }
    for name in relativeNames { full += ["\(name).slice.local", "\(name).clusterset.local"] }
    let resolver = resolver(names)
    return try full.flatMap { name in
      try [RecordType.a, RecordType.srv, RecordType.ptr].map { type in
        resolver.answer(try query(name, type), from: Fixture.client)
      }
    }
  }
}
