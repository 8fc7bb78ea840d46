import Base
import Replication
import Slices
import Testing

@Suite struct ReconcileTests {
  func local(_ endpoints: Int = 1, headless: Bool = false) throws -> LocalServices {
    try LocalServices([
      "services": [
        [
          "namespace": "shop", "name": "db",
          "ports": [["name": "sql", "port": 5432]],
          "endpoints": .list(
            (0..<endpoints).map {
              [
                "address": .string("192.168.\($0 / 250).\($0 % 250 + 1)"),
                "hostname": .string("db-\($0)"),
              ]
            }),
          "export": ["slice": "blue", "headless": .bool(headless), "aliases": ["store"]],
        ],
        ["namespace": "other", "name": "web", "export": ["slice": "blue"]],
        ["namespace": "shop", "name": "quiet"],
        ["namespace": "shop", "name": "lost", "export": ["slice": "red"]],
      ],
      "workloads": [["namespace": "shop", "addresses": ["192.168.9.9"]]],
    ])
  }

  func export(
    _ world: inout World, _ local: LocalServices,
    _ allocators: inout [String: AddressAllocator]
  ) -> ServiceExportReconciler.Plan {
    let plan = ServiceExportReconciler.plan(
      world.view, cluster: "a", local: local, allocators: &allocators, observed: world.table,
      now: 1000)
    world.apply(plan.writes)
    return plan
  }

