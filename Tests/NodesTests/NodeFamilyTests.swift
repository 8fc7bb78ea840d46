import Base
import Kubernetes
import Testing

@testable import Nodes

/// Slices of IPv6, alone and beside those of IPv4.
@Suite struct NodeFamilyTests {
  private let v4: JSON = [
    "name": "blue", "overlay": "service", "cidr": "10.11.0.0/16", "block": "10.11.16.0/20",
    "nodeAddress": "10.11.16.40", "network": 5, "sources": ["10.100.0.2", "192.0.2.11"],
  ]
  private let v6: JSON = [
    "name": "red", "overlay": "service", "cidr": "fd11:11::/48", "block": "fd11:11:0:1000::/52",
    "nodeAddress": "fd11:11:0:1000::28", "network": 6,
    "gateways": [["address": "fd11:11:0:1000::1", "underlay": "192.0.2.2"]],
    "nodes": [["address": "fd11:11:0:1000::29", "underlay": "192.0.2.12"]],
    "sources": ["2001:db8::11", "fd64::2"],
    "endpoints": [
      [
        "address": "fd11:11:0:1000::4e", "target": "fd64::3",
        "ports": [["transport": "TCP", "port": 80]],
      ]
    ],
  ]

  private func plan(
    _ slices: [JSON], own: [String] = [], withoutIPv6 missing: String? = nil
  ) throws -> NodePlan {
    NodePlan(
      try NodeDocument(["underlay": "192.0.2.11", "slices": .array(slices)]), nodeMTU: 1500,
      own: Set(own.compactMap { IPAddress($0) }), withoutIPv6: missing, dead: [:],
      attachments: [])
  }

  private func lines(_ plan: NodePlan, from observed: NodeLink = NodeLink()) -> [[String]] {
    [false, true].map { plan.link.commands(from: observed, isInside: $0) }
  }

  @Test func rulesOfBothFamiliesStandTogether() throws {
    let plan = try plan([v4, v6])
    #expect(plan.usesIPv6 && plan.unserved.isEmpty)
    for rule in [
      "fd11:11:0:1000::4e : fd64::3", "fd64::3 . tcp . 80", "snat ip6 to fd11:11:0:1000::28",
      "meta l4proto ipv6-icmp", "size set 1360", "size set 1380", "snat ip to 10.11.16.40",
    ] {
      #expect(plan.rules.contains(rule), "\(rule)")
    }
  }

  @Test func withoutIPv6TheOthersAreServed() throws {
    let plan = try plan([v4, v6], withoutIPv6: "off")
    #expect(plan.unserved == ["red": "off"])
    #expect(!plan.usesIPv6 && !plan.rules.contains("red"))
    #expect(plan.items.allSatisfy { $0.deviceName == "sx-blue" })
    #expect(plan.link.host.routes.map(\.destination.description) == ["10.11.0.0/16"])
    #expect(plan.link.host.addresses.allSatisfy { $0.family == .v4 })
  }

  @Test func theLinkIsMadeAndPutBack() throws {
    let plan = try plan([v4, v6], own: ["192.0.2.11", "2001:db8::11"])
    let all = lines(plan)
    #expect(
      all[0] == [
        "link set starling0 up", "addr replace 169.254.83.1/30 dev starling0",
        "addr replace fe80::5301/64 dev starling0 nodad",
        "route replace 10.11.0.0/16 via 169.254.83.2 dev starling0 proto 83 src 192.0.2.11",
        "route replace fd11:11::/48 via fe80::5302 dev starling0 proto 83 src 2001:db8::11",
      ])
    #expect(
      all[1] == [
        "link set node0 up", "addr replace 169.254.83.2/30 dev node0",
        "addr replace fe80::5302/64 dev node0 nodad",
        "route replace 0.0.0.0/0 via 169.254.83.1 dev node0 proto 83",
        "route replace ::/0 via fe80::5301 dev node0 proto 83",
      ])
    #expect(lines(plan, from: plan.link) == [[], []])
    // A slice that is gone takes its route along, and nothing else.
    let rest = try self.plan([v4, v6].dropLast().map { $0 })
    #expect(
      lines(rest, from: plan.link)[0] == ["route del fd11:11::/48 dev starling0 proto 83"])
  }

  /// Without an address that may enter, the kernel chooses.
  @Test func theNodesOwnAddressIsOneThatMayEnter() throws {
    #expect(try plan([v6], own: ["2001:db8::99"]).link.host.routes.first?.source == nil)
    #expect(
      try plan([v6], own: ["2001:db8::99", "2001:db8::11"]).link.host.routes.first?.source
        == IPAddress("2001:db8::11"))
  }

  @Test func whatTheKernelSaysIsRead() throws {
    let addresses = try JSON(
      parsing: """
        [{"ifname": "eth0", "mtu": 1450, "flags": ["UP"], "addr_info": [
           {"local": "192.0.2.11", "scope": "global"}, {"local": "fe80::1", "scope": "link"},
           {"local": "2001:db8::12", "scope": "global", "tentative": true}]},
         {"ifname": "starling0", "mtu": 1500, "flags": ["BROADCAST", "UP"], "addr_info": [
           {"local": "fe80::5301", "scope": "link"}]}]
        """)
    let routes = try JSON(
      parsing: """
        [{"dst": "fd11:11::/48", "gateway": "fe80::5302", "prefsrc": "2001:db8::11"},
         {"dst": "default", "gateway": "fe80::5302"}, {"dst": "fd22::/48", "dev": "eth0"}]
        """)
    let end = NodeLink.end("starling0", addresses: addresses, routes: [routes])
    #expect(end.isUp && end.addresses.map(\.description) == ["fe80::5301"])
    #expect(
      end.routes.sorted().map { "\($0.destination) \($0.source.map { "\($0)" } ?? "")" } == [
        "::/0 ", "fd11:11::/48 2001:db8::11",
      ])
    #expect(KernelReader.ownAddresses(addresses).map(\.description) == ["192.0.2.11"])
    #expect(KernelReader.mtu(of: try #require(IPAddress("192.0.2.11")), addresses) == 1450)
    #expect(KernelReader.mtu(of: try #require(IPAddress("192.0.2.12")), addresses) == nil)
  }

  @Test func addressesOfAnotherFamilyAreRefused() throws {
    for (field, value) in [
      ("sources", ["10.100.0.2"] as JSON),
      ("gateways", [["address": "10.11.16.1", "underlay": "192.0.2.2"]]),
      ("nodes", [["address": "fd11:11:0:1000::29", "underlay": "2001:db8::12"]]),
      ("endpoints", [["address": "fd11:11:0:1000::4e", "target": "10.100.0.3"]]),
    ] {
      var slice = v6
      slice[field] = value
      #expect(throws: NodeDocument.Problem.self, "\(field)") { try plan([slice]) }
    }
  }
}
