import Base
import Slices
import Testing

@Suite struct ManifestTests {
  static let full: Value = document([
    "cidr": "10.11.0.0/16", "maxClusters": 32,
    "topology": ["mode": "HubAndSpoke", "hubs": ["us-1"]],
    "overlay": "service",
    "members": [
      [
        "cluster": "eu-1", "namespaces": ["shop", "pay"],
        "gateway": ["type": "LoadBalancer", "replicas": 3],
      ],
      ["cluster": "us-1", "namespaces": ["shop"], "block": 5],
    ],
    "isolation": [
      "enabled": true, "allowedNamespaces": ["monitoring"],
      "ports": [80, ["port": 53, "protocol": "UDP"]],
    ],
    "rotation": ["interval": "24h", "overlap": "10m"],
    "qos": [
      "ceilingKbps": 100_000, "guaranteedKbps": 20_000, "priority": 2, "dscp": "AF21",
    ],
    "dns": ["ttl": "3s", "policy": "nearest", "keepLast": true, "clusterLocal": true],
    "placement": ["labels": ["tier": "web"], "quotas": ["cpu": "8", "memory": "16Gi"]],
  ])

  @Test func readsEverything() throws {
    let slice = try SliceManifest(Self.full)
    #expect(slice.network.cidr == IPPrefix("10.11.0.0/16"))
    #expect(slice.network.topology == .hubAndSpoke(hubs: ["us-1"]))
    #expect(slice.members.map(\.cluster) == ["eu-1", "us-1"])
    #expect(slice.members[0].namespaces == ["pay", "shop"])
    #expect(slice.members[0].gateway == MemberGateway(type: .loadBalancer, replicas: 3))
    #expect(slice.members[1].block == 5)
    #expect(slice.isolation.ports == [PolicyPort(port: 80), PolicyPort(port: 53, transport: .udp)])
    #expect(slice.qos.dscp.codePoint == 18)
    #expect(slice.dns.ttl.milliseconds == 3000 && slice.dns.policy == .nearest)
    #expect(slice.placement.quotas["memory"] == ResourceQuantity("16Gi"))
  }

  @Test(arguments: [true, false])
  func documentsReadBackTheSame(withDefaults: Bool) throws {
    let slice = try SliceManifest(Self.full)
    #expect(try SliceManifest(slice.document(withDefaults: withDefaults)) == slice)
    let bare = try SliceManifest(document(["cidr": "fd11::/48"]))
    #expect(try SliceManifest(bare.document(withDefaults: withDefaults)) == bare)
    #expect(try Manifest(Self.full) == .slice(slice))
  }

  @Test func defaultsAreAsDocumented() throws {
    let slice = try SliceManifest(document(["cidr": "10.11.0.0/16"]))
    #expect(slice.network.maxClusters == 16 && slice.network.overlay == .service)
    #expect(slice.network.topology == .fullMesh && slice.members.isEmpty)
    #expect(slice.rotation.interval == .seconds(86_400))
    #expect(slice.rotation.overlap == .seconds(600))
    #expect(slice.dns == SliceDNS() && slice.qos == SliceQoS() && !slice.isolation.enabled)
  }

