import Base
import Naming
import Slices
import Testing

/// Two slices as cluster a sees them, made without registers.
struct Fixture {
  var blue: SliceView
  var green: SliceView
  var reachability = Reachability(
    local: "a", reachable: ["b", "c"], rttMicroseconds: ["b": 900, "c": 300])
  var clients = ClientViews(others: ["blue"])
  var serviceAddresses: [ServiceName: [IPAddress]] = [:]
  var forwarders: [IPPrefix] = []

  static let client = IPAddress(v4: 0x7f00_0001)

  init() throws {
    blue = SliceView(
      name: "blue", network: SliceNetwork(cidr: IPPrefix("10.11.0.0/16")))
    green = SliceView(
      name: "green", network: SliceNetwork(cidr: IPPrefix("10.12.0.0/20")))
    try export("web", from: "b", ["10.11.16.5", "10.11.16.6"], created: 1)
    try export("web", from: "c", ["10.11.32.5", "fd11::5"], created: 2)
    try export(
      "db", from: "b", ["10.11.16.7", "10.11.16.8"], hostnames: ["db-0", "db-1"], type: .headless)
  }

  mutating func export(
    _ name: String, from cluster: String, _ addresses: [String], hostnames: [String] = [],
    type: ServiceType = .clusterSetIP, created: UInt64 = 1, ready: Bool = true,
    ports: [ServicePort] = [.init(name: "http", port: 80)],
    in path: WritableKeyPath<Fixture, SliceView> = \.blue
  ) throws {
    let service = ServiceName(namespace: "shop", name: name)
    var exports = self[keyPath: path].service(service)?.exports ?? []
    exports.removeAll { $0.cluster == cluster }
    exports.append(
      ServiceExport(
        cluster: cluster, service: service, type: type, ports: ports, createdMilliseconds: created,
        endpoints: try addresses.enumerated().map { index, text in
          ServiceEndpoint(
            address: try #require(IPAddress(text)),
            hostname: index < hostnames.count ? hostnames[index] : "", ready: ready)
        }))
    self[keyPath: path].services.removeAll { $0.service == service }
    self[keyPath: path].services += [ServiceImport(merging: exports)].compactMap { $0 }
    self[keyPath: path].services.sort { $0.service < $1.service }
  }

  var resolver: Resolver {
    let names = [blue, green].map {
      SliceNames(
        $0, NameSources(reachability: reachability, serviceAddresses: serviceAddresses))
    }
    return Resolver(
      NamingTable(
        slices: names, clients: clients, servers: [IPAddress(v4: 0x0a0b_0001)], serial: 7,
        forwarders: forwarders))
  }

  /// Asks and decodes the reply.
  func ask(
    _ name: String, _ type: UInt16 = RecordType.a, id: UInt16 = 0,
    from client: IPAddress = client, over transport: Resolver.Transport = .udp,
    edns: DNSMessage.EDNS? = nil
  ) throws -> DNSMessage {
    let query = DNSMessage(
      id: id, questions: [.init(name: try #require(DomainName(name)), type: type)], edns: edns)
    let reply = try DNSMessage(
      resolver.answer(query.encoded(), from: client, over: transport))
    #expect(reply.id == id && reply.isResponse && reply.questions == query.questions)
    #expect((reply.edns != nil) == (edns != nil))
    return reply
  }

  /// What the answers say, as text in ascending order.
  func texts(
    _ name: String, _ type: UInt16 = RecordType.a, from client: IPAddress = client
  ) throws -> [String] {
    try ask(name, type, from: client, over: .tcp).answers.map { $0.data.text }.sorted()
  }

  func code(_ name: String, _ type: UInt16 = RecordType.a) throws -> String {
    let reply = try ask(name, type)
    let code = ResponseCode(rawValue: reply.extendedCode).map { "\($0)" } ?? "?"
    return code == "noError" && reply.answers.isEmpty ? "noData" : code
  }
}

extension RecordData {
  var text: String {
    switch self {
    case .address(let address): "\(address)"
    case .name(let name): "\(name)"
    case .service(let priority, let weight, let port, let target):
      "\(priority) \(weight) \(port) \(target)"
    case .text(let texts): texts.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "|")
    case .authority(let primary, let mailbox, let serial, _, _, _, let minimum):
      "\(primary) \(mailbox) \(serial) \(minimum)"
    case .other(let bytes): "\(bytes)"
    }
  }
}
