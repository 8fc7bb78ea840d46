import Base
import Foundation
import Testing

@testable import Runtime

/// Rates, marks and figures of a slice, on real devices.
extension GatewayTests {
  /// By class and by service, on both sides; figures of services outlive a new plan.
  @Test func trafficIsCountedByClassAndService() throws {
    let pair = try GatewayPair()
    var plans = try (0..<2).map { try pair.plan($0) }
    for index in 0..<2 {
      plans[index].services = [
        TunnelServiceConfig(
          slice: "blue", cluster: "c1", namespace: "shop", name: "web",
          addresses: [try #require(IPAddress(GatewayPair.innerB))])
      ]
      try pair.start(
        index, plan: plans[index], listen: "\(GatewayPair.outer(index)):\(GatewayPair.port)")
    }
    try #require(pair.wait(3) { pair.established } != nil)
    // EF; the answers carry it too.
    let ping = "ip netns exec \(pair.lab.a) ping -q -c 10 -i 0.01 -Q 184 \(GatewayPair.innerB)"
    #expect(GatewayLab.output(ping).text.contains(" 0% packet loss"))
    for gateway in [pair.a, pair.b] {
      let status = try #require(gateway?.status())
      let expedited = try #require(status.tunnels.first?.classes.first { $0.name == "expedited" })
      #expect(expedited.figures.sentPackets == 10 && expedited.figures.receivedPackets == 10)
      let service = try #require(status.services.first)
      #expect(service.name == "web" && service.exporter == "c1")
      #expect(service.figures.sentPackets >= 10 && service.figures.receivedPackets >= 10)
    }
    plans[0].services.insert(
      TunnelServiceConfig(
        slice: "blue", cluster: "c0", namespace: "shop", name: "api",
        addresses: [try #require(IPAddress(GatewayPair.innerA))]), at: 0)
    pair.a?.apply(plans[0])
    #expect(GatewayLab.output(ping).text.contains(" 0% packet loss"))
    let services = try #require(pair.a?.status().services)
    #expect(services.map(\.name) == ["api", "web"])
    #expect(services[0].cluster == "c1" && services[0].figures.sentPackets >= 10)
    #expect(services[1].figures.sentPackets >= 20)
    pair.stop()
  }

  /// What a ceiling of a tenth of the packets' rate lets through waits or is dropped, and is told.
  @Test func aCeilingHoldsPacketsBack() throws {
    let pair = try GatewayPair()
    var plan = try pair.plan(0)
    plan.slices[0].qos = TunnelQoS(ceilingKbps: 200, dscp: 18)
    try pair.start(0, plan: plan, listen: "\(GatewayPair.outer(0)):\(GatewayPair.port)")
    try pair.start(1)
    try #require(pair.wait(3) { pair.established } != nil)
    let traffic = try NumberedTraffic(pair, from: 0, port: 5_003)
    let waits = pair.wait(5) { pair.a?.status().queues.contains { $0.bytes > 0 } == true }
    #expect(waits != nil)
    // With the limit gone what is sent arrives again.
    plan.slices[0].qos = nil
    pair.a?.apply(plan)
    let before = pair.tunnel(1)?.receivedPackets ?? 0
    #expect(pair.wait(5) { pair.tunnel(1)?.receivedPackets ?? 0 > before + 500 } != nil)
    #expect(pair.a?.status().queues.isEmpty == true)
    _ = traffic.finish()
    pair.stop()
  }
}
