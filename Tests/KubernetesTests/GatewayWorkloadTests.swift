import Base
import Kubernetes
import Slices
import Testing

/// A cluster's namespace for peers, with what a server fills in.
struct GatewayWorld {
  static let namespace = "sys"
  let workloads = GatewayWorkloads(.init(namespace: namespace))
  var objects = ClusterObjects()
  private var version = 0

  init() {
    for type in [
      ResourceType.deployments, .services, .secrets, .podDisruptionBudgets, .sliceGateways, .pods,
      .nodes,
    ] {
      objects[type] = ObjectStore()
    }
  }

  func wanted(
    _ count: Int, _ plan: String = "p", exposure: GatewayWorkloads.Exposure = .nodePort,
    slices: [String] = ["blue"]
  ) -> GatewayWorkloads.Wanted {
    GatewayWorkloads.Wanted(
      plans: Dictionary(uniqueKeysWithValues: (0..<count).map { ($0, Array(plan.utf8)) }),
      exposure: exposure, slices: slices)
  }

  /// Does what the actions say, once.
  mutating func perform(_ actions: [ObjectDiffer.Action]) throws {
    for action in actions {
      if action.kind == .delete {
        objects.remove(action.id)
        continue
      }
      var json = try JSON(parsing: try #require(action.request.body))
      version += 1
      json["metadata"]?["resourceVersion"] = .string("\(version)")
      json["metadata"]?["generation"] = .integer(Int64(version))
      if let status = objects[action.id]?.json["status"] { json["status"] = status }
      objects.put(try #require(KubernetesObject(json)), action.id.type)
    }
  }

  mutating func become(available isAvailable: Bool, _ replica: Int) throws {
    let id = workloads.id(.deployments, replica)
    var object = try #require(objects[id])
    object.json["status"] = [
      "observedGeneration": .integer(object.generation),
      "availableReplicas": .integer(isAvailable ? 1 : 0), "updatedReplicas": 1,
    ]
    objects.put(object, .deployments)
  }

  mutating func pod(_ replica: Int, on node: String, name: String? = nil) throws {
    var pod = KubernetesObject(
      .pods, ObjectKey(namespace: Self.namespace, name: name ?? "gw\(replica)"),
      ["spec": ["nodeName": .string(node)], "status": ["phase": "Running"]])
    pod.json["metadata"]?["labels"] = [
      "app.kubernetes.io/component": "gateway",
      "starling.dev/gateway-replica": .string("\(replica)"),
    ]
    objects.put(pod, .pods)
  }

  mutating func node(_ name: String, _ addresses: [(String, String)]) {
    objects.put(
      KubernetesObject(
        .nodes, ObjectKey(name: name),
        [
          "status": [
            "addresses": .array(
              addresses.map { ["type": .string($0.0), "address": .string($0.1)] })
          ]
        ]), .nodes)
  }
}

@Suite struct GatewayWorkloadTests {
  @Test func everythingComesAndGoes() throws {
    var world = GatewayWorld()
    let actions = world.workloads.actions(world.wanted(2), world.objects)
    #expect(actions.map(\.kind).allSatisfy { $0 == .create })
    #expect(
      Set(actions.map(\.id.type)) == [
        .deployments, .services, .secrets, .podDisruptionBudgets, .sliceGateways,
      ])
    #expect(actions.count == 9)
    try world.perform(actions)
    #expect(world.workloads.actions(world.wanted(2), world.objects).isEmpty)
    #expect(world.objects.all(.sliceGateways).map(\.name) == ["blue.0", "blue.1"])
    // One gateway less, then none.
    let fewer = world.workloads.actions(world.wanted(1), world.objects)
    #expect(fewer.allSatisfy { $0.kind == .delete } && fewer.count == 4)
    try world.perform(fewer)
    let none = GatewayWorkloads.Wanted(plans: [:])
    try world.perform(world.workloads.actions(none, world.objects))
    for type in [
      ResourceType.deployments, .services, .secrets, .podDisruptionBudgets, .sliceGateways,
    ] {
      #expect(world.objects.all(type).isEmpty)
    }
  }

  @Test func whatIsNotOursStays() throws {
    var world = GatewayWorld()
    var other = KubernetesObject(
      .deployments, ObjectKey(namespace: GatewayWorld.namespace, name: "mine"))
    other.json["metadata"]?["labels"] = ["app.kubernetes.io/component": "gateway"]
    world.objects.put(other, .deployments)
    #expect(world.workloads.actions(.init(plans: [:]), world.objects).isEmpty)
    // Without the right to read Secrets nothing is made.
    world.objects.setServed(.secrets, false)
    #expect(world.workloads.actions(world.wanted(1), world.objects).isEmpty)
  }

  @Test func aPlanThatIsNotKnownLeavesItsSecretAlone() throws {
    var world = GatewayWorld()
    try world.perform(world.workloads.actions(world.wanted(1), world.objects))
    let unknown = GatewayWorkloads.Wanted(plans: [0: nil], slices: ["blue"])
    #expect(world.workloads.actions(unknown, world.objects).isEmpty)
  }

  @Test func onlyTheFeedHasAToken() throws {
    var world = GatewayWorld()
    try world.perform(world.workloads.actions(world.wanted(1), world.objects))
    let spec = try #require(
      world.objects[world.workloads.id(.deployments, 0)]?.spec.at("template", "spec"))
    #expect(spec["automountServiceAccountToken"] == false)
    #expect(spec["hostNetwork"] == nil)
    let holders = (spec["containers"]?.array ?? []).filter { container in
      (container["volumeMounts"]?.array ?? []).contains { $0["name"] == "token" }
    }
    #expect(holders.map { $0["name"]?.string } == ["feed"])
    let gateway = try #require(spec["containers"]?.array?.first)
    #expect(
      gateway.at("securityContext", "capabilities")
        == ["drop": ["ALL"], "add": ["NET_ADMIN"]])
    #expect(gateway.at("readinessProbe", "httpGet", "path") == "/healthz")
  }

  @Test func gatewaysFollowOneAnotherAtAnUpgrade() throws {
    var world = GatewayWorld()
    let old = GatewayWorkloads(.init(namespace: GatewayWorld.namespace, image: "old"))
    try world.perform(old.actions(world.wanted(3), world.objects))
    for replica in 0..<3 { try world.become(available: true, replica) }
    func next() -> [String] {
      world.workloads.actions(world.wanted(3), world.objects).map(\.id.key.name)
    }
    for replica in 0..<3 {
      #expect(next() == ["starling-gateway-\(replica)"])
      try world.perform(world.workloads.actions(world.wanted(3), world.objects))
      // The server has not looked at it yet: its status is of the one before.
      #expect(next() == [])
      try world.become(available: false, replica)
      #expect(next() == [])
      try world.become(available: true, replica)
    }
    #expect(next() == [])
    // What carries nothing may change beside one that changes.
    try world.perform(old.actions(world.wanted(3), world.objects).filter { $0.kind == .update })
    for replica in 0..<3 { try world.become(available: false, replica) }
    #expect(next().count >= 1)
  }

  @Test func theirServicesAreNobodysImports() throws {
    var world = GatewayWorld()
    try world.perform(world.workloads.actions(world.wanted(1), world.objects))
    let index = ServiceIndex(world.objects)
    #expect(index.services.isEmpty)
  }
}

