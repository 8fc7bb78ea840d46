import Base
import Foundation
import Kubernetes
import Slices
import Testing

@testable import Runtime

/// Whole peers against API servers: fakes always, real ones where they are named.
@Suite(.serialized) struct KubernetesPlatformTests {
  @Test(arguments: KubernetesLab.Servers.allCases)
  func anExportReachesTheOtherCluster(_ servers: KubernetesLab.Servers) async throws {
    try await KubernetesLab.with(servers) { lab in
      try await lab.service("web", pods: ["192.168.0.1", "192.168.0.2"], in: 0)
      try await lab.export("web", in: 0)
      for index in 0..<2 {
        #expect(
          try await eventually {
            let imported = try await lab.get(.serviceImports, "web", in: index)
            return imported?.spec["ips"]?.array?.count == 1
              && imported?.status["clusters"] == [["cluster": "c0"]]
          })
        let imported = try #require(try await lab.get(.serviceImports, "web", in: index))
        #expect(imported.spec["type"] == "ClusterSetIP")
        #expect(
          try await eventually {
            try await lab.slices(of: "web", in: index).first?.json["endpoints"]?.array?.count == 2
          })
        let slices = try await lab.slices(of: "web", in: index)
        #expect(slices.map { $0.labels[MCS.sourceClusterLabel] } == ["c0"])
        #expect(slices.first?.metadata["ownerReferences"]?.array?.count == 1)
      }
      #expect(
        try await eventually {
          try await lab.condition("Ready", of: "web", in: 0) == "True Exported"
        })
      #expect(try await lab.condition("Valid", of: "web", in: 0) == "True Valid")
      #expect(try await lab.condition("Conflict", of: "web", in: 0) == "False NoConflicts")

      try await lab.endpoints("web", ["192.168.0.3"], in: 0)
      #expect(
        try await eventually {
          try await lab.slices(of: "web", in: 1).first?.json["endpoints"]?.array?.count == 1
        })
      try await lab.delete(.serviceExports, "web", in: 0)
      for index in 0..<2 {
        #expect(
          try await eventually { try await lab.get(.serviceImports, "web", in: index) == nil })
        #expect(try await eventually { try await lab.slices(of: "web", in: index).isEmpty })
      }
      #expect(try await lab.get(.services, "web", in: 0) != nil)
    }
  }

  @Test(arguments: KubernetesLab.Servers.allCases)
  func conflictsShowOnBothExports(_ servers: KubernetesLab.Servers) async throws {
    try await KubernetesLab.with(servers) { lab in
      try await lab.service("db", spec: ["clusterIP": "None"], in: 0)
      try await lab.export("db", in: 0)
      #expect(
        try await eventually {
          try await lab.get(.serviceImports, "db", in: 1)?.spec["type"] == "Headless"
        })
      try await lab.service(
        "db",
        ports: [
          ["name": "http", "port": 80, "protocol": "TCP"],
          ["name": "admin", "port": 81, "protocol": "TCP"],
        ], in: 1)
      try await lab.export("db", in: 1)
      for index in 0..<2 {
        #expect(
          try await lab.settled(
            "Conflict", of: "db", in: index, on: "True PortConflict,TypeConflict")
            == "True PortConflict,TypeConflict")
        #expect(
          try await eventually {
            try await lab.get(.serviceImports, "db", in: index)?.spec["type"] == "ClusterSetIP"
          })
      }
      try await lab.delete(.serviceExports, "db", in: 1)
      #expect(
        try await eventually {
          try await lab.condition("Conflict", of: "db", in: 0) == "False NoConflicts"
        })
    }
  }

  @Test(arguments: KubernetesLab.Servers.allCases)
  func whatSomebodyChangesIsReverted(_ servers: KubernetesLab.Servers) async throws {
    try await KubernetesLab.with(servers) { lab in
      try await lab.service("web", in: 0)
      try await lab.export("web", in: 0)
      #expect(try await eventually { try await lab.get(.serviceImports, "web", in: 1) != nil })
      let id = ObjectID(.serviceImports, ObjectKey(namespace: lab.namespace, name: "web"))
      _ = try await lab.clusters[1].api.send(.mergePatch(id, ["spec": ["type": "Headless"]]))
      #expect(
        try await eventually {
          try await lab.get(.serviceImports, "web", in: 1)?.spec["type"] == "ClusterSetIP"
        })
      _ = try await lab.clusters[1].api.send(.delete(id, uid: ""))
      #expect(
        try await eventually {
          try await lab.get(.serviceImports, "web", in: 1)?.spec["ips"]?.array?.count == 1
        })
    }
  }

  @Test func theAPIServerMayBeAway() async throws {
    try await KubernetesLab.with { lab in
      try await lab.service("web", in: 0)
      try await lab.export("web", in: 0)
      let server = try #require(lab.clusters[1].fake)
      let web = ImportPlanner.derivedName(ServiceName(namespace: lab.namespace, name: "web"))
      #expect(
        await eventually {
          server.edit { api in
            api.store.all(.services).contains {
              $0.key.name == web && $0.metadata["ownerReferences"] != nil
            }
              && api.store.all(.endpointSlices).contains { $0.key.name.hasPrefix("web-c0") }
          }
        })
      await server.stop()
      // Changes elsewhere go on, and this cluster's exports stay what they are.
      try await lab.service("late", in: 0)
      try await lab.export("late", in: 0)
      #expect(try await eventually { try await lab.get(.serviceImports, "late", in: 0) != nil })
      server.edit { $0.store.compact() }
      let before = server.edit { $0.requests.count }
      try await server.start(port: server.lastPort)
      #expect(
        try await eventually(within: .seconds(60)) {
          try await lab.get(.serviceImports, "late", in: 1)?.spec["ips"] != nil
        })
      // Everything was listed anew, and what was there was as it should be.
      let again = server.edit { $0.requests.dropFirst(before) }.filter { request in
        request.method == "PATCH"
          && ["/\(web)?", "/web-c0"].contains { request.target.contains($0) }
      }
      #expect(again.map(\.target) == [])
    }
  }

  @Test func nothingIsOrphanedWhateverAnswerIsLost() async throws {
    try await KubernetesLab.with { lab in
      for cluster in lab.clusters {
        cluster.fake?.edit {
          $0.faults = ["POST", "PATCH", "DELETE", "PUT"].flatMap { verb in
            [
              .init(prefix: verb, times: 2, effect: .loseAnswer),
              .init(
                prefix: verb, times: 2,
                effect: .refuse(500, reason: "InternalError", retryAfter: nil)),
              .init(
                prefix: verb, times: 1,
                effect: .refuse(429, reason: "TooManyRequests", retryAfter: 1)),
            ]
          }
        }
      }
      func insist(_ body: () async throws -> Void) async {
        _ = await eventually { (try? await body()) != nil }
      }
      await insist { try await lab.service("web", in: 0) }
      await insist { try await lab.export("web", in: 0) }
      for index in 0..<2 {
        #expect(
          try await eventually(within: .seconds(60)) {
            try await lab.get(.serviceImports, "web", in: index)?.spec["ips"] != nil
          })
      }
      await insist { try await lab.delete(.serviceExports, "web", in: 0) }
      for index in 0..<2 {
        let server = try #require(lab.clusters[index].fake)
        #expect(
          await eventually(within: .seconds(60)) {
            server.edit { api in
              [ResourceType.services, .endpointSlices, .serviceImports].allSatisfy { type in
                api.store.all(type).allSatisfy { !ObjectDiffer.isOurs($0) }
              }
            }
          })
      }
    }
  }
}