  @Test func allMistakesAreReportedWithTheirFields() {
    let found = errors([
      "cidr": "10.11.0.1/16", "maxcluster": 4,
      "members": [
        ["cluster": "a", "gateway": ["type": "NodePrt"]],
        ["cluster": "a", "namespaces": ["shop", "shop", "Shop"]],
      ],
      "qos": ["ceilingKbps": 5, "guaranteedKbps": 6],
      "rotation": ["interval": "1m"], "dns": ["ttl": "60s"],
    ])
    #expect(
      found == [
        "spec.cidr: \"10.11.0.1/16\" has host bits set; allowed: 10.11.0.0/16",
        "spec.members[0].gateway.type: \"NodePrt\" is not known; did you mean NodePort?; "
          + "allowed: NodePort, LoadBalancer, HostNetwork, Relay",
        "spec.members[1].namespaces[1]: \"shop\" is listed twice",
        "spec.members[1].namespaces[2]: \"Shop\" is not valid; allowed: \(NameRules.labelRule); "
          + "or * alone",
        "spec.members[1].cluster: \"a\" is already a member in spec.members[0]",
        "spec.rotation.interval: 1m is out of range; allowed: 10m to 2160h (90 days)",
        "spec.qos.guaranteedKbps: 6 is above the ceiling; allowed: at most ceilingKbps, 5",
        "spec.dns.ttl: 1m is out of range; allowed: 0s to 5s in whole seconds",
        "spec.maxcluster: unknown field; did you mean maxClusters?; allowed: cidr, dns, "
          + "isolation, maxClusters, members, overlay, placement, qos, rotation, topology",
      ])
  }

  @Test(
    arguments: [
      (["cidr": "10.1.0.0/16", "topology": ["mode": "FullMesh", "hubs": ["a", "b"]]], "hubs"),
      (
        [
          "cidr": "10.1.0.0/16", "members": [["cluster": "a"]],
          "topology": ["mode": "HubAndSpoke", "hubs": ["b"]],
        ], "\"b\" is no member"
      ),
      (["cidr": "10.1.0.0/16", "topology": ["mode": "HubAndSpoke"]], "hubs: is missing"),
      (
        ["cidr": "10.1.0.0/16", "topology": ["mode": "Custom", "links": [["a", "a"]]]], "is no link"
      ),
      (["cidr": "10.1.0.0/16", "topology": ["mode": "Mesh"]], "is not known"),
      (["cidr": "34.2.0.0/16"], "is not private"), (["cidr": "192.168.1.1/16"], "has host bits"),
      (["cidr": "172.15.0.0/16"], "is not private"), (["cidr": "banana"], "is no prefix"),
      ([:], "spec.cidr: is missing"), (["cidr": "10.1.0.0/16", "maxClusters": 1], "out of range"),
      (["cidr": "10.1.0.0/26", "maxClusters": 16], "too small"),
      (
        [
          "cidr": "10.1.0.0/16", "maxClusters": 2,
          "members": [["cluster": "a"], ["cluster": "b"], ["cluster": "c"]],
        ], "3 members are too many"
      ),
      (
        [
          "cidr": "10.1.0.0/16", "maxClusters": 2, "members": [["cluster": "a", "block": 2]],
        ], "spec.members[0].block: there is no block 2"
      ),
      (
        [
          "cidr": "10.1.0.0/16",
          "members": [["cluster": "a", "block": 2], ["cluster": "b", "block": 2]],
        ], "spec.members[1].block: block 2 is that of \"a\" already"
      ),
      (["cidr": "10.1.0.0/16", "qos": ["dscp": "AF99"]], "spec.qos.dscp"),
      (
        ["cidr": "10.1.0.0/16", "rotation": ["interval": "20m", "overlap": "11m"]],
        "half the interval"
      ),
      (
        ["cidr": "10.1.0.0/16", "placement": ["quotas": ["cpu": "lots"]]],
        "spec.placement.quotas.cpu"
      ),
      (
        [
          "cidr": "10.1.0.0/16",
          "placement": ["labels": ["pod-security.kubernetes.io/enforce": "privileged"]],
        ], "cannot be set"
      ),
      (
        ["cidr": "10.1.0.0/16", "placement": ["labels": ["tier": "of web"]]], "no label's value"
      ),
      (
        ["cidr": "10.1.0.0/16", "members": [["cluster": "a", "namespaces": ["kube-system"]]]],
        "belongs to the cluster itself"
      ),
      (
        ["cidr": "10.1.0.0/16", "members": [["cluster": "a", "namespaces": ["*", "shop"]]]],
        "\"*\" stands alone"
      ),
      (["cidr": 5], "spec.cidr: expected text, found a number"),
    ] as [(Value, String)])
  func refuses(spec: Value, reason: String) {
    let found = errors(spec)
    #expect(found.contains { $0.contains(reason) }, "\(found)")
  }

  /// The right side is what Kubernetes API servers give back of what is written there.
  @Test(arguments: [
    ("0", "0"), ("8", "8"), ("0.5", "500m"), ("1000", "1k"), ("1500", "1500"), ("2500m", "2500m"),
    ("3000m", "3"), ("0.0001", "1m"), ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("512Ki", "512Ki"),
    ("0.5Ki", "512"), ("1025", "1025"), ("1.1Ki", "1126400m"), ("12E", "nil"), ("7E", "7E"),
    ("0.1Ki", "102400m"), ("-1", "nil"), ("1e3", "nil"), ("1.", "nil"), ("Mi", "nil"),
    ("9999999999999999999", "nil"), ("100k", "100k"), ("1000k", "1M"), ("010", "10"),
  ])
  func quantitiesAreWrittenAsServersDo(text: String, expected: String) {
    #expect((ResourceQuantity(text)?.description ?? "nil") == expected)
  }

  @Test func headersAreChecked() {
    #expect(errors(["cidr": "10.1.0.0/16"], name: "Blue").count == 1)
    #expect(errors(["cidr": "10.1.0.0/16"], name: "svc").count == 1)
    #expect(throws: ManifestError.self) { try Manifest("text") }
    let wrong: Value = ["apiVersion": "v1", "kind": "Slize", "metadata": ["name": "x"]]
    #expect {
      try Manifest(wrong)
    } throws: { error in
      let text = "\(error)"
      return text.contains("did you mean Slice?") && text.contains("apiVersion")
    }
  }

  @Test func overlayNoneNeedsNoAddresses() {
    #expect(errors(["overlay": "none"]).isEmpty)
  }

  @Test func randomDocumentsNeverTrap() {
    var rng = SeededGenerator(seed: 11)
    let names = [
      "apiVersion", "kind", "metadata", "name", "spec", "cidr", "maxClusters", "topology", "mode",
      "hubs", "links", "overlay", "members", "cluster", "namespaces", "gateway", "type", "replicas",
      "isolation", "ports", "port", "rotation", "interval", "overlap", "qos", "dns", "ttl",
      "placement", "labels", "quotas", "services", "endpoints", "address", "export", "workloads",
      "addresses", "block", "location", "latitude", "ranges", "key", "since",
    ]
    for _ in 0..<20_000 {
      let value = randomValue(&rng, names: names)
      _ = try? Manifest(value)
      _ = try? SliceManifest(document(value))
      _ = try? LocalServices(value)
      _ = try? ClusterAdmission(value)
      _ = try? ClusterInfo(value)
      _ = try? GatewayRecord(value)
      _ = try? ExportShard(value)
    }
  }

  @Test(arguments: [
    ("24h", 86_400_000), ("1h30m", 5_400_000), ("2s", 2000), ("500ms", 500), ("1d", 86_400_000),
    ("0s", 0),
  ])
  func timeSpans(text: String, milliseconds: Int64) {
    #expect(TimeSpan(text)?.milliseconds == milliseconds)
    #expect(TimeSpan(milliseconds: milliseconds).description == (text == "1d" ? "24h" : text))
  }

  @Test(arguments: [
    "", "5", "h", "1h1h", "1m1h", "-1s", "+1s", "1.5s", "99999999999999999999s",
    "9223372036854775807h",
  ])
  func badTimeSpans(text: String) {
    #expect(TimeSpan(text) == nil)
  }
}
