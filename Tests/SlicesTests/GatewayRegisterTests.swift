import Base
import Replication
import Slices
import Testing

/// Several gateways of one cluster in one slice, each with a register of its own.
@Suite struct GatewayRegisterTests {
  private static func publish(
    _ world: World, _ replica: String, at port: UInt16 = 7900, now: UInt64 = 10
  ) throws -> RegisterWrite? {
    GatewayReconciler.publication(
      try #require(world.view.slices["blue"]), cluster: "b",
      endpoints: [IPEndpoint(IPAddress(v4: 0x0a00_0002), port: port)],
      key: [UInt8](repeating: UInt8(port & 0xff), count: 32), replica: replica, now: now)
  }

  private static func world() throws -> World {
    var world = World()
    try world.apply(slice(members: [member("a"), member("b")]))
    return world
  }

  @Test func theFirstKeepsThePathThatSingleOnesHave() {
    #expect(SlicePath.gateway(slice: "blue", cluster: "b").text == "slice/blue/gateway/b")
    #expect(
      SlicePath.gateway(slice: "blue", cluster: "b", replica: "1").text == "slice/blue/gateway/b/1")
    #expect(
      SlicePath("slice/blue/gateway/b") == .gateway(slice: "blue", cluster: "b", replica: "0"))
    #expect(
      SlicePath("slice/blue/gateway/b/x") == .gateway(slice: "blue", cluster: "b", replica: "x"))
    // One gateway, one register.
    #expect(SlicePath("slice/blue/gateway/b/0") == nil)
    #expect(SlicePath("slice/blue/gateway/b/x/y") == nil)
    #expect(SlicePath("slice/blue/gateway/b/x")?.slice == "blue")
  }

  @Test func eachGatewayIsATunnel() throws {
    var world = try Self.world()
    let first = try #require(try Self.publish(world, "0", now: 10))
    let second = try #require(try Self.publish(world, "1", at: 7901, now: 10))
    #expect(first.path == "slice/blue/gateway/b" && second.path == "slice/blue/gateway/b/1")
    #expect(first.value?["replica"] == nil && second.value?["replica"] == nil)
    world.apply([second])
    // Any of them is enough.
    let alone = GatewayReconciler.desired(world.view, cluster: "a").state.tunnels
    #expect(alone.map(\.replica) == ["1"])
    world.apply([first])
    let (state, waiting) = GatewayReconciler.desired(world.view, cluster: "a")
    #expect(waiting.isEmpty && state.tunnels.map(\.replica) == ["0", "1"])
    #expect(state.tunnels.map(\.endpoints[0].port) == [7900, 7901])
    #expect(Set(state.tunnels.map(\.key)).count == 2 && Set(state.tunnels.map(\.block)).count == 1)
    #expect(try Self.publish(world, "0", now: 30) == nil)
    #expect(try Self.publish(world, "1", at: 7901, now: 30) == nil)
    var fewer = state
    fewer.tunnels.removeLast()
    #expect(
      GatewayReconciler.plan(desired: fewer, observed: state)
        == [.closeTunnel(slice: "blue", cluster: "b", replica: "1")])
    #expect(
      GatewayReconciler.plan(desired: state, observed: fewer) == [.openTunnel(state.tunnels[1])])
  }

  @Test func aGatewayThatIsNoMoreIsTakenBack() throws {
    var world = try Self.world()
    for (port, replica) in [(7900, "0"), (7901, "1"), (7902, "2")] as [(UInt16, String)] {
      world.apply([try #require(try Self.publish(world, replica, at: port))])
    }
    let view = try #require(world.view.slices["blue"])
    let writes = GatewayReconciler.withdrawals(view, cluster: "b", keeping: ["1"])
    #expect(writes.map(\.path) == ["slice/blue/gateway/b", "slice/blue/gateway/b/2"])
    #expect(writes.allSatisfy { $0.value == nil && $0.scope == .slice("blue") })
    world.apply(writes)
    #expect(world.view.slices["blue"]?.member("b")?.gateways.map(\.replica) == ["1"])
    let after = try #require(world.view.slices["blue"])
    #expect(GatewayReconciler.withdrawals(after, cluster: "b", keeping: ["1"]).isEmpty)
    #expect(GatewayReconciler.withdrawals(after, cluster: "a", keeping: []).isEmpty)
  }

  /// The block is the cluster's since its first gateway used it, whichever that was.
  @Test func aLaterGatewayDoesNotMakeABlockYounger() throws {
    var world = try Self.world()
    world.apply([try #require(try Self.publish(world, "0", now: 10))])
    let second = try #require(try Self.publish(world, "1", at: 7901, now: 99))
    #expect(second.value?["since"] == 10)
    world.apply([second])
    let view = try #require(world.view.slices["blue"])
    world.apply(GatewayReconciler.withdrawals(view, cluster: "b", keeping: ["1"]))
    #expect(world.view.slices["blue"]?.member("b")?.gateways.first?.sinceMilliseconds == 10)
  }

  /// A register as a release wrote it that knew one gateway; what it says of itself is its path's.
  @Test func anOlderRegisterIsUnderstood() throws {
    var world = try Self.world()
    let block = try #require(world.view.slices["blue"]?.member("b")?.blockIndex)
    let old: Value = [
      "replica": "7", "endpoints": ["10.0.0.9:7900"],
      "key": .bytes([UInt8](repeating: 9, count: 32)), "block": .integer(Int64(block)), "since": 5,
    ]
    world.set("slice/blue/gateway/b", old, in: .slice("blue"))
    let tunnels = GatewayReconciler.desired(world.view, cluster: "a").state.tunnels
    #expect(tunnels.map(\.replica) == ["0"])
    #expect(tunnels.first?.endpoints == [try #require(IPEndpoint("10.0.0.9:7900"))])
    #expect(world.view.slices["blue"]?.problems.isEmpty == true)
  }

  /// One bad record takes nothing from the others, and nobody has others make tunnels without end.
  @Test func aBadRecordAndTooMany() throws {
    var world = try Self.world()
    for number in 0..<GatewayRecord.replicaLimit + 3 {
      let write = try Self.publish(world, "\(number)", at: UInt16(7900 + number))
      world.apply([try #require(write)])
    }
    let count = GatewayReconciler.desired(world.view, cluster: "a").state.tunnels.count
    #expect(count == GatewayRecord.replicaLimit)
    world = try Self.world()
    world.apply([try #require(try Self.publish(world, "0"))])
    world.set("slice/blue/gateway/b/1", ["key": "short"], in: .slice("blue"))
    let tunnels = GatewayReconciler.desired(world.view, cluster: "a").state.tunnels
    #expect(tunnels.map(\.replica) == ["0"])
    #expect(world.view.slices["blue"]?.problems.map(\.path) == ["slice/blue/gateway/b/1"])
  }
}
