import Base
import Foundation
import Kubernetes
import Slices
import Testing

@Suite struct NodeNetworkTests {
  private func world(_ overlay: SliceOverlay = .service) throws -> NodeWorld {
    var world = try NodeWorld(overlay: overlay)
    world.node("node0", "192.0.2.11")
    world.node("node1", "192.0.2.12")
    world.gateway(0, "192.0.2.2")
    world.pod("client", "10.100.0.2", on: "node0")
    world.pod("outsider", "10.100.0.3", on: "node0", in: "other")
    world.pod("web-0", "10.100.1.2", on: "node1")
    world.export("web", "10.100.1.2", on: "node1")
    return world
  }

  @Test func eachNodeIsToldWhatIsOnIt() throws {
    var world = try world()
    #expect(try world.settle() == ["node0", "node1"])
    #expect(world.plan().isEmpty)
    #expect(world.networks["node0"]?["underlay"] == "192.0.2.11")
    #expect(world.texts("sources", on: "node0") == ["10.100.0.2"])
    #expect(world.texts("sources", on: "node1") == ["10.100.1.2"])
    #expect(world.texts("endpoints", on: "node0") == [])
    #expect(world.texts("endpoints", on: "node1") == ["10.100.1.2"])
    #expect(
      world.slice(on: "node1")["gateways"]
        == [["address": "10.11.16.1", "underlay": "192.0.2.2"]])
    let owner = world.objects.all(.nodeNetworks)[0].metadata["ownerReferences"]?.array?.first
    #expect(owner?["kind"] == "Node" && owner?["name"] == "node0")
  }

  @Test func oneChangedPodIsOneObject() throws {
    var world = try world()
    try world.settle()
    world.pod("second", "10.100.0.4", on: "node0")
    #expect(try world.settle() == ["node0"])
    // What is over has given its address back.
    world.pod("second", "10.100.0.4", on: "node0", phase: "Succeeded")
    #expect(try world.settle() == ["node0"])
    #expect(world.texts("sources", on: "node0") == ["10.100.0.2"])
    // Pods of others change nothing.
    world.pod("third", "10.100.0.5", on: "node0", in: "other")
    #expect(try world.settle() == [])
    // It moves: both nodes are told.
    world.pod("web-0", "10.100.0.9", on: "node0")
    world.export("web", "10.100.0.9", on: "node0")
    #expect(try world.settle() == ["node0", "node1"])
    #expect(world.texts("endpoints", on: "node1") == [])
    world.pod("client", "10.100.0.2", on: "node0", labels: [ObjectNames.optOut: ""])
    try world.settle()
    #expect(world.texts("sources", on: "node0") == ["10.100.0.9"])
  }

  @Test func nodesComeAndGoAndAddressesStay() throws {
    var world = try world(.pod)
    try world.settle()
    let before = ["node0", "node1"].map { world.slice(on: $0) }
    world.node("node2", "192.0.2.13")
    #expect(try world.settle() == ["node2"])
    // Another peer acts, which has nothing but the API server.
    world.restart(keeping: false)
    #expect(world.plan().allSatisfy { $0.id.type == .nodeNetworks })
    for (node, old) in zip(["node0", "node1"], before) {
      #expect(world.slice(on: node)["nodeAddress"] == old["nodeAddress"])
      #expect(world.slice(on: node)["chunk"] == old["chunk"])
    }
    world.remove(.nodes, "", "node2")
    #expect(try world.settle() == ["node2"])
    #expect(world.networks["node2"] == nil)
  }

  @Test func podsWithAddressesOfTheirOwn() throws {
    var world = try world(.pod)
    world.pod("host", "192.0.2.11", on: "node0", isHost: true)
    world.pod("debug", "10.100.0.7", on: "node0", labels: [ObjectNames.optOut: "true"])
    try world.settle()
    let slice = world.slice(on: "node0")
    #expect(slice["namespaces"] == ["shop"] && slice["optedOut"] == ["shop/debug"])
    #expect(world.texts("sources", on: "node0") == ["10.100.0.2", "192.0.2.11"])
    let chunks = try ["node0", "node1"].map { node in
      try #require(world.slice(on: node)["chunk"]?.string.flatMap { IPPrefix($0) })
    }
    #expect(chunks.allSatisfy { $0.length == 26 } && chunks[0] != chunks[1])
    #expect(world.slice(on: "node1")["endpoints"]?.array?.first?["pod"] == "shop/web-0")
    // Single addresses and chunks never meet.
    for allocator in world.allocators.values {
      #expect(allocator.block.length == 22 && chunks.allSatisfy { !allocator.block.overlaps($0) })
    }
  }

  @Test func nothingIsWrittenOnHalfOfWhatThereIs() throws {
    var world = try world()
    world.objects.setServed(.pods, false)
    #expect(world.plan().isEmpty)
    world.objects.setServed(.pods, true)
    world.objects[.pods] = ObjectStore(limits: .init(objects: 1, bytes: 1 << 20))
    for name in ["x", "y"] { world.pod(name, "10.100.0.8", on: "node0") }
    #expect(world.plan().isEmpty)
  }

  /// The clusters of `Tests/EndToEnd/test_nodes.py`: its agents are fed with what is planned here.
  /// With `STARLING_WRITE_VECTORS` the files are written instead.
  @Test(arguments: ["a", "b"], [IPAddress.Family.v4, .v6])
  func theLabsNodesAreFedByTheOperator(_ cluster: String, _ family: IPAddress.Family) throws {
    let slice = family == .v4 ? "bench" : "bench6"
    var world = try NodeWorld(
      cluster, slice: slice, cidr: family == .v4 ? "10.11.0.0/16" : "fd11:11::/48")
    // For a slice of IPv6 Pods have both families; Services stay with the first.
    func pod(_ name: String, _ node: Int, _ number: Int, in namespace: String = "shop") {
      var addresses = ["10.100.\(node).\(number)"]
      if family == .v6 { addresses.append("fd64:0:0:\(node)::\(number)") }
      world.pod(name, addresses: addresses, on: "node\(node)", in: namespace)
    }
    func export(_ name: String, _ node: Int, _ number: Int) {
      pod(name, node, number)
      world.export(name, "10.100.\(node).\(number)", on: "node\(node)", pod: name)
    }
    for number in 0..<2 {
      world.node("node\(number)", "2001:db8::\(11 + number)", "192.0.2.\(11 + number)")
    }
    world.gateway(0, "2001:db8::2", "192.0.2.2")
    if cluster == "a" {
      world.gateway(1, "192.0.2.3")
      pod("client", 0, 2)
      pod("outsider", 0, 3, in: "other")
      export("same", 0, 4)
      export("neighbour", 1, 2)
    } else {
      export("web", 0, 2)
    }
    try world.settle()
    let list = JSON.object([
      "items": .array(
        world.networks.sorted { $0.key < $1.key }.map {
          ["metadata": ["name": .string($0.key)], "spec": $0.value]
        })
    ])
    let file = URL(filePath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: "EndToEnd/operator/\(cluster)-\(slice).json")
    if ProcessInfo.processInfo.environment["STARLING_WRITE_VECTORS"] != nil {
      try FileManager.default.createDirectory(
        at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(list.bytes + [0x0a]).write(to: file)
    }
    #expect(try JSON(parsing: Array(Data(contentsOf: file))) == list)
  }
}

