import Base
import Kubernetes
import Slices
import Testing

@Suite struct CorefileTests {
  static let stock = """
    .:53 {
        errors
        health {
           lameduck 5s
        }
        kubernetes cluster.local in-addr.arpa ip6.arpa {
           pods insecure
        }
        forward . /etc/resolv.conf
        cache 30
    }
    """

  @Test(arguments: [stock, stock + "\n", "", "# nothing\n"])
  func takingTheBlockOutRestoresWhatWasThere(_ text: String) {
    let old = Corefile(text)
    let new = old.serving(["slice.local", "clusterset.local"], at: ["10.96.0.53"])
    #expect(new.hasBlock && new.text.hasPrefix(text))
    #expect(new.text.contains("slice.local:53 clusterset.local:53 {"))
    #expect(new.text.contains("forward . 10.96.0.53 {"))
    #expect(!new.text.split(separator: "BEGIN").last!.contains("cache"))
    let restored = new.withoutBlock.text
    #expect(restored == text || restored == text + "\n")
    // Again is the same, and another address replaces the block.
    #expect(new.serving(["slice.local", "clusterset.local"], at: ["10.96.0.53"]) == new)
    let moved = new.serving(["slice.local"], at: ["10.96.0.54"])
    #expect(moved.withoutBlock == new.withoutBlock && moved != new)
  }

  @Test func whatOthersServeIsLeftToThem() {
    let own = "clusterset.local. {\n    forward . 1.2.3.4\n}\n"
    let old = Corefile(Self.stock + "\n" + own)
    let new = old.serving(["slice.local", "clusterset.local"], at: ["10.96.0.53"])
    #expect(new.text.contains("\nslice.local:53 {"))
    #expect(old.serving(["clusterset.local"], at: ["10.96.0.53"]) == old)
    #expect(old.serving(["slice.local"], at: []) == old)
  }

  @Test func editsOfOthersStay() {
    let new = Corefile(Self.stock).serving(["slice.local"], at: ["10.96.0.53"])
    let edited = Corefile("# mine\n" + new.text + "example.org {\n  whoami\n}\n")
    #expect(
      edited.withoutBlock.text == "# mine\n" + Self.stock + "\nexample.org {\n  whoami\n}\n")
    // Half a block is nobody's to guess about.
    let broken = Corefile("# BEGIN starling (kept by Starling; edit outside of these lines)\n")
    #expect(broken.withoutBlock == broken)
  }
}

@Suite struct ClusterDNSTests {
  private func objects(service: Bool = true, corefile: String? = CorefileTests.stock)
    -> ClusterObjects
  {
    var out = ClusterObjects()
    out[.services] = ObjectStore()
    out[.configMaps] = ObjectStore()
    if service {
      out.put(
        KubernetesObject(
          .services, ObjectKey(namespace: "sys", name: ClusterDNSPlanner.serviceName),
          ["spec": ["clusterIPs": ["10.96.0.53"]]]), .services)
    }
    if let corefile {
      var map = KubernetesObject(
        .configMaps, ObjectKey(namespace: "kube-system", name: "coredns"),
        ["data": ["Corefile": .string(corefile)]])
      map.json["metadata"]?["resourceVersion"] = "7"
      out.put(map, .configMaps)
    }
    return out
  }

  private func plan(
    _ adapter: ClusterDNSPlanner.Adapter, _ objects: ClusterObjects
  ) -> [ObjectDiffer.Action] {
    ClusterDNSPlanner.actions(
      adapter, zones: ["slice.local"],
      servers: ClusterDNSPlanner.servers(objects, namespace: "sys"), objects)
  }

