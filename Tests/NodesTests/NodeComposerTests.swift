import Base
import Kubernetes
import Testing

@testable import Nodes

@Suite struct NodeComposerTests {
  private func spec(
    _ number: Int, endpoints: [String] = [], chunk: String? = nil, network: Int64 = 7
  ) -> JSON {
    [
      "underlay": .string("192.0.2.\(10 + number)"),
      "slices": [
        .object([
          "name": "blue", "overlay": chunk == nil ? "service" : "pod", "cidr": "10.11.0.0/16",
          "block": "10.11.16.0/20", "network": .integer(network),
          "nodeAddress": .string("10.11.16.\(40 + number)"),
          "chunk": chunk.map { .string($0) },
          "gateways": [
            ["address": "10.11.16.1", "underlay": "192.0.2.2"],
            ["address": "10.11.16.2", "underlay": "192.0.2.3"],
          ],
          "endpoints": .array(
            endpoints.map {
              [
                "address": .string($0), "target": "10.100.0.3",
                "ports": [["transport": "TCP", "port": 80]],
              ]
            }),
        ])
      ],
    ]
  }

  @Test func othersLieBehindTheirNodes() throws {
    let networks = [
      "n1": spec(1, endpoints: ["10.11.16.77"]), "n2": spec(2, endpoints: ["10.11.16.78"]),
      "n3": spec(3, chunk: "10.11.20.0/26"),
    ]
    let document = try NodeDocument(try #require(NodeComposer.node("n1", of: networks)))
    let slice = document.slices[0]
    #expect(document.underlay.description == "192.0.2.11" && document.role == .node)
    #expect(
      slice.nodes.map { $0.behind.map(\.description) } == [["10.11.16.78/32"], ["10.11.20.0/26"]])
    #expect(slice.nodes.map(\.underlay.description) == ["192.0.2.12", "192.0.2.13"])
    #expect(NodeComposer.node("n9", of: networks) == nil)
  }

  @Test func anEndpointLiesInOnePlace() throws {
    let networks = [
      "n1": spec(1, endpoints: ["10.11.16.77"]), "n2": spec(2, endpoints: ["10.11.16.77"]),
      "n3": spec(3, endpoints: ["10.11.16.77"]), "n4": spec(4, network: 8),
      "n5": spec(5),
    ]
    func behind(_ node: String) throws -> [[String]] {
      try NodeDocument(try #require(NodeComposer.node(node, of: networks))).slices[0].nodes
        .map { $0.behind.map(\.description) }
    }
    #expect(try behind("n1") == [[], [], []])
    #expect(try behind("n5") == [["10.11.16.77/32"], [], []])
  }

  @Test func gatewaysAreToldOfTheNodes() throws {
    let networks = ["n1": spec(1), "n2": spec(2, endpoints: ["10.11.16.78"])]
    let gateway = try #require(IPAddress("192.0.2.2"))
    let document = try NodeDocument(try #require(NodeComposer.gateway(gateway, of: networks)))
    #expect(document.role == .gateway)
    #expect(document.slices[0].nodeAddress.description == "10.11.16.1")
    // And of one another: what is for one may come out of another one's tunnel.
    let nodes = document.slices[0].nodes
    #expect(nodes.map { $0.behind.count } == [0, 1, 0])
    #expect(nodes[2].address.description == "10.11.16.2")
    #expect(nodes[2].underlay.description == "192.0.2.3")
    let stranger = try #require(IPAddress("192.0.2.9"))
    #expect(NodeComposer.gateway(stranger, of: networks) == nil)
  }

  @Test func gatewaysAreToldWhatIsExported() {
    func place(_ spec: JSON, _ services: [String?]) -> JSON {
      var (spec, slice) = (spec, spec["slices"]?.array?.first ?? .null)
      slice["endpoints"] = .array(
        zip(slice["endpoints"]?.array ?? [], services).map { endpoint, service in
          var out = endpoint
          out["service"] = service.map { .string($0) }
          return out
        })
      spec["slices"] = [slice]
      return spec
    }
    let networks = [
      "n1": place(
        spec(1, endpoints: ["10.11.16.78", "10.11.16.79"]), ["shop/web", "shop/db"]),
      "n2": place(
        spec(2, endpoints: ["10.11.16.77", "10.11.16.80", "10.11.16.81"]),
        ["shop/web", nil, "nonsense"]),
    ]
    #expect(
      NodeComposer.services(of: networks) == [
        ["slice": "blue", "namespace": "shop", "name": "db", "addresses": ["10.11.16.79"]],
        [
          "slice": "blue", "namespace": "shop", "name": "web",
          "addresses": ["10.11.16.77", "10.11.16.78"],
        ],
      ])
  }

  @Test func anExportedPodIsMetAtItsLink() throws {
    var spec = spec(1, endpoints: ["10.11.16.77"], chunk: "10.11.20.0/26")
    var slice = try #require(spec["slices"]?.array?.first)
    slice["endpoints"] = [
      [
        "address": "10.11.16.77", "target": "10.100.0.3", "pod": "shop/web-0",
        "ports": [["transport": "TCP", "port": 80]],
      ]
    ]
    spec["slices"] = [slice]
    let document = try NodeDocument(try #require(NodeComposer.node("n1", of: ["n1": spec])))
    let attachment = Nodes.Attachment(
      id: try #require(AttachmentID("c1@eth0")), network: "lab", namespace: "shop", pod: "web-0",
      slice: "blue", address: try #require(IPAddress("10.11.20.5")),
      cidr: try #require(IPPrefix("10.11.0.0/16")), mtu: 1420)
    func rules(_ attachments: [Nodes.Attachment]) -> String {
      NodePlan(document, nodeMTU: 1500, dead: [:], attachments: attachments).rules
    }
    #expect(rules([attachment]).contains("10.11.16.77 : 10.11.20.5"))
    #expect(rules([]).contains("10.11.16.77 : 10.100.0.3"))
  }
}
