import Base
import Replication
import Slices
import Testing

@Suite struct PlanTests {
  @Test func createsThenChangesNothing() throws {
    var world = World()
    let manifest = slice(members: [member("a"), member("b")])
    let plan = try world.apply(manifest)
    #expect(
      plan.writes.map(\.path) == ["slice/blue", "slice/blue/member/a", "slice/blue/member/b"])
    #expect(plan.summary == "3 created, 0 changed, 0 deleted")
    #expect(plan.lines.contains("    + cidr: 10.11.0.0/16"))
    #expect(try world.apply(manifest).isEmpty)
    let stored = try SliceManifest(named: "blue", in: world.table)
    let back = try #require(stored)
    #expect(back.members.map(\.cluster) == ["a", "b"])
    #expect(try SlicePlan(applying: back, to: world.table).isEmpty)
    #expect(try SliceManifest(named: "green", in: world.table) == nil)
  }

  @Test func oneChangeIsOneWrite() throws {
    var world = World()
    var manifest = slice(members: [member("a"), member("b")])
    try world.apply(manifest)
    manifest.dns.policy = .nearest
    var plan = try world.apply(manifest)
    #expect(plan.writes == [RegisterWrite(path: "slice/blue/dns", value: ["policy": "nearest"])])
    manifest.members[1].gateway.replicas = 4
    plan = try world.apply(manifest)
    #expect(plan.writes.map(\.path) == ["slice/blue/member/b"])
    #expect(plan.changes[0].kind == .changed)
    manifest.dns = SliceDNS()
    manifest.members.removeFirst()
    plan = try world.apply(manifest)
    #expect(plan.writes.map(\.path) == ["slice/blue/dns", "slice/blue/member/a"])
    #expect(plan.writes.allSatisfy { $0.value == nil })
  }

  @Test func whatNewerReleasesWroteStays() throws {
    var world = World()
    var manifest = slice(members: [member("a")])
    try world.apply(manifest)
    world.set("slice/blue/dns", ["policy": "all", "colour": "green"])
    manifest.dns.policy = .all
    #expect(try SlicePlan(applying: manifest, to: world.table).isEmpty)
    manifest.dns.policy = .local
    let plan = try SlicePlan(applying: manifest, to: world.table)
    #expect(plan.writes == [RegisterWrite(path: "slice/blue/dns", value: ["colour": "green"])])
  }

  @Test func blocksFollowTheRendezvousOrderAndStay() throws {
    var world = World()
    let manifest = slice(members: [member("a"), member("b"), member("c")])
    try world.apply(manifest)
    let layout = try #require(manifest.network.layout)
    let block = { (cluster: String) in
      world.table["slice/blue/member/\(cluster)"]?.value["block"]?.integer.map { Int($0) }
    }
    #expect(block("a") == layout.preference(of: "a").first)
    #expect(Set(["a", "b", "c"].compactMap(block)).count == 3)
    // Members that leave and come back do not push the others about.
    let before = ["b", "c"].map(block)
    try world.apply(slice(members: [member("c"), member("b")]))
    try world.apply(slice(members: [member("c"), member("b"), member("a")]))
    #expect(["b", "c"].map(block) == before)
  }

  @Test func blocksInUseAreTakenLast() throws {
    var world = World(clusters: ["a", "b"])
    let manifest = slice(members: [member("a")], maxClusters: 2)
    try world.apply(manifest)
    world.publishGateway("blue", "a")
    let old = world.table["slice/blue/member/a"]?.value["block"]?.integer
    let plan = try SlicePlan(
      applying: slice(members: [member("b")], maxClusters: 2), to: world.table)
    let new = plan.writes.first { $0.path == "slice/blue/member/b" }?.value?["block"]?.integer
    #expect(new != nil && new != old)
  }

  @Test func givenBlocks() throws {
    var world = World()
    try world.apply(slice(members: [member("a", block: 3), member("b", block: 4)]))
    #expect(world.table["slice/blue/member/a"]?.value["block"] == 3)
    let plan = try world.apply(slice(members: [member("a", block: 7), member("b")]))
    #expect(plan.notes == ["a moves from block 3 to 7: its connections end"])
    expectError("spec.members[0].block: block 4 is that of \"b\"", world) {
      slice(members: [member("c", block: 4), member("b"), member("a")])
    }
  }

  @Test func immutables() throws {
    var world = World()
    try world.apply(slice(members: [member("a")], maxClusters: 9))
    expectError("spec.cidr: cannot change", world) {
      slice(cidr: "10.12.0.0/16", members: [member("a")], maxClusters: 9)
    }
    expectError("spec.overlay: cannot change", world) {
      slice(members: [member("a")], maxClusters: 9, overlay: .pod)
    }
    expectError("allowed: 9 to 16", world) {
      slice(members: [member("a")], maxClusters: 17)
    }
    // The block size stays the same while blocks stay free.
    #expect(try world.apply(slice(members: [member("a")], maxClusters: 16)).writes.count == 1)
    // Nobody is renumbered in a slice without members.
    try world.apply(slice(maxClusters: 16))
    #expect(try !world.apply(slice(cidr: "10.12.0.0/16")).isEmpty)
  }

  @Test func loadBalancersDoNotGoBackToNodePorts() throws {
    var world = World()
    var manifest = slice(members: [member("a")])
    try world.apply(manifest)
    manifest.members[0].gateway.type = .loadBalancer
    try world.apply(manifest)
    expectError("cannot go back from LoadBalancer", world) { slice(members: [member("a")]) }
  }

  @Test func clustersRangesAndOtherSlices() throws {
    var world = World()
    let pods = ClusterRanges(pods: [try #require(IPPrefix("10.11.128.0/17"))])
    world.join("c", ranges: pods)
    expectError("spec.members[0].cluster: no cluster \"d\" is admitted", world) {
      slice(members: [member("d")])
    }
    expectError("10.11.0.0/16 overlaps the pod range 10.11.128.0/17 of c", world) {
      slice(members: [member("c")])
    }
    try world.apply(slice(members: [member("a")]))
    expectError("overlaps 10.11.0.0/16 of slice blue", world) {
      slice("green", cidr: "10.11.64.0/18", members: [member("a", ["pay"])])
    }
    expectError("\"shop\" in a belongs to slice blue already", world) {
      slice("green", cidr: "10.12.0.0/16", members: [member("a")])
    }
    // The same addresses and namespaces in other clusters are nobody's business.
    try world.apply(slice("green", cidr: "10.11.0.0/16", members: [member("b")]))
  }

  @Test func deletion() throws {
    var world = World()
    try world.apply(slice(members: [member("a")]))
    #expect(throws: ManifestError.self) { try SlicePlan(deleting: "blue", from: world.table) }
    let plan = try SlicePlan(deleting: "blue", from: world.table, force: true)
    #expect(plan.summary == "0 created, 0 changed, 2 deleted")
    world.apply(plan.writes)
    #expect(world.table.paths(withPrefix: "slice/", in: .clusterset).isEmpty)
    #expect(throws: ManifestError.self) { try SlicePlan(deleting: "blue", from: world.table) }
  }

  @Test func bigPlansFitChangesets() throws {
    let names = (0..<600).map { "c\($0)" }
    let world = World(clusters: names)
    let plan = try SlicePlan(
      applying: slice(
        cidr: "10.0.0.0/8", members: names.map { member($0) }, maxClusters: 600),
      to: world.table)
    let batches = plan.batches()
    #expect(batches.map(\.count) == [256, 256, 89])
    #expect(batches.flatMap { $0 } == plan.writes)
  }

  func expectError(_ text: String, _ world: World, _ manifest: () -> SliceManifest) {
    #expect {
      try SlicePlan(applying: manifest(), to: world.table)
    } throws: { error in
      let found = "\(error)".contains(text)
      if !found { Issue.record("\(error)") }
      return found
    }
  }
}
