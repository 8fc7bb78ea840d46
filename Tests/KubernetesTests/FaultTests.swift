import Base
import Kubernetes
import Slices
import Testing

/// Peers that die between any two steps, and changes in any order.
@Suite struct FaultTests {
  /// What there is in a cluster, without what differs from run to run.
  private func picture(_ world: MCSWorld) -> [String: [String]] {
    world.objects.mapValues { objects in
      [ResourceType.serviceImports, .services, .endpointSlices, .serviceExports].flatMap { type in
        objects.all(type).map { object in
          var json = object.json
          for field in ["uid", "resourceVersion", "creationTimestamp", "ownerReferences"] {
            json["metadata"]?[field] = nil
          }
          json["metadata"]?["annotations"] = nil
          json["spec"]?["ips"] = nil
          json["spec"]?["clusterIP"] = nil
          json["spec"]?["clusterIPs"] = nil
          return json.description
        }
      }
    }
  }

  private func story(_ world: inout MCSWorld, _ chapter: Int) {
    switch chapter {
    case 0:
      world.export("web", in: "a", pods: ["192.168.0.1", "192.168.0.2"])
      world.export("db", in: "b", spec: ["clusterIP": "None"])
    case 1:
      world.export("web", in: "b", ports: [["name": "http", "port": 81]])
      world.endpoints("web", in: "a", [("192.168.0.3", "web-3", true)])
    default:
      world.remove(.serviceExports, "web", in: "a")
      world.remove(.serviceExports, "db", in: "b")
    }
  }

  /// Fault points: after each single request of each pass of each chapter, in either cluster. The
  /// peer that died starts anew; nothing is lost and nothing is orphaned.
  @Test(arguments: ["a", "b"]) func aPeerMayDieAfterAnyStep(_ victim: String) throws {
    var calm = try MCSWorld()
    var pictures: [[String: [String]]] = []
    for chapter in 0..<3 {
      story(&calm, chapter)
      let isSettled = calm.settle()
      #expect(isSettled)
      pictures.append(picture(calm))
    }
    var points = 0
    for chapter in 0..<3 {
      for step in 0..<64 {
        var world = try MCSWorld()
        for earlier in 0..<chapter {
          story(&world, earlier)
          world.settle()
        }
        story(&world, chapter)
        guard world.run(victim, steps: step) else { break }
        points += 1
        world.restart(victim)
        let isSettled = world.settle()
        #expect(isSettled)
        #expect(picture(world) == pictures[chapter], "chapter \(chapter), step \(step)")
      }
    }
    // Each chapter has several requests in either cluster.
    #expect(points >= 12, "\(points) fault points")
  }

  @Test func changesInAnyOrderArePlannedAsTheWhole() throws {
    var rng = SeededGenerator(seed: 11)
    let clusters = ["a", "b", "c"]
    let names = ["web", "db", "api"]
    var world = try MCSWorld(clusters)
    for _ in 0..<40 {
      for _ in 0..<Int.random(in: 1...3, using: &rng) {
        let cluster = clusters.randomElement(using: &rng) ?? "a"
        let name = names.randomElement(using: &rng) ?? "web"
        switch Int.random(in: 0..<9, using: &rng) {
        case 0, 1:
          let isHeadless = Bool.random(using: &rng)
          world.export(
            name, in: cluster, spec: isHeadless ? ["clusterIP": "None"] : [:],
            annotations: Bool.random(using: &rng) ? [ObjectNames.affinity: "remote"] : [:])
        case 2: world.remove(.serviceExports, name, in: cluster)
        case 3: world.remove(.services, name, in: cluster)
        case 4:
          world.endpoints(
            name, in: cluster,
            (1...3).map { ("192.168.1.\($0)", "", Bool.random(using: &rng)) })
        case 5: world.reachable[cluster] = Bool.random(using: &rng) ? Set(clusters) : []
        case 6: world.drained = Bool.random(using: &rng) ? [cluster] : []
        case 7:
          world.put(
            .namespaces, "", "shop",
            labels: Bool.random(using: &rng) ? [ObjectNames.slice: "blue"] : [:], in: cluster)
        default: world.restart(cluster)
        }
      }
      if Int.random(in: 0..<12, using: &rng) == 0 {
        world.consent = world.consent == .all ? .labelled : .all
      }
      // Sometimes half a pass only.
      if Bool.random(using: &rng) {
        _ = world.run("a", steps: Int.random(in: 0...4, using: &rng))
      } else {
        let isSettled = world.settle()
        #expect(isSettled)
      }
    }
  }
}

extension MCSWorld {
  /// Passes of all clusters, until the victim has had so many requests carried out.
  ///
  /// - Returns: `false` where it had fewer to make.
  mutating func run(_ victim: String, steps: Int) -> Bool {
    var left = steps
    for _ in 0..<12 {
      var isDone = true
      for cluster in objects.keys.sorted() {
        let before = registers
        for action in pass(cluster) {
          if cluster == victim {
            if left == 0 { return true }
            left -= 1
          }
          carryOut(action, cluster)
          isDone = false
        }
        if registers != before { isDone = false }
      }
      if isDone { return false }
    }
    return false
  }
}
