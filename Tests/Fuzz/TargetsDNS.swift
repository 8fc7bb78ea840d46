import Base
import Naming
import Slices

/// DNS queries, by UDP and TCP, from a workload and from a forwarder; and the reader of messages.
func dnsTarget() -> FuzzTarget {
  let resolver = sampleResolver()
  let clients = [IPAddress(v4: 0x7f00_0001), IPAddress(v4: 0x0a00_0002)]
  let transports: [Resolver.Transport] = [.udp, .tcp]
  let queries = sampleQueries()
  let replies = queries.map { resolver.answer($0, from: clients[0], over: .tcp) }
  precondition(replies.allSatisfy { !$0.isEmpty }, "the samples are answered")
  return FuzzTarget(name: "dns", corpus: queries + replies) { input in
    // One combination an input, chosen by it, so that the same bytes give the same run.
    let choice = Int(input.last ?? 0)
    let reply = resolver.answer(
      input, from: clients[choice & 1], over: transports[choice >> 1 & 1])
    if !reply.isEmpty {
      precondition((try? DNSMessage(reply)) != nil, "our own reply cannot be read")
    }
    guard let message = try? DNSMessage(input) else { return }
    guard let again = try? DNSMessage(message.encoded()) else {
      preconditionFailure("a message that was read cannot be written")
    }
    precondition(again.questions == message.questions && again.answers == message.answers)
  }
}

private func sampleQueries() -> [[UInt8]] {
  let names: [(String, UInt16)] = [
    ("web.shop.svc.slice.local", RecordType.a), ("web.shop.svc.slice.local", RecordType.aaaa),
    ("db-0.b.db.shop.svc.clusterset.local", RecordType.a),
    ("_http._tcp.web.shop.svc.slice.local", RecordType.srv),
    ("web.shop.blue.slice.local", RecordType.any), ("slice.local", RecordType.soa),
    ("dns-version.clusterset.local", RecordType.txt), ("nothing.slice.local", RecordType.a),
    ("5.16.11.10.in-addr.arpa", RecordType.ptr), ("example.org", RecordType.a),
  ]
  return names.enumerated().compactMap { index, entry in
    guard let name = DomainName(entry.0) else { return nil }
    let option = DNSMessage.EDNS.Option(
      code: NamingTable.defaultClientOption, data: [127, 0, 0, 1])
    var edns = DNSMessage.EDNS(payloadBytes: 1_232)
    edns.options = [option]
    return DNSMessage(
      id: UInt16(index), questions: [.init(name: name, type: entry.1)],
      edns: index.isMultiple(of: 2) ? edns : nil
    ).encoded()
  }
}

private func sampleResolver() -> Resolver {
  func endpoints(_ texts: [String]) -> [ServiceEndpoint] {
    texts.enumerated().compactMap { index, text in
      IPAddress(text).map { ServiceEndpoint(address: $0, hostname: "db-\(index)") }
    }
  }
  func service(_ name: String, _ type: ServiceType, _ addresses: [String]) -> ServiceImport? {
    ServiceImport(merging: [
      ServiceExport(
        cluster: "b", service: ServiceName(namespace: "shop", name: name), type: type,
        ports: [ServicePort(name: "http", port: 80)], createdMilliseconds: 1,
        endpoints: endpoints(addresses))
    ])
  }
  var view = SliceView(name: "blue", network: SliceNetwork(cidr: IPPrefix("10.11.0.0/16")))
  let many = (1...40).map { "10.11.32.\($0)" }
  view.services = [
    service("db", .headless, ["10.11.16.7", "10.11.16.8"]), service("many", .headless, many),
    service("web", .clusterSetIP, ["10.11.16.5", "10.11.16.6", "fd11::5"]),
  ].compactMap { $0 }
  let names = SliceNames(
    view, NameSources(reachability: Reachability(local: "a", reachable: ["b"])))
  return Resolver(
    NamingTable(
      slices: [names], clients: ClientViews(others: ["blue"]),
      servers: [IPAddress(v4: 0x0a0b_0001)], serial: 7,
      forwarders: [IPPrefix("10.0.0.0/24")].compactMap { $0 }))
}
