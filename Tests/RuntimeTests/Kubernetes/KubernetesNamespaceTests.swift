import Base
import Kubernetes
import Replication
import Slices
import Testing

@testable import Runtime

/// What a slice brings into namespaces and Services that belong to somebody else, and takes away again.
@Suite(.serialized) struct KubernetesNamespaceTests {
  @Test(arguments: KubernetesLab.Servers.allCases)
  func labelsAndQuotasComeAndGo(_ servers: KubernetesLab.Servers) async throws {
    try await KubernetesLab.with(servers) { lab in
      let id = ObjectID(.namespaces, ObjectKey(name: lab.namespace))
      let api = lab.clusters[1].api
      func labels() async throws -> [String: String] {
        let answer = try await api.send(.get(id))
        return KubernetesObject(try JSON(parsing: answer.body))?.labels ?? [:]
      }
      func quota() async throws -> KubernetesObject? {
        try await lab.get(.resourceQuotas, "starling-blue", in: 1)
      }
      _ = try await api.send(.mergePatch(id, ["metadata": ["labels": ["mine": "1"]]]))
      let path = SlicePath.section("blue", .placement).text
      // Quantities come back from a server in its own form.
      let quotas: Value = [
        "cpu": "0.5", "requests.memory": "1024Mi", "limits.memory": "1.5Gi", "pods": "1000",
        "limits.cpu": "2500m",
      ]
      try await lab.write([
        RegisterWrite(path: path, value: ["labels": ["tier": "web"], "quotas": quotas])
      ])
      #expect(try await eventually { try await labels()["tier"] == "web" })
      #expect(try await eventually { try await quota() != nil })
      let kept = try #require(try await quota())
      #expect(
        kept.spec["hard"]?.texts == [
          "cpu": "500m", "requests.memory": "1Gi", "limits.memory": "1536Mi", "pods": "1k",
          "limits.cpu": "2500m",
        ])

      // Somebody else's hand is undone, in what is ours.
      _ = try await api.send(
        .mergePatch(id, ["metadata": ["labels": ["tier": "db", "mine": "2"]]]))
      #expect(try await eventually { try await labels()["tier"] == "web" })
      #expect(try await labels()["mine"] == "2")

      try await lab.write([RegisterWrite(path: path, value: ["labels": ["team": "a"]])])
      #expect(
        try await eventually {
          let labels = try await labels()
          return labels["team"] == "a" && labels["tier"] == nil
        })
      #expect(try await eventually { try await quota() == nil })
      // Out of the slice: nothing of ours stays.
      let member = SlicePath.member(slice: "blue", cluster: "c1").text
      try await lab.write([RegisterWrite(path: member, value: nil)])
      #expect(
        try await eventually {
          let answer = try await api.send(.get(id))
          let namespace = KubernetesObject(try JSON(parsing: answer.body))
          return namespace?.labels["team"] == nil
            && namespace?.annotations[ObjectNames.applied] == nil
        })
      #expect(try await labels()["mine"] == "2")
    }
  }

  @Test(arguments: KubernetesLab.Servers.allCases)
  func servicesHaveTheirOwnNamesInTheClustersDomain(
    _ servers: KubernetesLab.Servers
  ) async throws {
    try await KubernetesLab.with(servers) { lab in
      let path = SlicePath.section("blue", .dns).text
      try await lab.write([RegisterWrite(path: path, value: ["clusterLocal": true])])
      try await lab.service("web", in: 0)
      try await lab.export("web", in: 0)
      let target = "web.\(lab.namespace).svc.clusterset.local"
      #expect(
        try await eventually {
          let alias = try await lab.get(.services, "web", in: 1)
          return alias?.spec["externalName"]?.string == target
        })
      // The exporter's own Service is what it is, and an alias exports nothing.
      let own = try #require(try await lab.get(.services, "web", in: 0))
      #expect(!ObjectDiffer.isOurs(own) && own.spec["externalName"] == nil)
      try await lab.export("web", in: 1)
      #expect(
        try await lab.settled("Valid", of: "web", in: 1, on: "False NoService")
          == "False NoService")

      // Somebody wants the name for a Service of his own: it becomes his, as he wrote it.
      try await lab.service("web", spec: ["selector": ["app": "web"]], in: 1)
      #expect(
        try await eventually {
          let service = try await lab.get(.services, "web", in: 1)
          return service.map { !ObjectDiffer.isOurs($0) } ?? false
        })
      let taken = try #require(try await lab.get(.services, "web", in: 1))
      #expect(taken.spec["type"] == "ClusterIP" && taken.spec["externalName"] == nil)
      #expect(taken.spec["clusterIP"]?.string?.isEmpty == false)
      #expect(taken.spec.at("selector", "app") == "web")
      #expect(taken.metadata["ownerReferences"] == nil)
      #expect(
        try await lab.settled("Valid", of: "web", in: 1, on: "True Valid") == "True Valid")
      // It is nobody's alias any more: what becomes of the import does not touch it.
      for index in 0..<2 { try await lab.delete(.serviceExports, "web", in: index) }
      #expect(try await eventually { try await lab.get(.serviceImports, "web", in: 1) == nil })
      #expect(try await lab.get(.services, "web", in: 1)?.uid == taken.uid)
    }
  }

  @Test(arguments: KubernetesLab.Servers.allCases)
  func anAliasGoesWithTheSlicesWish(_ servers: KubernetesLab.Servers) async throws {
    try await KubernetesLab.with(servers) { lab in
      let path = SlicePath.section("blue", .dns).text
      try await lab.service("db", spec: ["clusterIP": "None"], in: 0)
      try await lab.export("db", in: 0)
      #expect(try await eventually { try await lab.get(.serviceImports, "db", in: 1) != nil })
      #expect(try await lab.get(.services, "db", in: 1) == nil)
      try await lab.write([RegisterWrite(path: path, value: ["clusterLocal": true])])
      #expect(try await eventually { try await lab.get(.services, "db", in: 1) != nil })
      try await lab.write([RegisterWrite(path: path, value: nil)])
      #expect(try await eventually { try await lab.get(.services, "db", in: 1) == nil })
    }
  }
}
