import Base
import Kubernetes
import Slices
import Testing

@Suite struct MirrorTests {
  @Test func slicesAndPeersShow() throws {
    var world = try MCSWorld()
    world.export("web", in: "a")
    world.settle()
    let facts = ["a", "b"].map {
      MirrorPlanner.PeerFacts(
        cluster: $0, phase: $0 == "a" ? "Alive" : "Dead",
        nodes: [(node: String(repeating: "a", count: 64), phase: "Alive", acts: true)])
    }
    let desired = MirrorPlanner.desired(
      world.view, peers: facts, cluster: "a", ClusterObjects(), now: 1_790_000_000_000)
    #expect(
      desired.map(\.id.description) == [
        "slices.starling.dev/blue", "clusterpeers.starling.dev/a", "clusterpeers.starling.dev/b",
      ])
    let slice = try #require(desired[0].status)
    #expect(slice["cidr"] == "10.11.0.0/16" && slice["serviceCount"] == 1)
    #expect(slice["members"]?.array?.compactMap { $0["cluster"]?.string } == ["a", "b"])
    #expect(slice["conditions"]?.array?.first?["reason"] == "Active")
    #expect(desired[1].status?["conditions"]?.array?.first?["status"] == "True")
    #expect(desired[2].status?["conditions"]?.array?.first?["reason"] == "Dead")
  }

  private func objects(_ specs: [String: JSON]) -> ClusterObjects {
    var out = ClusterObjects()
    for (name, spec) in specs {
      var object = KubernetesObject(.signedChangesets, ObjectKey(name: name), ["spec": spec])
      object.json["metadata"]?["uid"] = .string("uid-\(name)")
      object.json["metadata"]?["generation"] = 1
      out.put(object, .signedChangesets)
    }
    return out
  }

  @Test func changesAreHandedInOnce() {
    var intake = ChangesetIntake()
    let objects = objects(["a": ["changeset": "AQID"], "b": ["changeset": "!"], "c": [:]])
    let first = intake.next(objects, retry: false)
    #expect(first.map(\.uid) == ["uid-a"] && first[0].bytes == [1, 2, 3])
    #expect(intake.next(objects, retry: true).isEmpty)
    #expect(
      intake.desired(objects).map { $0.status?["phase"]?.string } == ["Rejected", "Rejected"])
    intake.judged("uid-a", .init(.pending, reason: "GrantUnknown", message: ""))
    #expect(intake.next(objects, retry: false).isEmpty && intake.isWaiting)
    #expect(intake.next(objects, retry: true).map(\.uid) == ["uid-a"])
    intake.judged("uid-a", .init(.accepted, reason: "Accepted", message: "", id: "ab"))
    #expect(intake.next(objects, retry: true).isEmpty && !intake.isWaiting)
    #expect(intake.desired(objects).first?.status?["id"] == "ab")
  }

  @Test func whatWasSettledBeforeARestartStays() {
    var intake = ChangesetIntake()
    var objects = objects(["a": ["changeset": "AQID"]])
    var object = objects.all(.signedChangesets)[0]
    object.json["status"] = ["phase": "Accepted"]
    objects.put(object, .signedChangesets)
    #expect(intake.next(objects, retry: true).isEmpty)
    object.json["status"] = ["phase": "Pending"]
    objects.put(object, .signedChangesets)
    #expect(intake.next(objects, retry: false).count == 1)
  }

  @Test func whatIsGoneIsForgotten() {
    var intake = ChangesetIntake()
    _ = intake.next(objects(["a": ["changeset": "!"]]), retry: false)
    let none = ClusterObjects()
    #expect(intake.next(none, retry: false).isEmpty && intake.desired(none).isEmpty)
    #expect(intake.next(objects(["a": ["changeset": "AQID"]]), retry: false).count == 1)
  }

  @Test func labelsOfOthersAreHeldToTheRules() throws {
    var world = try MCSWorld()
    world.export(
      "web", in: "a",
      spec: ["trafficDistribution": "Sideways", "internalTrafficPolicy": "Nowhere"],
      export: [
        "exportedLabels": [
          "fine": "a.b_c-1", "long": .string(String(repeating: "x", count: 64)), "bad key": "x",
          "a/b/c": "x", "team.example/x": "", "-x": "y", "sp": "a b",
        ]
      ])
    world.settle()
    let imported = try #require(world[.serviceImports, "web", in: "b"])
    let ours: Set = [ObjectNames.managedBy, ObjectNames.slice]
    #expect(Set(imported.labels.keys).subtracting(ours) == ["fine", "team.example/x"])
    let derived = world.objects["b"]?.all(.services).first { ObjectDiffer.isOurs($0) }
    #expect(derived?.spec["trafficDistribution"] == nil)
    #expect(derived?.spec["internalTrafficPolicy"] == nil)
  }
}