@Suite struct PodChunkTests {
  @Test func chunksLieInTheUpperThreeQuarters() throws {
    let block = try #require(IPPrefix("10.11.16.0/20"))
    let chunks = try #require(PodChunks(block: block))
    #expect(chunks.count == 48 && chunks.length == 26)
    #expect(chunks.chunk(0)?.description == "10.11.20.0/26")
    #expect(chunks.chunk(47)?.description == "10.11.31.192/26")
    #expect(chunks.chunk(48) == nil)
    #expect(PodChunks.allotted(of: block, overlay: .pod).description == "10.11.16.0/22")
    #expect(PodChunks.allotted(of: block, overlay: .service) == block)
    #expect(IPPrefix("10.11.16.0/23").flatMap { PodChunks(block: $0) } == nil)
    #expect(IPPrefix("fd00:1::/56").flatMap { PodChunks(block: $0) }?.count == 65_536)
  }

  @Test func whoHasOneKeepsIt() throws {
    let chunks = try #require(IPPrefix("10.11.16.0/22").flatMap { PodChunks(block: $0) })
    let names = (0..<60).map { "node\($0)" }.sorted()
    let first = chunks.allot(names, known: [:])
    #expect(first.count == 48 && Set(first.values).count == 48)
    #expect(chunks.allot(names, known: first) == first)
    let fewer = Array(names.filter { first[$0] != nil }.dropLast(5))
    let again = chunks.allot(fewer, known: first)
    #expect(again == first.filter { fewer.contains($0.key) })
    // Two with one: the first by name keeps it. What is no chunk counts as none.
    let same = try #require(chunks.chunk(3))
    let both = chunks.allot(["x", "y"], known: ["x": same, "y": same])
    #expect(both["x"] == same && both["y"] != same && both.count == 2)
    let odd = try #require(IPPrefix("10.11.16.0/28"))
    #expect(chunks.allot(["x"], known: ["x": odd])["x"] != odd)
  }
}