  @Test func exportsOnceAndOnlyWhatTakesPart() throws {
    var world = World()
    try world.apply(slice(members: [member("a"), member("b")]))
    var allocators: [String: AddressAllocator] = [:]
    let plan = export(&world, try local(), &allocators)
    #expect(
      plan.writes.map(\.path) == ["slice/blue/export/a/shop/db", "slice/blue/export/a/shop/db/0"])
    #expect(plan.writes.allSatisfy { $0.scope == .slice("blue") })
    #expect(plan.refusals.map(\.service.name) == ["web", "lost"])
    let endpoint = try #require(plan.endpoints.first)
    #expect(endpoint.target == IPAddress("192.168.0.1"))
    let view = try #require(world.view.slices["blue"])
    #expect(view.exports.first?.endpoints.first?.address == endpoint.address)
    #expect(view.exports.first?.createdMilliseconds == 1000 && view.problems.isEmpty)
    // Level-triggered: nothing changed, nothing to write. Without the allocations as well.
    #expect(export(&world, try local(), &allocators).writes.isEmpty)
    var lost: [String: AddressAllocator] = [:]
    #expect(export(&world, try local(), &lost).writes.isEmpty)
    // The last export goes with its shards.
    let gone = export(&world, LocalServices(), &allocators)
    #expect(gone.writes.count == 2 && gone.writes.allSatisfy { $0.value == nil })
    #expect(allocators["blue"]?.allocations.isEmpty == true)
  }

  @Test func oneEndpointCostsOneShard() throws {
    var world = World()
    try world.apply(slice(members: [member("a")]))
    var allocators: [String: AddressAllocator] = [:]
    var services = try local(250)
    #expect(export(&world, services, &allocators).writes.count == 1 + 16)
    #expect(world.view.slices["blue"]?.exports.first?.endpoints.count == 250)
    services.services[0].endpoints[120].ready = false
    #expect(export(&world, services, &allocators).writes.count == 1)
    services.services[0].endpoints.remove(at: 3)
    #expect(export(&world, services, &allocators).writes.count == 1)
    services.services[0].endpoints.append(
      .init(address: try #require(IPAddress("192.168.8.8")), hostname: "new"))
    #expect(export(&world, services, &allocators).writes.count == 1)
    #expect(world.view.slices["blue"]?.exports.first?.endpoints.count == 250)
    for path in world.table.paths(withPrefix: "slice/blue/export/a/shop/db/", in: .slice("blue")) {
      let value = try #require(world.table.value(path, in: .slice("blue")))
      #expect(try ExportShard(value).endpoints.count <= ServiceExport.endpointsPerNewShard)
    }
  }

  @Test func gateways() throws {
    var world = World()
    try world.apply(
      slice(
        members: [member("a"), member("b"), member("c")], topology: .hubAndSpoke(hubs: ["a"])))
    world.publishGateway("blue", "b")
    var (state, waiting) = GatewayReconciler.desired(world.view, cluster: "a")
    let device = try #require(state.devices.first)
    #expect(device.device == "sl-blue" && device.block.contains(device.address))
    #expect(state.tunnels.map(\.cluster) == ["b"])
    #expect(state.tunnels[0].certificateAuthority == Array("b".utf8))
    #expect(
      waiting.map(\.cluster) == ["c"] && waiting[0].reason.contains("published no gateway"))
    #expect(
      GatewayReconciler.desired(world.view, cluster: "c").waiting.map(\.cluster) == ["a"])
    #expect(
      GatewayReconciler.plan(desired: state, observed: GatewayState())
        == [.openDevice(device), .openTunnel(state.tunnels[0])])
    #expect(GatewayReconciler.plan(desired: state, observed: state).isEmpty)
    let before = state
    world.set("slice/blue/member/b", nil)
    (state, waiting) = GatewayReconciler.desired(world.view, cluster: "a")
    #expect(
      GatewayReconciler.plan(desired: state, observed: before)
        == [.closeTunnel(slice: "blue", cluster: "b", replica: "0")])
    world.set("slice/blue/member/a", nil)
    (state, _) = GatewayReconciler.desired(world.view, cluster: "a")
    #expect(
      GatewayReconciler.plan(desired: state, observed: before)
        == [.closeTunnel(slice: "blue", cluster: "b", replica: "0"), .closeDevice(slice: "blue")])
  }

  @Test func publicationKeepsItsAge() throws {
    var world = World()
    try world.apply(slice(members: [member("a")]))
    let key = [UInt8](repeating: 1, count: 32)
    func publish(_ key: [UInt8], now: UInt64) throws -> RegisterWrite? {
      GatewayReconciler.publication(
        try #require(world.view.slices["blue"]), cluster: "a", endpoints: [], key: key, now: now)
    }
    let first = try #require(try publish(key, now: 10))
    world.apply([first])
    #expect(try publish(key, now: 20) == nil)
    let other = try #require(try publish([UInt8](repeating: 2, count: 32), now: 30))
    #expect(other.value?["since"] == 10)
    let block = try #require(world.view.slices["blue"]?.member("a")?.blockIndex)
    world.set("slice/blue/member/a", ["block": .integer(Int64(block ^ 1))])
    #expect(try publish(key, now: 40)?.value?["since"] == 40)
  }

  @Test func deviceNamesFit() {
    #expect(GatewayDevice.deviceName(of: "blue") == "sl-blue")
    #expect(GatewayDevice.deviceName(of: "twelve-chars") == "sl-twelve-chars")
    let long = GatewayDevice.deviceName(of: "thirteen-char")
    #expect(long.utf8.count == 15 && long.hasPrefix("sl-thirt-"))
  }

  @Test func nodes() throws {
    var world = World()
    try world.apply(slice(members: [member("a"), member("b")]))
    var allocators: [String: AddressAllocator] = [:]
    let services = try local()
    let endpoints = export(&world, services, &allocators).endpoints
    let desired = NodeRouteReconciler.desired(
      world.view, cluster: "a", local: services, endpoints: endpoints, allocators: &allocators)
    let node = try #require(desired.first)
    #expect(node.sources.map { "\($0)" } == ["192.168.0.1", "192.168.9.9"])
    #expect(node.block.contains(node.nodeAddress) && node.nodeAddress != node.gatewayAddress)
    let rules = NodeRules.script(desired)
    #expect(rules.contains("elements = { \(endpoints[0].address) : 192.168.0.1 }"))
    #expect(rules.contains("snat ip to \(node.nodeAddress)"))
    #expect(rules.contains("192.168.0.1 . tcp . 5432"))
    // Nothing there yet but the rules: the device is the gateway's to make.
    #expect(
      NodeRouteReconciler.plan(desired: desired, observed: ObservedNode()) == [.loadRules(rules)])
    let address = DeviceAddress(node.gatewayAddress, prefixLength: 16)
    let route = DeviceRoute(node.cidr, device: "sl-blue")
    #expect(
      NodeRouteReconciler.plan(
        desired: desired, observed: ObservedNode(addresses: ["sl-blue": []], rules: rules))
        == [.addAddress(address, device: "sl-blue"), .addRoute(route)])
    let settled = ObservedNode(
      addresses: ["sl-blue": [address]], routes: [route], rules: rules)
    #expect(NodeRouteReconciler.plan(desired: desired, observed: settled).isEmpty)
    #expect(
      NodeRouteReconciler.plan(desired: [], observed: settled)
        == [.removeRoute(route), .removeAddress(address, device: "sl-blue"), .removeRules])
  }

  @Test func clientsSeeTheirSlices() throws {
    var world = World()
    try world.apply(slice(members: [member("a")]))
    let services = try local()
    let clients = ClientSlices.byAddress(world.view, cluster: "a", local: services)
    #expect(clients.count == 2 && clients.values.allSatisfy { $0 == ["blue"] })
    #expect(ClientSlices.byAddress(world.view, cluster: "b", local: services).isEmpty)
  }

  @Test func badServicesFilesNameTheField() {
    let bad: Value = [
      "services": [
        ["namespace": "shop", "name": "DB", "endpoints": [["address": "1.2.3"]]],
        ["namespace": "shop", "name": "web", "ports": [["port": 80], ["port": 81]]],
        ["namespace": "shop", "name": "web", "export": ["slce": "blue"]],
      ], "workload": [],
    ]
    #expect {
      try LocalServices(bad)
    } throws: { error in
      let text = "\(error)"
      let wanted = [
        "services[0].name: \"DB\"", "services[0].endpoints[0].address", "services[1].ports[0].name",
        "services[2].export.slce: unknown field; did you mean slice?", "workload: unknown field",
        "services[2].export.slice: is missing",
      ]
      for part in wanted where !text.contains(part) { Issue.record("\(part) not in \(text)") }
      return true
    }
  }
}
