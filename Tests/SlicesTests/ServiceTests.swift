import Base
import Replication
import Slices
import Testing

@Suite struct ServiceImportTests {
  let db = ServiceName(namespace: "shop", name: "db")

  func export(
    _ cluster: String, created: UInt64, type: ServiceType = .clusterSetIP,
    ports: [ServicePort] = [ServicePort(name: "sql", port: 5432)], ready: Bool = true
  ) -> ServiceExport {
    ServiceExport(
      cluster: cluster, service: db, type: type, ports: ports, createdMilliseconds: created,
      endpoints: [ServiceEndpoint(address: IPAddress(v4: UInt32(created)), ready: ready)])
  }

  @Test func theOldestWinsAndPortsAreUnited() throws {
    let old = export(
      "b", created: 1, ports: [.init(name: "sql", port: 5432), .init(name: "web", port: 80)])
    let young = export(
      "a", created: 2, ports: [.init(name: "sql", port: 9999), .init(name: "admin", port: 81)])
    let merged = try #require(ServiceImport(merging: [young, old]))
    #expect(merged.ports.map { "\($0.name) \($0.port)" } == ["sql 5432", "web 80", "admin 81"])
    #expect(merged.clusters == ["a", "b"] && merged.exports.map(\.cluster) == ["b", "a"])
    #expect(merged.conflicts.map(\.reason) == [.port])
    #expect(merged.conflicts.first?.winner == "b" && merged.conflicts.first?.losers == ["a"])
    #expect(ServiceImport(merging: []) == nil)
  }

  @Test func oneTimeTheSmallerNameWins() throws {
    let merged = try #require(
      ServiceImport(merging: [
        export("b", created: 1, ports: [.init(port: 1)]),
        export("a", created: 1, ports: [.init(port: 2)]),
      ]))
    #expect(merged.exports.map(\.cluster) == ["a", "b"])
    #expect(merged.conflicts.first?.winner == "a")
  }

  @Test func conflictsCarryTheReasonsOfTheAPI() throws {
    var odd = export("b", created: 2, type: .headless, ports: [.init(port: 1)])
    odd.sessionAffinity = .clientIP(timeoutSeconds: 5)
    odd.labels = ["x": "y"]
    odd.annotations = ["x": "y"]
    odd.internalTrafficPolicy = "Local"
    odd.trafficDistribution = "PreferClose"
    odd.ipFamilies = [.v6]
    let merged = try #require(ServiceImport(merging: [export("a", created: 1), odd]))
    #expect(merged.type == .clusterSetIP)
    #expect(
      ExportConflict.conditionReason(merged.conflicts)
        == "PortConflict,TypeConflict,SessionAffinityConflict,AnnotationsConflict,LabelsConflict,"
        + "InternalTrafficPolicyConflict,TrafficDistributionConflict,IPFamilyConflict")
    #expect(ExportConflict.conditionReason([]) == "NoConflicts")
    var first = export("a", created: 1)
    var second = export("b", created: 2)
    first.sessionAffinity = .clientIP(timeoutSeconds: 5)
    second.sessionAffinity = .clientIP(timeoutSeconds: 6)
    let timeouts = try #require(ServiceImport(merging: [first, second]))
    #expect(timeouts.conflicts.map(\.reason) == [.sessionAffinityConfig])
  }

  func select(
    _ policy: SliceDNS.Policy, affinity: EndpointAffinity? = nil, keepLast: Bool = false,
    type: ServiceType = .clusterSetIP, exporters: [String] = ["a", "b", "c"],
    reachable: Set<String> = ["b", "c"], drained: Set<String> = [], unready: Set<String> = []
  ) throws -> [String] {
    var service = try #require(
      ServiceImport(
        merging: exporters.enumerated().map {
          export($1, created: UInt64($0), type: type, ready: !unready.contains($1))
        }))
    service.affinity = affinity
    return EndpointSelection(
      service, dns: SliceDNS(policy: policy, keepLast: keepLast),
      reachability: Reachability(
        local: "a", reachable: reachable, drained: drained,
        rttMicroseconds: ["b": 900, "c": 300])
    ).clusters
  }

  @Test func policies() throws {
    #expect(try select(.local) == ["a"])
    #expect(try select(.all) == ["a", "b", "c"])
    #expect(try select(.nearest) == ["a"])
    #expect(try select(.local, exporters: ["b", "c"]) == ["b", "c"])
    #expect(try select(.nearest, exporters: ["b", "c"]) == ["c"])
    #expect(try select(.nearest, exporters: ["b", "c"], reachable: ["b"]) == ["b"])
    #expect(try select(.local, unready: ["a"]) == ["b", "c"])
    #expect(try select(.local, drained: ["a"]) == ["b", "c"])
    #expect(try select(.local, type: .headless) == ["a", "b", "c"])
  }

  @Test func affinityOverrulesThePolicy() throws {
    #expect(try select(.all, affinity: .local) == ["a"])
    #expect(try select(.local, affinity: EndpointAffinity.none) == ["a", "b", "c"])
    #expect(try select(.local, affinity: .remote) == ["b", "c"])
    #expect(try select(.nearest, affinity: .remote) == ["c"])
    #expect(try select(.local, affinity: .remote, reachable: []) == ["a"])
  }

  @Test func nobodyReachable() throws {
    #expect(try select(.all, exporters: ["b", "c"], reachable: []) == [])
    #expect(
      try select(.all, keepLast: true, exporters: ["b", "c"], reachable: []) == ["b", "c"])
    #expect(
      try select(.all, keepLast: true, exporters: ["b", "c"], reachable: [], unready: ["b"])
        == ["c"])
  }

  @Test func aliasesClashVisibly() throws {
    var world = World()
    try world.apply(slice(members: [member("a"), member("b")]))
    for (name, created) in [("db", 5), ("cache", 3)] {
      let export = ServiceExport(
        cluster: "a", service: ServiceName(namespace: "shop", name: name),
        createdMilliseconds: UInt64(created), aliases: ["store", "\(name).corp", "x.shop.svc"])
      world.set("slice/blue/export/a/shop/\(name)", export.value, in: .slice("blue"))
    }
    let view = try #require(world.view.slices["blue"])
    #expect(
      view.aliases.map { "\($0.name) \($0.service)" }
        == ["cache.corp shop/cache", "db.corp shop/db", "store shop/cache"])
    #expect(view.problems.filter { $0.reason == .aliasConflict }.count == 3)
  }
}