@Suite struct GatewayPlaceTests {
  private func endpoints(
    _ world: GatewayWorld, _ exposure: GatewayWorkloads.Exposure = .nodePort,
    advertised: [IPEndpoint] = [], resolved: [String: [IPAddress]] = [:], seen: [IPAddress] = []
  ) -> [String]? {
    var places = GatewayPlaces(world.workloads)
    places.update(world.objects, changed: nil)
    return places.endpoints(
      0, exposure, in: world.objects, advertised: advertised, resolved: resolved, seen: seen
    )?.map(\.description)
  }

  private func world(_ exposure: GatewayWorkloads.Exposure = .nodePort) throws -> GatewayWorld {
    var world = GatewayWorld()
    try world.perform(
      world.workloads.actions(world.wanted(1, exposure: exposure), world.objects))
    if var service = world.objects[world.workloads.id(.services, 0)],
      var port = service.spec["ports"]?.array?.first
    {
      port["nodePort"] = 30_123
      service.json["spec"]?["ports"] = [port]
      world.objects.put(service, .services)
    }
    return world
  }

  @Test func theBestThatIsKnownIsTold() throws {
    var world = try world()
    #expect(endpoints(world) == nil)
    try world.pod(0, on: "node0")
    #expect(endpoints(world) == nil)
    world.node("node0", [("InternalIP", "10.0.0.1"), ("Hostname", "node0")])
    #expect(endpoints(world) == ["10.0.0.1:30123"])
    #expect(
      endpoints(world, seen: [IPAddress("203.0.113.9")!]) == [
        "203.0.113.9:30123", "10.0.0.1:30123",
      ])
    world.node("node0", [("InternalIP", "10.0.0.1"), ("ExternalIP", "203.0.113.7")])
    #expect(endpoints(world) == ["203.0.113.7:30123"])
    #expect(
      endpoints(world, advertised: [IPEndpoint("198.51.100.1:7900")!]) == ["198.51.100.1:7900"])
    var deployment = try #require(world.objects[world.workloads.id(.deployments, 0)])
    deployment.json["metadata"]?["annotations"] = [
      "starling.dev/advertise": "198.51.100.2:1, [2001:db8::1]:2"
    ]
    world.objects.put(deployment, .deployments)
    #expect(
      endpoints(world, advertised: [IPEndpoint("198.51.100.1:7900")!])
        == ["198.51.100.2:1", "[2001:db8::1]:2"])
    #expect(endpoints(world, .hidden) == [])
  }

  @Test func loadBalancersGoFirst() throws {
    var world = try world(.loadBalancer)
    try world.pod(0, on: "node0")
    world.node("node0", [("ExternalIP", "203.0.113.7")])
    // Until it has an address the nodes' ports lead there.
    #expect(endpoints(world, .loadBalancer) == ["203.0.113.7:30123"])
    var service = try #require(world.objects[world.workloads.id(.services, 0)])
    service.json["status"] = ["loadBalancer": ["ingress": [["hostname": "lb.example.org"]]]]
    world.objects.put(service, .services)
    #expect(
      endpoints(world, .loadBalancer, resolved: ["lb.example.org": [IPAddress("192.0.2.9")!]])
        == ["192.0.2.9:7900"])
    service.json["status"] = ["loadBalancer": ["ingress": [["ip": "192.0.2.10"]]]]
    world.objects.put(service, .services)
    #expect(endpoints(world, .loadBalancer) == ["192.0.2.10:7900"])
  }

  @Test func aPortOfTheNodeNeedsNoService() throws {
    var world = try world(.hostPort)
    #expect(world.objects.all(.services).isEmpty)
    try world.pod(0, on: "node0")
    world.node("node0", [("InternalIP", "10.0.0.1")])
    #expect(endpoints(world, .hostPort) == ["10.0.0.1:7900"])
  }
}
