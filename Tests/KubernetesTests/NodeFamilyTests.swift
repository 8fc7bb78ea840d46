import Base
import Kubernetes
import Slices
import Testing

/// Which of several addresses of Nodes and Pods nodes are told of.
@Suite struct NodeFamilyTests {
  private func world(_ overlay: SliceOverlay = .service) throws -> NodeWorld {
    var world = try NodeWorld(overlay: overlay, cidr: "fd11:11::/48")
    world.node("node0", "192.0.2.11", "2001:db8::11")
    world.node("node1", "2001:db8::12", "192.0.2.12")
    return world
  }

  @Test func addressesAreOfTheSlicesFamily() throws {
    var world = try world()
    world.pod("client", "10.100.0.2", "fd64::2", on: "node0")
    world.pod("old", "10.100.0.3", on: "node0")
    world.pod("host", "192.0.2.12", on: "node1", isHost: true)
    world.pod("web-0", "10.100.1.2", "fd64:0:0:1::2", on: "node1")
    world.export("web", "10.100.1.2", on: "node1", pod: "web-0")
    try world.settle()
    #expect(world.texts("sources", on: "node0") == ["fd64::2"])
    // Pods of the node's own network bring along all of the node's addresses.
    #expect(world.texts("sources", on: "node1") == ["2001:db8::12", "fd64:0:0:1::2"])
    #expect(world.texts("endpoints", on: "node1") == ["fd64:0:0:1::2"])
    #expect(world.networks.values.allSatisfy { $0["underlay"]?.string?.contains(":") == false })
    // Importers have to make a Service of the family that its endpoints have.
    #expect(world.export(of: "web")?.export?.traits.ipFamilies == [.v6])
    #expect(world.statements.isEmpty && world.refusals.isEmpty)
  }

  @Test func aServiceOfBothFamiliesHasEachPodOnce() throws {
    var world = try world()
    world.pod("web-0", "10.100.1.2", "fd64:0:0:1::2", on: "node1")
    world.export("web", "10.100.1.2", on: "node1", pod: "web-0")
    world.put(
      .endpointSlices, "shop", "web-y", labels: [ObjectNames.serviceName: "web"],
      [
        "addressType": "IPv6", "ports": [["name": "http", "port": 80]],
        "endpoints": [
          [
            "addresses": ["fd64:0:0:1::2"], "nodeName": "node1",
            "targetRef": ["kind": "Pod", "name": "web-0"],
          ]
        ],
      ])
    try world.settle()
    #expect(world.export(of: "web")?.endpoints.map(\.address.description) == ["fd64:0:0:1::2"])
    #expect(world.texts("endpoints", on: "node1") == ["fd64:0:0:1::2"])
  }

  @Test func whatHasNoAddressOfTheFamilySaysSo() throws {
    var world = try world()
    world.pod("web-0", "10.100.1.2", on: "node1")
    world.export("web", "10.100.1.2", on: "node1", pod: "web-0")
    try world.settle()
    #expect(world.texts("sources", on: "node1") == [])
    #expect(world.texts("endpoints", on: "node1") == [])
    #expect(world.export(of: "web")?.endpoints.isEmpty == true)
    #expect(
      world.refusals == [
        "shop/web: slice bench has addresses of IPv6, and none of the Service's endpoints has one"
      ])
    #expect(world.statements.isEmpty)
    world.put(.slices, "", "bench")
    try world.settle()
    #expect(
      world.statements == [
        "bench: the slice has addresses of IPv6, and none of the Pods of its namespaces in this "
          + "cluster has one: they cannot enter it"
      ])
    // The Pod is known with its second address later than the EndpointSlice.
    world.pod("web-0", "10.100.1.2", "fd64:0:0:1::2", on: "node1")
    try world.settle()
    #expect(world.texts("endpoints", on: "node1") == ["fd64:0:0:1::2"])
    #expect(world.statements.isEmpty && world.refusals.isEmpty)
  }

  @Test func gatewaysAreMetByTheUnderlaysFamily() throws {
    var world = try world()
    world.node("node2", "2001:db8::13")
    world.gateway(0, "2001:db8::2", "192.0.2.2")
    world.gateway(1, "192.0.2.3")
    try world.settle()
    func underlays(_ node: String) -> [String] {
      (world.slice(on: node)["gateways"]?.array ?? []).compactMap { $0["underlay"]?.string }
    }
    #expect(underlays("node0") == ["192.0.2.2", "192.0.2.3"])
    #expect(underlays("node2") == ["2001:db8::2"])
  }

  @Test func chunksOfOverlayPod() throws {
    var world = try world(.pod)
    try world.settle()
    let chunk = try #require(world.slice(on: "node0")["chunk"]?.string.flatMap { IPPrefix($0) })
    let block = try #require(world.slice(on: "node0")["block"]?.string.flatMap { IPPrefix($0) })
    #expect(block.contains(chunk) && chunk.length < 128)
  }
}