  @Test func theEditNamesTheVersionThatItWasMadeFrom() throws {
    let actions = plan(.coredns, objects())
    #expect(actions.count == 1)
    let body = try JSON(parsing: try #require(actions.first?.request.body))
    #expect(body.at("metadata", "resourceVersion") == "7")
    let text = try #require(body.at("data", "Corefile")?.string)
    #expect(plan(.coredns, objects(corefile: text)).isEmpty)
    // Undone where the Service goes, or where it is not wanted any more.
    for undone in [
      plan(.coredns, objects(service: false, corefile: text)),
      plan(.none, objects(corefile: text)),
    ] {
      let body = try JSON(parsing: try #require(undone.first?.request.body))
      #expect(body.at("data", "Corefile")?.string == CorefileTests.stock + "\n")
    }
    #expect(plan(.none, objects()).isEmpty && plan(.coredns, objects(service: false)).isEmpty)
    #expect(plan(.coredns, objects(corefile: nil)).isEmpty)
  }

  @Test func theCacheOnNodesIsToldAsWell() throws {
    let cache = """
      .:53 {
          errors
          cache 30
          bind 169.254.20.10 10.96.0.10
          forward . __PILLAR__UPSTREAM__SERVERS__
      }

      """
    func world(_ corefile: String) -> ClusterObjects {
      var all = objects(corefile: nil)
      all.put(
        KubernetesObject(
          .configMaps, ObjectKey(namespace: "kube-system", name: "node-local-dns"),
          ["data": ["Corefile": .string(corefile)]]), .configMaps)
      return all
    }
    func edited(_ action: ObjectDiffer.Action?) throws -> String {
      let body = try JSON(parsing: try #require(action?.request.body))
      return try #require(body.at("data", "Corefile")?.string)
    }
    for adapter in [ClusterDNSPlanner.Adapter.coredns, .custom] {
      let action = plan(adapter, world(cache)).first { $0.id.key.name == "node-local-dns" }
      let text = try edited(action)
      #expect(
        text.contains("slice.local:53 {\n    bind 169.254.20.10 10.96.0.10\n    errors\n"))
      let again = plan(adapter, world(text))
      #expect(!again.contains { $0.id.key.name == "node-local-dns" })
      #expect(try edited(plan(.none, world(text)).first) == cache)
    }
    #expect(plan(.none, world(cache)).isEmpty)
  }

  @Test func aFileOfOurOwnWhereThatIsHowItIsDone() throws {
    let made = try #require(plan(.custom, objects()).first)
    #expect(made.kind == .create && made.id.key.name == "coredns-custom")
    let body = try JSON(parsing: try #require(made.request.body))
    var all = objects()
    all.put(try #require(KubernetesObject(body)), .configMaps)
    #expect(plan(.custom, all).isEmpty)
    let undo = try #require(plan(.none, all).first)
    #expect(
      try JSON(parsing: try #require(undo.request.body)).at("data", "starling.server") == .null)
  }
}

@Suite struct PolicyTests {
  private func world(isolated: Bool) throws -> (ClustersetView, ClusterObjects) {
    var world = try MCSWorld()
    world.apply([
      RegisterWrite(
        path: "slice/blue/isolation",
        value: ["enabled": .bool(isolated), "allowedNamespaces": ["monitoring"]])
    ])
    var objects = try #require(world.objects["a"])
    objects[.networkPolicies] = ObjectStore()
    return (world.view, objects)
  }

  @Test func onlyNamespacesOfAnIsolatedSliceGetOne() throws {
    let (view, _) = try world(isolated: true)
    let policies = NetworkPolicyPlanner.desired(
      view, namespaces: ["shop": "blue", "other": "green"],
      addresses: ["blue": [ServiceName(namespace: "shop", name: "db"): [IPAddress("10.96.0.7")!]]])
    #expect(policies.map(\.id.key.description) == ["shop/starling-blue"])
    let spec = try #require(policies.first?.object.spec)
    let from = try #require(spec["ingress"]?.array?.first?["from"]?.array)
    #expect(from.count == 2 && from[1].at("ipBlock", "cidr") == "10.11.0.0/16")
    let expression = from[0].at("namespaceSelector", "matchExpressions")?.array?.first
    #expect(expression?["values"] == ["monitoring", "shop"])
    let egress = try #require(spec["egress"]?.array)
    #expect(egress[0]["to"]?.array?.last?.at("ipBlock", "cidr") == "10.96.0.7/32")
    #expect(egress[1]["ports"]?.array?.count == 2)
    let (open, _) = try world(isolated: false)
    #expect(
      NetworkPolicyPlanner.desired(open, namespaces: ["shop": "blue"], addresses: [:]).isEmpty)
  }

  @Test func wideningPoliciesAreReported() throws {
    var (view, objects) = try world(isolated: true)
    func put(_ name: String, _ namespace: String, _ spec: JSON) {
      objects.put(
        KubernetesObject(
          .networkPolicies, ObjectKey(namespace: namespace, name: name), ["spec": spec]),
        .networkPolicies)
    }
    put("all", "shop", ["ingress": [.empty]])
    put("world", "shop", ["egress": [["to": [["ipBlock": ["cidr": "0.0.0.0/0"]]]]]])
    put("everywhere", "shop", ["ingress": [["from": [["namespaceSelector": .empty]]]]])
    put("one", "shop", ["ingress": [["from": [["podSelector": .empty]]]]])
    put("web", "shop", ["ingress": [["ports": [["port": 80]]]]])
    put("elsewhere", "other", ["ingress": [.empty]])
    let found = NetworkPolicyPlanner.widening(objects, view, namespaces: ["shop": "blue"])
    #expect(found.map(\.name) == ["all", "everywhere", "world"])
    view.rebuild(from: RegisterTable())
    #expect(NetworkPolicyPlanner.widening(objects, view, namespaces: ["shop": "blue"]).isEmpty)
  }
}

@Suite struct EventTests {
  private let object = KubernetesObject(.namespaces, ObjectKey(name: "shop"))

  private func statement(_ reason: String) -> EventRecorder.Statement {
    EventRecorder.Statement(object, .namespaces, reason: reason, note: "a note")
  }

  private func at(_ seconds: Int) -> Now {
    Now(
      instant: .zero + .seconds(seconds),
      wallMilliseconds: 1_790_000_000_000 + UInt64(seconds) * 1000)
  }

  @Test func whatHoldsIsToldOnce() throws {
    var recorder = EventRecorder()
    let first = recorder.record([statement("Onboarded")], of: "x", instance: "n", now: at(0))
    #expect(first.count == 1)
    let body = try JSON(parsing: try #require(first.first?.body))
    #expect(body["reason"] == "Onboarded" && body.at("metadata", "namespace") == "default")
    #expect(body["eventTime"]?.string?.hasSuffix(".000000Z") == true)
    #expect(recorder.record([statement("Onboarded")], of: "x", instance: "n", now: at(9)).isEmpty)
    #expect(recorder.record([], of: "x", instance: "n", now: at(9)).isEmpty)
    #expect(
      recorder.record([statement("Onboarded")], of: "x", instance: "n", now: at(10)).count == 1)
  }

  @Test func aFloodIsCut() {
    var recorder = EventRecorder()
    let many = Set((0..<500).map { statement("R\($0)") })
    #expect(
      recorder.record(many, of: "x", instance: "n", now: at(0)).count == EventRecorder.budget)
    #expect(recorder.suppressed == UInt64(500 - EventRecorder.budget))
    let more = Set((0..<500).map { statement("S\($0)") })
    #expect(recorder.record(more, of: "x", instance: "n", now: at(10)).count == 5)
  }
}
