import Base
import Kubernetes
import Replication
import Slices
import Testing

@testable import Runtime

/// What the operator does besides services, against fakes.
@Suite(.serialized) struct KubernetesOperatorTests {
  @Test func policiesComeAndGoWithIsolation() async throws {
    try await KubernetesLab.with { lab in
      func policy(_ index: Int) async throws -> KubernetesObject? {
        try await lab.get(.networkPolicies, "starling-blue", in: index)
      }
      let path = SlicePath.section("blue", .isolation).text
      try await lab.write([RegisterWrite(path: path, value: ["enabled": true])])
      for index in 0..<2 {
        #expect(try await eventually { try await policy(index) != nil })
      }
      // Somebody who takes it away gets it back, and it is said.
      try await lab.delete(.networkPolicies, "starling-blue", in: 1)
      #expect(try await eventually { try await policy(1) != nil })
      let fake = try #require(lab.clusters[0].fake)
      #expect(
        await eventually {
          fake.edit { api in
            api.store.all(.events).contains { $0.json["reason"] == "Onboarded" }
          }
        })
      try await lab.write([RegisterWrite(path: path, value: nil)])
      for index in 0..<2 {
        #expect(try await eventually { try await policy(index) == nil })
      }
    }
  }

  @Test func theClusterSaysWhoItIs() async throws {
    try await KubernetesLab.with { lab in
      func value(_ name: String) async throws -> String? {
        let id = ObjectID(.clusterProperties, ObjectKey(name: name))
        let answer = try await lab.clusters[1].api.send(.get(id))
        return try JSON(parsing: answer.body).at("spec", "value")?.string
      }
      let isNamed = try await eventually { try await value("cluster.clusterset.k8s.io") == "c1" }
      let isPlaced = try await eventually { try await value("clusterset.k8s.io") == "lab" }
      #expect(isNamed && isPlaced)
    }
  }

  @Test func theClustersDNSIsToldAndLeftAsItWas() async throws {
    try await KubernetesLab.with(flags: ["kubernetes.dns.adapter": "coredns"]) { lab in
      let id = ObjectID(.configMaps, ObjectKey(namespace: "kube-system", name: "coredns"))
      let old = ".:53 {\n    errors\n}\n"
      let api = lab.clusters[0].api
      _ = try await api.send(
        .create(
          KubernetesObject(.configMaps, id.key, ["data": ["Corefile": .string(old)]]), id.type))
      try await lab.apply(
        .services, ClusterDNSPlanner.serviceName,
        ["spec": ["ports": [["name": "dns", "port": 53, "protocol": "UDP"]]]], in: 0)
      func text() async throws -> String? {
        let answer = try await api.send(.get(id))
        return try JSON(parsing: answer.body).at("data", "Corefile")?.string
      }
      #expect(
        try await eventually { try await text()?.contains("clusterset.local:53") == true })
      #expect(try await text()?.hasPrefix(old) == true)
      try await lab.delete(.services, ClusterDNSPlanner.serviceName, in: 0)
      #expect(try await eventually { try await text() == old })
    }
  }

  @Test func theOlderVersionOfTheAPIWillDo() async throws {
    let exports = ResourceType.serviceExports.version("v1alpha1")
    let imports = ResourceType.serviceImports.version("v1alpha1")
    let types = FakeAPIServer.allTypes.map {
      $0 == .serviceExports ? exports : $0 == .serviceImports ? imports : $0
    }
    try await KubernetesLab.with(types: types) { lab in
      try await lab.service("web", in: 0)
      try await lab.apply(exports, "web", in: 0)
      for index in 0..<2 {
        #expect(
          try await eventually(within: .seconds(60)) {
            try await lab.get(imports, "web", in: index)?.spec["ips"]?.array?.count == 1
          })
      }
      try await lab.delete(exports, "web", in: 0)
      #expect(try await eventually { try await lab.get(imports, "web", in: 1) == nil })
    }
  }

  @Test func aDrainedClusterServesNobody() async throws {
    try await KubernetesLab.with { lab in
      for index in 0..<2 {
        try await lab.service("web", pods: ["192.168.\(index).1"], in: index)
        try await lab.export("web", in: index)
      }
      func serving(_ index: Int) async throws -> [String] {
        try await lab.slices(of: "web", in: index)
          .filter { $0.labels[ObjectNames.serviceName] != nil }
          .compactMap { $0.labels[MCS.sourceClusterLabel] }.sorted()
      }
      for index in 0..<2 {
        #expect(try await eventually { try await serving(index) == ["c\(index)"] })
      }
      let path = SlicePath.cluster("c0").text
      try await lab.write([RegisterWrite(path: path, value: ["drained": true])])
      for index in 0..<2 {
        #expect(try await eventually { try await serving(index) == ["c1"] })
      }
      try await lab.write([RegisterWrite(path: path, value: [:])])
      #expect(try await eventually { try await serving(0) == ["c0"] })
    }
  }
}
