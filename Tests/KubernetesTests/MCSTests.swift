import Base
import Kubernetes
import Slices
import Testing

/// The API cases of the public MCS conformance suite, and what they leave out.
@Suite struct MCSTests {
  @Test func anExportIsImportedEverywhere() throws {
    var world = try MCSWorld()
    world.export("web", in: "a", pods: ["192.168.0.1", "192.168.0.2"])
    let isSettled = world.settle()
    #expect(isSettled)
    for cluster in ["a", "b"] {
      let imported = try #require(world[.serviceImports, "web", in: cluster])
      #expect(imported.spec["type"] == "ClusterSetIP")
      #expect(imported.spec["ports"] == [["name": "http", "port": 80, "protocol": "TCP"]])
      #expect(imported.status["clusters"] == [["cluster": "a"]])
      let derived = try #require(
        world[
          .services,
          ImportPlanner.derivedName(ServiceName(namespace: "shop", name: "web")), in: cluster])
      #expect(imported.spec["ips"] == derived.spec["clusterIPs"])
      #expect(derived.metadata["ownerReferences"]?.array?.first?["uid"]?.string == imported.uid)
      let slices = world.slices(of: "web", in: cluster)
      #expect(slices.count == 1)
      #expect(slices[0].labels[MCS.sourceClusterLabel] == "a")
      #expect(slices[0].labels[ObjectNames.endpointSliceManager] == "starling.dev")
      #expect(slices[0].json["endpoints"]?.array?.count == 2)
      #expect(slices[0].json["ports"]?.array?.first?["port"] == 8080)
    }
    // The exporter reaches its Pods as they are, the other one by slice addresses.
    func address(_ cluster: String) -> String? {
      world.slices(of: "web", in: cluster).first?.json["endpoints"]?.array?.first?["addresses"]?
        .array?.first?.string
    }
    #expect(address("a") == "192.168.0.1" && address("b")?.hasPrefix("10.11.") == true)
    #expect(world.condition("Valid", of: "web", in: "a")! == ("True", "Valid"))
    #expect(world.condition("Ready", of: "web", in: "a")! == ("True", "Exported"))
    #expect(world.condition("Conflict", of: "web", in: "a")! == ("False", "NoConflicts"))
    // Nothing is left to do, and nothing is done.
    world.milliseconds += 60_000
    world.settle()
    let quiet = world.actions.values.allSatisfy { $0.isEmpty }
    #expect(quiet)
  }

  /// The name waits for the derived Service's address, so that Service does not wait for its owner.
  @Test func theDerivedServiceIsMadeBesideTheImport() throws {
    var world = try MCSWorld()
    world.export("web", in: "a")
    _ = world.pass("a")
    let first = world.pass("b").filter { $0.kind == .create }.map(\.id.type)
    #expect(first == [.serviceImports, .services])
    // An import that goes takes its Service along: none is made for it.
    world.settle()
    var imported = try #require(world[.serviceImports, "web", in: "b"])
    let name = ImportPlanner.derivedName(ServiceName(namespace: "shop", name: "web"))
    world.remove(.services, name, in: "b")
    imported.json["metadata"]?["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.put(imported, .serviceImports, in: "b")
    #expect(world.pass("b").isEmpty)
    world.remove(.serviceImports, "web", in: "b")
    #expect(world.pass("b").map(\.kind) == [.create, .create])
  }

  @Test func anUnexportedServiceGoesEverywhere() throws {
    var world = try MCSWorld()
    world.export("web", in: "a")
    world.settle()
    world.remove(.serviceExports, "web", in: "a")
    world.settle()
    for cluster in ["a", "b"] {
      #expect(world[.serviceImports, "web", in: cluster] == nil)
      #expect(world.slices(of: "web", in: cluster).isEmpty)
      #expect(world.objects[cluster]?.all(.services).filter { ObjectDiffer.isOurs($0) } == [])
    }
    // What is not ours stays.
    #expect(world[.services, "web", in: "a"] != nil)
    #expect(world[.endpointSlices, "web-x", in: "a"] != nil)
  }

  @Test func theImportLivesWhileOneExporterDoes() throws {
    var world = try MCSWorld()
    world.export("web", in: "a")
    world.export("web", in: "b")
    world.settle()
    world.remove(.serviceExports, "web", in: "a")
    world.settle()
    #expect(world[.serviceImports, "web", in: "a"]?.status["clusters"] == [["cluster": "b"]])
    #expect(world.serving("web", in: "a") == ["b"])
  }

  @Test func anExportWithoutServiceIsNotValid() throws {
    var world = try MCSWorld()
    world.put(.serviceExports, "shop", "ghost", in: "a")
    world.service("out", in: "a", spec: ["type": "ExternalName"])
    world.put(.serviceExports, "shop", "out", in: "a")
    world.settle()
    #expect(world.condition("Valid", of: "ghost", in: "a")! == ("False", "NoService"))
    #expect(world.condition("Valid", of: "out", in: "a")! == ("False", "InvalidServiceType"))
    #expect(world.condition("Conflict", of: "out", in: "a") == nil)
    #expect(world[.serviceImports, "out", in: "b"] == nil)
  }

  @Test func portsUniteAndConflictShowsOnBoth() throws {
    var world = try MCSWorld()
    world.export("web", in: "a", ports: [["name": "http", "port": 80]])
    world.export(
      "web", in: "b", ports: [["name": "http", "port": 80], ["name": "tls", "port": 443]])
    world.settle()
    for cluster in ["a", "b"] {
      #expect(world.condition("Conflict", of: "web", in: cluster)! == ("True", "PortConflict"))
      let ports = world[.serviceImports, "web", in: cluster]?.spec["ports"]?.array
      #expect(ports?.compactMap { $0["port"]?.integer } == [80, 443])
    }
  }

  /// A peer that lost its state finds in its cluster's objects what names answered.
  @Test func whatWasImportedIsRemembered() throws {
    var world = try MCSWorld()
    world.export("web", in: "a", pods: ["192.168.0.1", "192.168.0.2"])
    world.export("db", in: "a", spec: ["clusterIP": "None"])
    world.settle()
    for cluster in ["a", "b"] {
      let objects = try #require(world.objects[cluster])
      let remembered = RememberedServices(objects, imports: .serviceImports)
      let slice = try #require(remembered.slices.first)
      let view = try #require(world.view.slices["blue"])
      #expect(remembered.slices.count == 1 && slice.name == "blue")
      #expect(slice.services.map(\.service) == view.services.map(\.service))
      #expect(slice.services.map(\.type) == view.services.map(\.type))
      #expect(slice.services.map(\.clusters) == [["a"], ["a"]])
      #expect(slice.services.map { $0.exports[0].endpoints.count } == [1, 2])
      #expect(slice.services[0].exports[0].endpoints[0].hostname == "db-0")
      let web = ServiceName(namespace: "shop", name: "web")
      let ips = world[.serviceImports, "web", in: cluster]?.spec["ips"]?.array
      #expect(
        remembered.addresses == [
          "blue": [web: ips?.compactMap { IPAddress($0.string ?? "") } ?? []]
        ])
    }
  }

  /// With policy `local` the own Pods serve what they have, and the others' what only they have.
  @Test func aPortIsServedByWhoHasIt() throws {
    var world = try MCSWorld(dns: SliceDNS(policy: .local))
    world.export("web", in: "a", ports: [["name": "http", "port": 80]])
    world.export(
      "web", in: "b", ports: [["name": "http", "port": 80], ["name": "tls", "port": 443]])
    world.settle()
    func ports(from cluster: String, isServed: Bool) -> [String] {
      world.slices(of: "web", in: "a").filter {
        $0.labels[MCS.sourceClusterLabel] == cluster
          && ($0.labels[ObjectNames.serviceName] != nil) == isServed
      }.flatMap { $0.json["ports"]?.array?.compactMap { $0["name"]?.string } ?? [] }
    }
    #expect(ports(from: "a", isServed: true) == ["http"])
    #expect(ports(from: "b", isServed: true) == ["tls"])
    #expect(ports(from: "b", isServed: false) == ["http"], "whoever reads the API sees it")
    world.drained = ["a"]
    world.settle()
    #expect(ports(from: "a", isServed: true) == [])
    #expect(ports(from: "b", isServed: true) == ["http", "tls"])
  }

  @Test func theOldestPortWins() throws {
    var world = try MCSWorld()
    world.export("web", in: "b", ports: [["name": "http", "port": 81]])
    world.export("web", in: "a", ports: [["name": "http", "port": 80]])
    world.settle()
    for cluster in ["a", "b"] {
      let ports = world[.serviceImports, "web", in: cluster]?.spec["ports"]?.array
      #expect(ports?.compactMap { $0["port"]?.integer } == [81])
      #expect(world.serving("web", in: cluster) == ["b"], "nobody else has that port")
      #expect(world.condition("Conflict", of: "web", in: cluster)! == ("True", "PortConflict"))
    }
  }

  @Test func endpointsPortsMakeNoConflict() throws {
    var world = try MCSWorld()
    world.export("web", in: "a", ports: [["name": "other", "port": 80, "targetPort": 1234]])
    world.export("web", in: "b", ports: [["name": "other", "port": 80, "targetPort": 5678]])
    world.settle()
    #expect(world.condition("Conflict", of: "web", in: "a")! == ("False", "NoConflicts"))
    let ports = world.slices(of: "web", in: "a").reduce(into: [String: Int64]()) { out, slice in
      let port = slice.json["ports"]?.array?.first?["port"]?.integer
      out[slice.labels[MCS.sourceClusterLabel] ?? ""] = port
    }
    #expect(ports == ["a": 1234, "b": 5678])
  }

  @Test func headlessServicesHaveNoAddress() throws {
    var world = try MCSWorld()
    world.export("db", in: "a", spec: ["clusterIP": "None"])
    world.settle()
    for cluster in ["a", "b"] {
      let imported = try #require(world[.serviceImports, "db", in: cluster])
      #expect(imported.spec["type"] == "Headless" && imported.spec["ips"] == nil)
      #expect(imported.status["conditions"]?.array?.first?["reason"] == "Ready")
      #expect(world.slices(of: "db", in: cluster).count == 1)
      let hosts = world.slices(of: "db", in: cluster)[0].json["endpoints"]?.array
      #expect(hosts?.first?["hostname"] == "db-0")
      #expect(world.objects[cluster]?.all(.services).filter { ObjectDiffer.isOurs($0) } == [])
    }
  }

  @Test func headlessnessConflictsBecomeClusterSetIP() throws {
    var world = try MCSWorld()
    // A server gives both families to such a Service even where the cluster has one.
    world.export(
      "db", in: "a", spec: ["clusterIP": "None", "ipFamilies": ["IPv4", "IPv6"]])
    world.export("db", in: "b")
    world.settle()
    for cluster in ["a", "b"] {
      #expect(world[.serviceImports, "db", in: cluster]?.spec["type"] == "ClusterSetIP")
      #expect(world.condition("Conflict", of: "db", in: cluster)! == ("True", "TypeConflict"))
    }
  }

  @Test func propertiesPropagateFromTheOldest() throws {
    var world = try MCSWorld()
    world.export(
      "web", in: "a",
      spec: [
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": ["clientIP": ["timeoutSeconds": 60]],
        "internalTrafficPolicy": "Local", "trafficDistribution": "PreferClose",
      ], export: ["exportedLabels": ["team": "x"], "exportedAnnotations": ["note": "y"]])
    world.export("web", in: "b", export: ["exportedLabels": ["team": "z"]])
    world.settle()
    let imported = try #require(world[.serviceImports, "web", in: "b"])
    #expect(imported.spec["sessionAffinity"] == "ClientIP")
    #expect(imported.spec.at("sessionAffinityConfig", "clientIP", "timeoutSeconds") == 60)
    #expect(imported.spec["internalTrafficPolicy"] == "Local")
    #expect(imported.spec["trafficDistribution"] == "PreferClose")
    #expect(imported.labels["team"] == "x" && imported.annotations["note"] == "y")
    let reason =
      "SessionAffinityConflict,AnnotationsConflict,LabelsConflict,"
      + "InternalTrafficPolicyConflict,TrafficDistributionConflict"
    #expect(world.condition("Conflict", of: "web", in: "b")! == ("True", reason))
    #expect(world.condition("Conflict", of: "web", in: "a")! == ("True", reason))
  }

  @Test func exportedLabelsCannotForgeOurs() throws {
    var world = try MCSWorld()
    world.export(
      "web", in: "a",
      export: ["exportedLabels": ["app.kubernetes.io/managed-by": "evil", ObjectNames.slice: "x"]])
    world.settle()
    let labels = world[.serviceImports, "web", in: "b"]?.labels
    #expect(labels?[ObjectNames.managedBy] == "starling" && labels?[ObjectNames.slice] == "blue")
  }

  @Test func consentIsLocal() throws {
    var world = try MCSWorld()
    world.consent = .labelled
    world.export("web", in: "a")
    world.settle()
    #expect(world.condition("Ready", of: "web", in: "a")! == ("False", "Pending"))
    #expect(world[.serviceImports, "web", in: "b"] == nil)
    world.put(.namespaces, "", "shop", labels: [ObjectNames.slice: "blue"], in: "a")
    world.settle()
    #expect(world.condition("Ready", of: "web", in: "a")! == ("True", "Exported"))
    // b has not consented: nothing is made there.
    #expect(world[.serviceImports, "web", in: "b"] == nil)
    world.put(.namespaces, "", "shop", labels: [ObjectNames.slice: "red"], in: "b")
    world.settle()
    #expect(world[.serviceImports, "web", in: "b"] == nil)
    world.put(.namespaces, "", "shop", labels: [ObjectNames.slice: "blue"], in: "b")
    world.settle()
    #expect(world[.serviceImports, "web", in: "b"] != nil)
    // Offboarding takes everything of ours away.
    world.put(.namespaces, "", "shop", in: "b")
    world.settle()
    #expect(world.slices(of: "web", in: "b").isEmpty)
    #expect(world[.serviceImports, "web", in: "b"] == nil)
  }

  /// Namespaces come and go without anybody signing anything; those of the machinery are never meant.
  @Test func everyNamespaceTakesPart() throws {
    var world = try MCSWorld(namespaces: [SliceMember.everyNamespace])
    for name in ["new", "kube-system", "starling-system"] {
      world.put(.namespaces, "", name, in: "a")
    }
    let objects = try #require(world.objects["a"])
    func slices(_ consent: ExportReader.Consent) -> [String: String] {
      ExportReader.slices(objects, world.view, "a", consent, home: "starling-system")
    }
    #expect(slices(.all) == ["shop": "blue", "new": "blue"])
    #expect(slices(.labelled).isEmpty)
    world.export("web", in: "a")
    world.settle()
    #expect(world[.serviceImports, "web", in: "b"] != nil)
    world.remove(.namespaces, "shop", namespace: "", in: "b")
    world.settle()
    #expect(world[.serviceImports, "web", in: "b"] == nil)
  }

  @Test func unreachableExportersAreWithdrawn() throws {
    var world = try MCSWorld(["a", "b", "c"])
    world.export("web", in: "a")
    world.export("web", in: "b")
    world.settle()
    #expect(world.serving("web", in: "c") == ["a", "b"])
    world.reachable["c"] = ["b"]
    world.settle()
    #expect(world.serving("web", in: "c") == ["b"])
    // The import and its address stay: established names go on.
    #expect(world[.serviceImports, "web", in: "c"]?.spec["ips"] != nil)
    world.reachable["c"] = []
    world.settle()
    #expect(world.slices(of: "web", in: "c").isEmpty)
    world.reachable["c"] = ["a", "b"]
    world.settle()
    #expect(world.serving("web", in: "c") == ["a", "b"])
  }

  @Test func aPodThatStaysOutServesNobody() throws {
    var world = try MCSWorld()
    world.put(.pods, "shop", "web-1", labels: [ObjectNames.optOut: ""], in: "a")
    world.export("web", in: "a", pods: ["192.168.0.1", "192.168.0.2", "192.168.0.3"])
    world.settle()
    #expect(world.endpoints(of: "web", in: "b") == 2)
    #expect(world.endpoints(of: "web", in: "a") == 2)
    world.put(.pods, "shop", "web-0", labels: [ObjectNames.optOut: "true"], in: "a")
    world.settle()
    #expect(world.endpoints(of: "web", in: "b") == 1)
    world.put(.pods, "shop", "web-0", labels: [ObjectNames.optOut: "false"], in: "a")
    world.remove(.pods, "web-1", in: "a")
    world.settle()
    #expect(world.endpoints(of: "web", in: "b") == 3)
  }

  @Test func affinityDecidesWhatKubeProxySees() throws {
    var world = try MCSWorld()
    world.export("web", in: "a", annotations: [ObjectNames.affinity: "remote"])
    world.export("web", in: "b", annotations: [ObjectNames.affinity: "remote"])
    world.settle()
    #expect(world.serving("web", in: "a") == ["b"] && world.serving("web", in: "b") == ["a"])
    #expect(world.slices(of: "web", in: "a").count == 2)
    func used() -> Set<String> {
      let slices = world.slices(of: "web", in: "a")
      return Set(slices.filter { $0.labels[ObjectNames.serviceName] != nil }.map(\.name))
    }
    let before = used()
    world.drained = ["b"]
    world.settle()
    #expect(world.serving("web", in: "a") == ["a"])
    // kube-proxy passes over an object that loses the label, and keeps what it said: such ones go.
    let left = Set(world.slices(of: "web", in: "a").map(\.name)).subtracting(used())
    #expect(!before.isEmpty && before.isDisjoint(with: left))
  }

  @Test func driftIsRevertedAndStrangersStay() throws {
    var world = try MCSWorld()
    world.export("web", in: "a")
    world.put(.serviceImports, "shop", "theirs", in: "b")
    world.settle()
    var imported = try #require(world[.serviceImports, "web", in: "b"])
    imported.json["spec"]?["type"] = "Headless"
    world.put(imported, .serviceImports, in: "b")
    world.settle()
    #expect(world.actions["b"]?.map(\.kind) == [.revert])
    #expect(world[.serviceImports, "web", in: "b"]?.spec["type"] == "ClusterSetIP")
    #expect(world[.serviceImports, "theirs", in: "b"] != nil)
  }

  @Test func aChangeOfOneOfManyEndpointsCostsOneSlice() throws {
    var world = try MCSWorld()
    func pods(_ changed: Int?) -> [(address: String, host: String, ready: Bool)] {
      (0..<600).map { index in
        let address = index == changed ? "192.168.200.1" : "192.168.\(index / 250).\(index % 250)"
        return (address, "", true)
      }
    }
    world.export("big", in: "a")
    world.endpoints("big", in: "a", pods(nil))
    world.settle()
    #expect(world.slices(of: "big", in: "b").count == 6)
    world.endpoints("big", in: "a", pods(345))
    world.settle()
    #expect(world.slices(of: "big", in: "b").count == 6)
    let requests = world.actions["b"] ?? []
    #expect(requests.count == 1)
    #expect(requests.reduce(0) { $0 + ($1.request.body?.count ?? 0) } < 16_384)
  }

  @Test func truncatedStoresDeleteNothing() throws {
    var world = try MCSWorld()
    world.export("web", in: "a")
    world.settle()
    var store = ObjectStore(limits: .init(objects: 0, bytes: 0))
    if let export = world[.serviceExports, "web", in: "a"] { _ = store.put(export, bytes: 1) }
    #expect(store.isTruncated)
    #expect(world.objects["a"]?.isComplete(.serviceExports) == true)
    world.objects["a"]?[.serviceExports] = store
    #expect(world.objects["a"]?.isComplete(.serviceExports) == false)
  }

  @Test func aTerminatingNamespaceIsLeftAlone() throws {
    var world = try MCSWorld()
    world.export("web", in: "a")
    var namespace = KubernetesObject(.namespaces, ObjectKey(name: "shop"))
    namespace.json["metadata"]?["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.put(namespace, .namespaces, in: "b")
    world.settle()
    #expect(world.actions["b"] == [])
  }

  @Test func hostileObjectsAreNoTrap() throws {
    var rng = SeededGenerator(seed: 4)
    for _ in 0..<200 {
      var world = try MCSWorld(["a"])
      for (type, name) in [
        (ResourceType.services, "web"), (.endpointSlices, "web-x"), (.serviceExports, "web"),
        (.serviceImports, "web"),
      ] {
        world.put(
          type, "shop", name, labels: [ObjectNames.serviceName: "web"],
          [
            "spec": [
              "ports": .array([
                ["port": JSONTests.random(&rng, depth: 1), "name": "x"],
                JSONTests.random(&rng, depth: 2),
              ]), "clusterIP": JSONTests.random(&rng, depth: 1),
              "exportedLabels": JSONTests.random(&rng, depth: 2),
            ],
            "endpoints": .array([
              JSONTests.random(&rng, depth: 3),
              ["addresses": JSONTests.random(&rng, depth: 2), "hostname": "h"],
            ]),
            "status": ["conditions": JSONTests.random(&rng, depth: 3)],
          ], in: "a")
      }
      let isSettled = world.settle()
      #expect(isSettled)
    }
  }
}
