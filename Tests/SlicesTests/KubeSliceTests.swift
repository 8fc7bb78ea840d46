import Base
import Slices
import Testing

@Suite struct KubeSliceTests {
  private func slice(_ spec: [String: Value], name: Value = "red") -> Value {
    var fields: [String: Value] = [
      "sliceSubnet": "10.1.0.0/16", "maxClusters": 16, "clusters": ["worker-1", "worker-2"],
      "sliceGatewayProvider": [
        "sliceGatewayType": "OpenVPN", "sliceCaType": "Local",
        "sliceGatewayServiceType": [
          ["cluster": "*", "type": "NodePort"],
          ["cluster": "worker-2", "type": "LoadBalancer", "protocol": "TCP"],
        ],
      ],
      "rotationInterval": 60,
      "namespaceIsolationProfile": [
        "isolationEnabled": true,
        "applicationNamespaces": [
          ["namespace": "iperf", "clusters": ["*"]],
          ["namespace": "bookinfo", "clusters": ["worker-1"]],
        ],
        "allowedNamespaces": [["namespace": "kube-system", "clusters": ["*"]]],
      ],
    ]
    fields.merge(spec) { $1 }
    return [
      "apiVersion": "controller.kubeslice.io/v1alpha1", "kind": "SliceConfig",
      "metadata": ["name": name], "spec": .map(fields: fields),
    ]
  }

  private let profile: Value = [
    "kind": "SliceQoSConfig", "metadata": ["name": "profile1"],
    "spec": [
      "queueType": "HTB", "priority": 2, "tcType": "BANDWIDTH_CONTROL",
      "bandwidthCeilingKbps": 5120, "bandwidthGuaranteedKbps": 2560, "dscpClass": "AF11",
    ],
  ]

  @Test func aSliceWithItsProfile() throws {
    let found = KubeSliceImport([
      ["kind": "List", "items": [slice(["standardQosProfileName": "profile1"]), profile]]
    ])
    let red = try #require(found.manifests.first)
    #expect(red.name == "red" && red.network.cidr == IPPrefix("10.1.0.0/16"))
    #expect(red.network.maxClusters == 16 && red.network.overlay == .service)
    #expect(red.members.map(\.cluster) == ["worker-1", "worker-2"])
    #expect(red.members.map(\.namespaces) == [["bookinfo", "iperf"], ["iperf"]])
    #expect(red.members.map(\.gateway.type) == [.nodePort, .loadBalancer])
    #expect(red.isolation.enabled && red.isolation.allowedNamespaces == ["kube-system"])
    #expect(red.qos.ceilingKbps == 5120 && red.qos.guaranteedKbps == 2560)
    #expect(red.qos.priority == 2 && red.qos.dscp == DSCP("AF11"))
    #expect(red.rotation.interval == TimeSpan("60d"))
    let subjects = found.notes.map { "\($0.kind.rawValue) \($0.subject)" }
    #expect(
      subjects == [
        "changed SliceConfig/red spec.rotationInterval",
        "changed SliceConfig/red spec.sliceGatewayProvider.sliceGatewayType",
        "changed SliceConfig/red spec.sliceGatewayProvider",
      ])
  }

  @Test func whatHasNoCounterpartIsSaid() {
    let found = KubeSliceImport([
      slice([
        "overlayNetworkDeploymentMode": "multi-network", "vpnConfig": ["cipher": "AES-128-CBC"],
        "standardQosProfileName": "gone",
        "externalGatewayConfig": [["ingress": ["enabled": true], "gatewayType": "istio"]],
      ]),
      ["kind": "Cluster", "metadata": ["name": "worker-1"]],
      ["kind": "Project", "metadata": ["name": "avesha"]], ["kind": "Pod"], .null, 7, profile,
    ])
    #expect(found.manifests.count == 1)
    let kinds = found.notes.map(\.kind.rawValue)
    #expect(kinds.count { $0 == "refused" } == 4)
    #expect(found.notes.contains { $0.subject.hasSuffix("externalGatewayConfig") })
    #expect(found.notes.contains { $0.subject == "SliceQoSConfig/profile1" })
    #expect(found.notes.contains { $0.subject == "Project/avesha" && $0.kind == .dropped })
  }

  /// What KubeSlice's admission refuses is refused here as well.
  @Test(
    arguments: [
      ["sliceSubnet": "34.2.0.0/16"], ["sliceSubnet": "192.168.1.1/16"], ["maxClusters": 1],
      ["clusters": ["a", "a"]], ["maxClusters": 2, "clusters": ["a", "b", "c"]],
      ["qosProfileDetails": ["bandwidthCeilingKbps": 1, "bandwidthGuaranteedKbps": 2]],
      ["qosProfileDetails": ["dscpClass": "AF99"]], ["rotationInterval": 1000],
    ] as [[String: Value]])
  func invalidSlicesAreRefused(_ spec: [String: Value]) {
    let found = KubeSliceImport([slice(spec)])
    #expect(found.manifests.isEmpty && found.notes.contains { $0.kind == .refused })
  }

  @Test func noNetworkIsOverlayNone() {
    let found = KubeSliceImport([
      slice([
        "overlayNetworkDeploymentMode": "no-network", "qosProfileDetails": ["dscpClass": "Default"],
      ])
    ])
    #expect(found.manifests.first?.network.overlay == SliceOverlay.none)
    #expect(found.manifests.first?.network.cidr == nil)
  }

  @Test func exportsBecomeExports() {
    let found = KubeSliceImport([
      [
        "kind": "ServiceExportConfig", "metadata": ["name": "x"],
        "spec": [
          "serviceName": "iperf", "serviceNamespace": "iperf", "sourceCluster": "worker-1",
          "sliceName": "red", "aliases": ["perf.example", "no name"],
        ],
      ],
      [
        "apiVersion": "networking.kubeslice.io/v1beta1", "kind": "ServiceExport",
        "metadata": ["name": "web", "namespace": "shop"],
        "spec": [
          "slice": "red", "selector": ["matchLabels": ["app": "web"]],
          "ports": [["name": "http", "containerPort": 80]], "ingressEnabled": true,
        ],
      ],
      [
        "apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ServiceExport",
        "metadata": ["name": "web", "namespace": "shop"],
      ],
      ["kind": "ServiceExportConfig", "metadata": ["name": "y"], "spec": ["serviceName": "a"]],
    ])
    #expect(found.exports.map(\.service.description) == ["iperf/iperf", "shop/web"])
    #expect(found.exports.map(\.cluster) == ["worker-1", ""])
    #expect(found.exports.first?.aliases == ["perf.example"])
    #expect(
      found.notes.map(\.kind.rawValue).sorted() == [
        "changed", "changed", "dropped", "dropped", "dropped", "refused",
      ])
  }

  @Test func randomDocumentsNeverTrap() {
    var rng = SeededGenerator(seed: 5)
    let names = [
      "kind", "spec", "metadata", "name", "clusters", "sliceSubnet", "SliceConfig", "items", "List",
      "qosProfileDetails", "topology", "hubs", "namespaceIsolationProfile", "maxClusters",
    ]
    for _ in 0..<500 {
      var value = randomValue(&rng, depth: 5, names: names)
      _ = KubeSliceImport([value])
      value = slice([names.randomElement(using: &rng) ?? "spec": value])
      _ = KubeSliceImport([value, ["kind": "SliceConfig", "spec": value]])
    }
  }
}
