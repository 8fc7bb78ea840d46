import Base
import Replication
import Slices
import Testing

@Suite struct ViewTests {
  @Test func membersBlocksAndLinks() throws {
    var world = World()
    try world.apply(
      slice(members: [member("a", ["shop", "pay"]), member("b"), member("c")]))
    world.publishGateway("blue", "b")
    let view = try #require(world.view.slices["blue"])
    #expect(view.problems.isEmpty && view.members.allSatisfy(\.isActive))
    #expect(view.member("a")?.namespaces == ["pay", "shop"])
    let block = try #require(view.member("a")?.block)
    #expect(view.network?.cidr?.contains(block) == true && block.length == 20)
    #expect(view.links.map { "\($0)" } == ["a-b", "a-c", "b-c"])
    #expect(view.neighbours(of: "b").map(\.cluster) == ["a", "c"])
    #expect(view.member("b")?.gateway?.block == view.member("b")?.blockIndex)
    #expect(world.view.slices(of: "a").map(\.name) == ["blue"])
  }

  @Test func topologies() throws {
    let names = ["a", "b", "c"]
    #expect(
      Topology.hubAndSpoke(hubs: ["b"]).links(among: names).map { "\($0)" } == ["a-b", "b-c"])
    #expect(
      Topology.hubAndSpoke(hubs: ["a", "b"]).links(among: names).map { "\($0)" }
        == ["a-b", "a-c", "b-c"])
    #expect(
      Topology.custom(links: [ClusterPair("c", "a"), ClusterPair("a", "x")])
        .links(among: names).map { "\($0)" } == ["a-c"])
  }

  /// Spokes meet through a hub, where there is one; with other topologies nobody is promised that.
  @Test func spokesAreRelayed() throws {
    let names = ["a", "b", "c", "d"]
    #expect(
      Topology.hubAndSpoke(hubs: ["b"]).relayed(among: names).map { "\($0)" }
        == ["a-c", "a-d", "c-d"])
    #expect(Topology.hubAndSpoke(hubs: ["x"]).relayed(among: names).isEmpty)
    #expect(Topology.fullMesh.relayed(among: names).isEmpty)
    #expect(Topology.custom(links: [ClusterPair("a", "b")]).relayed(among: names).isEmpty)
    var world = World()
    try world.apply(
      slice(
        members: [member("a"), member("b"), member("c")], topology: .hubAndSpoke(hubs: ["b"])))
    for name in ["a", "b", "c"] { world.publishGateway("blue", name) }
    let (state, _) = GatewayReconciler.desired(world.view, cluster: "a")
    #expect(state.tunnels.map(\.cluster) == ["b", "c"])
    #expect(state.tunnels.map(\.endpoints.isEmpty) == [false, true])
  }

  @Test func linksToStrangersAreProblems() throws {
    var world = World()
    try world.apply(
      slice(
        members: [member("a"), member("b")], topology: .custom(links: [ClusterPair("a", "b")])))
    world.set("slice/blue/member/b", nil)
    let view = try #require(world.view.slices["blue"])
    #expect(view.problems.map(\.reason) == [.invalidLink] && view.links.isEmpty)
  }

  @Test func anInvalidSectionLeavesTheLastValidOne() throws {
    var world = World()
    try world.apply(
      slice(members: [member("a")], dns: SliceDNS(policy: .all)))
    var view = world.view
    world.set("slice/blue/dns", ["policy": "sometimes"])
    world.set("slice/blue/member/a", ["namespaces": [5]])
    let changed = view.update(
      paths: ["slice/blue/dns", "slice/blue/member/a"], from: world.table)
    #expect(changed.slices == ["blue"])
    let slice = try #require(view.slices["blue"])
    #expect(slice.dns.policy == .all && slice.isActive("a"))
    #expect(slice.problems.map(\.path) == ["slice/blue/dns", "slice/blue/member/a"])
    #expect(slice.problems.allSatisfy { $0.reason == .invalidSection })
    #expect(slice.problems[0].message.contains("allowed: local, nearest, all"))
    // A rebuild keeps it; a fresh view has no elder section to keep.
    view.rebuild(from: world.table)
    #expect(view.slices["blue"] == slice)
    #expect(world.view.slices["blue"]?.members.isEmpty == true)
    world.set("slice/blue/dns", ["policy": "local"])
    view.update(paths: ["slice/blue/dns"], from: world.table)
    #expect(view.slices["blue"]?.dns.policy == .local)
  }

  @Test func oneIndexTwoMembers() throws {
    var world = World()
    try world.apply(slice(members: [member("a", block: 3)]))
    world.set("slice/blue/member/b", ["block": 3, "namespaces": ["shop"]])
    func active() -> [String] {
      (world.view.slices["blue"]?.members ?? []).filter(\.isActive).map(\.cluster)
    }
    // Nobody uses it: the earlier write.
    #expect(active() == ["a"])
    #expect(
      world.view.slices["blue"]?.problems
        == [
          ViewProblem(
            path: "slice/blue/member/b", reason: .addressConflict,
            message: "block 3 is that of a")
        ])
    // One uses it: that one.
    world.publishGateway("blue", "b", since: 100)
    #expect(active() == ["b"])
    // Both: the earlier use.
    world.publishGateway("blue", "a", since: 99)
    #expect(active() == ["a"])
    // A use of another block does not count.
    world.set(
      "slice/blue/gateway/a",
      GatewayRecord(
        endpoints: [], key: Array(repeating: 1, count: 32), block: 9, sinceMilliseconds: 1
      ).value, in: .slice("blue"))
    #expect(active() == ["b"])
  }

  @Test func overlapsHoldTheYounger() throws {
    var world = World()
    try world.apply(slice(members: [member("a"), member("b")]))
    // Two admins in two halves of a partition: each plan was right when it was made.
    var other = World(clusters: ["a", "b", "c"])
    let plan = try other.apply(
      slice("green", cidr: "10.11.128.0/17", members: [member("a", ["pay"]), member("c")]))
    world.apply(plan.writes)
    let view = world.view
    #expect(view.slices["blue"]?.isActive("a") == true)
    #expect(view.slices["green"]?.isActive("a") == false)
    #expect(view.slices["green"]?.isActive("c") == true)
    let problem = try #require(view.slices["green"]?.problems.first)
    #expect(problem.reason == .addressConflict)
    #expect(problem.message.contains("slice green") && problem.message.contains("slice blue"))
  }

  @Test func overlapsWithTheClustersOwnRanges() throws {
    var world = World()
    try world.apply(slice(members: [member("a"), member("b")]))
    world.join("a", ranges: ClusterRanges(nodes: [try #require(IPPrefix("10.11.0.0/24"))]))
    let view = try #require(world.view.slices["blue"])
    #expect(!view.isActive("a") && view.isActive("b") && view.links.isEmpty)
    #expect(view.problems[0].message.contains("node range 10.11.0.0/24 of a"))
  }

  /// `*`: all but what another slice names, what is the cluster's own, and what it keeps to itself.
  @Test func everyNamespace() throws {
    var world = World()
    try world.apply(slice(members: [member("a", ["*"]), member("b", ["*"])]))
    world.set("cluster/b", ClusterAdmission(consent: ["pay", "web", "kube-system"]).value)
    world.set("slice/green", ["cidr": "10.12.0.0/16"])
    world.set("slice/green/member/a", ["block": 1, "namespaces": ["pay"]])
    let blue = try #require(world.view.slices["blue"])
    let (a, b) = (try #require(blue.member("a")), try #require(blue.member("b")))
    #expect(a.includes(namespace: "shop"))
    #expect(!a.includes(namespace: "pay") && !a.includes(namespace: "kube-system"))
    #expect(world.view.slices["green"]?.member("a")?.includes(namespace: "pay") == true)
    #expect(world.view.slices["green"]?.member("a")?.includes(namespace: "shop") == false)
    #expect(b.namespaces == ["pay", "web"] && !b.includes(namespace: "shop"))
    world.set("slice/red", ["cidr": "10.13.0.0/16"])
    world.set("slice/red/member/a", ["block": 1, "namespaces": ["*"]])
    let red = try #require(world.view.slices["red"])
    #expect(red.member("a")?.includes(namespace: "shop") == false)
    #expect(red.problems.map(\.message) == ["all other namespaces belong to slice blue"])
  }

  @Test func namespacesConsentAndAdmission() throws {
    var world = World()
    try world.apply(slice(members: [member("a", ["shop", "pay"]), member("b")]))
    world.set("cluster/a", ClusterAdmission(consent: ["pay", "web"]).value)
    world.set("cluster/b", nil)
    world.set("slice/green", ["cidr": "10.12.0.0/16"])
    world.set("slice/green/member/a", ["block": 1, "namespaces": ["pay", "web"]])
    let view = world.view
    #expect(view.slices["blue"]?.member("a")?.namespaces == ["pay"])
    #expect(view.slices["green"]?.member("a")?.namespaces == ["web"])
    #expect(view.slices["blue"]?.isActive("b") == false)
    #expect(
      view.slices["blue"]?.problems.map(\.reason) == [.notConsented, .notAdmitted])
    #expect(view.slices["green"]?.problems.map(\.reason) == [.namespaceConflict])
  }

  @Test func exportsAndTheirShards() throws {
    var world = World()
    try world.apply(slice(members: [member("a"), member("b", ["pay"])]))
    let block = try #require(world.view.slices["blue"]?.member("a")?.block)
    let inside = try #require(block.address(at: 40))
    let outside = try #require(IPAddress("10.200.0.1"))
    let service = ServiceName(namespace: "shop", name: "db")
    world.set(
      "slice/blue/export/a/shop/db",
      ServiceExport(cluster: "a", service: service, ports: [ServicePort(port: 80)]).value,
      in: .slice("blue"))
    world.set(
      "slice/blue/export/a/shop/db/0",
      ExportShard(endpoints: [.init(address: inside), .init(address: outside)]).value,
      in: .slice("blue"))
    // Not b's namespace; and no member at all.
    for cluster in ["b", "c"] {
      world.set(
        "slice/blue/export/\(cluster)/shop/db",
        ServiceExport(cluster: cluster, service: service).value, in: .slice("blue"))
    }
    let view = try #require(world.view.slices["blue"])
    #expect(view.exports.map(\.cluster) == ["a"])
    #expect(view.exports[0].endpoints.map(\.address) == [inside])
    #expect(view.problems.map(\.reason) == [.invalidEndpoint, .notConsented])
  }

  @Test func updatesAgreeWithRebuilds() throws {
    var rng = SeededGenerator(seed: 3)
    var world = World()
    var view = world.view
    var rebuilt = view
    let values: [(String, Scope, [Value?])] = [
      ("slice/blue", .clusterset, [["cidr": "10.11.0.0/16"], ["cidr": "10.12.0.0/16"], nil]),
      ("slice/green", .clusterset, [["cidr": "10.11.0.0/17"], nil]),
      (
        "slice/blue/member/a", .clusterset,
        [["block": 1, "namespaces": ["shop"]], ["block": 2], nil]
      ),
      ("slice/blue/member/b", .clusterset, [["block": 1, "namespaces": ["shop"]], nil]),
      (
        "slice/green/member/a", .clusterset,
        [["block": 1, "namespaces": ["shop", "pay"]], ["block": 99], nil]
      ),
      ("slice/blue/dns", .clusterset, [["policy": "all"], nil]),
      ("cluster/b", .clusterset, [[:], nil]),
      (
        "slice/blue/export/a/shop/db", .slice("blue"),
        [["ports": [["port": 80]]], ["type": "Headless"], nil]
      ),
      (
        "slice/blue/export/a/shop/db/0", .slice("blue"),
        [["endpoints": [["address": "10.11.16.20"]]], ["endpoints": 3], nil]
      ),
      (
        "slice/blue/export/a/shop/db/2", .slice("blue"),
        [["endpoints": [["address": "10.11.16.21"], ["address": "10.99.0.1"]]], nil]
      ),
      (
        "slice/blue/export/b/shop/db", .slice("blue"),
        [["ports": [["port": 81]], "aliases": ["orders"], "created": 1], [:], nil]
      ),
      (
        "slice/blue/export/b/shop/web", .slice("blue"),
        [["aliases": ["orders", "front"]], ["type": 7], nil]
      ),
      ("slice/blue/export/b/pay/web", .slice("blue"), [[:], nil]),
    ]
    for _ in 0..<1500 {
      var paths: [String] = []
      for _ in 0..<Int.random(in: 1...3, using: &rng) {
        guard let (path, scope, choices) = values.randomElement(using: &rng) else { continue }
        world.set(path, choices.randomElement(using: &rng) ?? nil, in: scope)
        paths.append(path)
      }
      let before = view.slices
      let change = view.update(paths: paths, from: world.table)
      for (name, slice) in before where !change.slices.contains(name) {
        let touched = change.services[name] ?? []
        for service in slice.services where !touched.contains(service.service) {
          #expect(view.slices[name]?.service(service.service) == service)
        }
      }
      rebuilt.rebuild(from: world.table)
      #expect(view.slices == rebuilt.slices && view.clusters == rebuilt.clusters)
    }
  }
}