@Suite struct ServiceExplanationTests {
  @Test func walksTheChain() throws {
    var world = World()
    try world.apply(slice(members: [member("a"), member("b")]))
    let db = ServiceName(namespace: "shop", name: "db")
    func explain(_ reachable: Set<String> = ["b"]) -> ServiceExplanation {
      ServiceExplanation(
        db, in: "blue", world.view, reachability: Reachability(local: "a", reachable: reachable))
    }
    func failures(_ reachable: Set<String> = ["b"]) -> [String] {
      explain(reachable).steps.filter { !$0.passed }.map(\.text)
    }
    #expect(failures() == ["no cluster exports shop/db"])
    let scope = Scope.slice("blue")
    world.set(
      "slice/blue/export/b/shop/db", ServiceExport(cluster: "b", service: db).value, in: scope)
    #expect(
      failures() == [
        "b: 0 of 0 endpoints are ready", "b: b has published no gateway yet",
        "no cluster is left whose endpoints could be answered",
      ])
    let block = try #require(world.view.slices["blue"]?.member("b")?.block)
    let address = try #require(block.address(at: 50))
    world.set(
      "slice/blue/export/b/shop/db/0", ExportShard(endpoints: [.init(address: address)]).value,
      in: scope)
    world.publishGateway("blue", "b")
    #expect(failures() == [] && explain().clusters == ["b"] && explain().works)
    #expect(failures([]).first == "b: cannot be reached")
    world.set("slice/blue/member/a", nil)
    #expect(failures().first == "a is no member of slice blue")
    let missing = ServiceExplanation(
      db, in: "red", world.view, reachability: Reachability(local: "a"))
    #expect(!missing.works && missing.steps.map(\.text) == ["there is no slice red"])
  }
}
