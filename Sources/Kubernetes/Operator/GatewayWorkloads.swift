/// What runs a cluster's gateways: for each a Secret with its plan, a Deployment of one Pod and a
/// Service, and one PodDisruptionBudget over all.
///
/// A Deployment each and not one StatefulSet: each gateway has a Secret, a port and a place of its own,
/// one follows the other at an upgrade only when that one is back, and a Pod on a dead node is replaced
/// without anybody having to delete it. `Recreate`: two with one key would contend for its tunnels.
public struct GatewayWorkloads: Sendable {
  public struct Configuration: Hashable, Sendable {
    /// The peers'.
    public var namespace: String
    /// Has starling-gateway and starling-node-feed; `nodeImage` has starling-node.
    public var image: String
    public var nodeImage: String
    public var port: Int
    public var metricsPort: Int
    public var metricsHost: String

    public init(
      namespace: String, image: String = "starling", nodeImage: String = "starling-node",
      port: Int = 7900, metricsPort: Int = 7490, metricsHost: String = "0.0.0.0"
    ) {
      self.namespace = namespace
      self.image = image
      self.nodeImage = nodeImage
      self.port = port
      self.metricsPort = metricsPort
      self.metricsHost = metricsHost
    }
  }

  /// How gateways are reached.
  public enum Exposure: Hashable, Sendable {
    case nodePort
    case loadBalancer
    /// A port of the node that the Pod runs on. Not the node's whole network: there the agent's devices
    /// are in the way.
    case hostPort
    /// Others do not begin.
    case hidden
  }

  /// What is wanted.
  public struct Wanted: Hashable, Sendable {
    /// By replica, what its process is told; its Secret is left alone where that is `nil`.
    public var plans: [Int: [UInt8]?]
    public var exposure: Exposure
    /// Of which there is a SliceGateway for each replica.
    public var slices: [String]

    public init(plans: [Int: [UInt8]?], exposure: Exposure = .nodePort, slices: [String] = []) {
      self.plans = plans
      self.exposure = exposure
      self.slices = slices
    }
  }

  public static let serviceAccount = "starling-gateway"
  /// In the Secret.
  public static let planKey = "plan.json"
  /// What is read of it, by whoever follows it.
  public static let secretKeeps = [
    ["metadata", "labels"], ["metadata", "annotations"], ["type"], ["data", planKey],
  ]
  /// What a Secret holds.
  public static let planLimit = 1 << 20
  public static let budgetName = "starling-gateway"
  /// Watched in the peers' namespace, besides Services, Pods and Nodes. Secrets are not: they are
  /// followed one by one.
  public static let watched: [ResourceType] = [.deployments, .podDisruptionBudgets]
  static let made: [ResourceType] = [
    .deployments, .services, .secrets, .podDisruptionBudgets,
  ]

  public static func name(_ replica: Int) -> String { "starling-gateway-\(replica)" }

  /// A slice's name has no dots.
  public static func reportName(_ slice: String, _ replica: Int) -> String { "\(slice).\(replica)" }

  static let commonLabels = [
    "app.kubernetes.io/name": "starling-gateway",
    ObjectNames.component: ObjectNames.gatewayComponent,
  ]

  static func labels(_ replica: Int) -> [String: String] {
    commonLabels.merging([
      "app.kubernetes.io/part-of": "starling", ObjectNames.gatewayReplica: "\(replica)",
    ]) { $1 }
  }

  static func selector(_ replica: Int) -> [String: String] {
    commonLabels.merging([ObjectNames.gatewayReplica: "\(replica)"]) { $1 }
  }

  public let configuration: Configuration

  public init(_ configuration: Configuration) {
    self.configuration = configuration
  }

  public func id(_ type: ResourceType, _ replica: Int) -> ObjectID {
    ObjectID(type, ObjectKey(namespace: configuration.namespace, name: Self.name(replica)))
  }

  // MARK: Requests

  /// Requests that are left. `objects` has the Secrets of all replicas that may be.
  public func actions(_ wanted: Wanted, _ objects: ClusterObjects) -> [ObjectDiffer.Action] {
    guard Self.made.allSatisfy({ objects.isServed($0) && objects.isComplete($0) }) else {
      return []
    }
    let made = Self.made.flatMap { type in
      objects.all(type).filter {
        $0.namespace == configuration.namespace
          && $0.labels[ObjectNames.component] == ObjectNames.gatewayComponent
      }.map { ObjectID(type, $0.key) }
    }
    let kept = wanted.plans.filter { $0.value == nil }.map { id(.secrets, $0.key) }
    var actions = ObjectDiffer.actions(
      desired(wanted), observed: objects, made: made.filter { !kept.contains($0) },
      mayDelete: true)
    if objects.isServed(.sliceGateways), objects.isComplete(.sliceGateways) {
      actions += ObjectDiffer.actions(
        reports(wanted), observed: objects, managed: [.sliceGateways])
    }
    return oneAfterTheOther(actions, objects)
  }

  func desired(_ wanted: Wanted) -> [DesiredObject] {
    guard !wanted.plans.isEmpty else { return [] }
    return wanted.plans.sorted { $0.key < $1.key }.flatMap { replica, plan in
      [
        plan.map { secret(replica, $0) }, deployment(replica, wanted.exposure),
        service(replica, wanted.exposure),
      ].compactMap { $0 }
    } + [budget]
  }

  private func reports(_ wanted: Wanted) -> [DesiredObject] {
    wanted.slices.flatMap { slice in
      wanted.plans.keys.sorted().map { replica in
        DesiredObject(
          .sliceGateways, ObjectKey(name: Self.reportName(slice, replica)),
          labels: [ObjectNames.slice: slice],
          ["spec": ["slice": .string(slice), "gateway": .string("\(replica)")]])
      }
    }
  }

  private func secret(_ replica: Int, _ plan: [UInt8]) -> DesiredObject {
    DesiredObject(
      .secrets, id(.secrets, replica).key, labels: Self.labels(replica),
      ["type": "Opaque", "data": [Self.planKey: .string(Base64.encode(plan))]])
  }

  private func deployment(_ replica: Int, _ exposure: Exposure) -> DesiredObject {
    let template = GatewayPodTemplate(
      configuration: configuration, replica: replica, usesHostPort: exposure == .hostPort)
    return DesiredObject(
      .deployments, id(.deployments, replica).key, labels: Self.labels(replica),
      [
        "spec": [
          "replicas": 1, "strategy": ["type": "Recreate"],
          "selector": ["matchLabels": .texts(Self.selector(replica))], "template": template.json,
        ]
      ])
  }

  /// What arrives at a node goes to the replica on that node, with its source.
  private func service(_ replica: Int, _ exposure: Exposure) -> DesiredObject? {
    guard exposure == .nodePort || exposure == .loadBalancer else { return nil }
    let port = JSON.integer(Int64(configuration.port))
    return DesiredObject(
      .services, id(.services, replica).key, labels: Self.labels(replica),
      [
        "spec": [
          "type": exposure == .nodePort ? "NodePort" : "LoadBalancer",
          "externalTrafficPolicy": "Local", "ipFamilyPolicy": "PreferDualStack",
          "selector": .texts(Self.selector(replica)),
          "ports": [["name": "tunnel", "protocol": "UDP", "port": port, "targetPort": port]],
        ]
      ])
  }

  private var budget: DesiredObject {
    DesiredObject(
      .podDisruptionBudgets,
      ObjectKey(namespace: configuration.namespace, name: Self.budgetName),
      labels: Self.commonLabels,
      ["spec": ["maxUnavailable": 1, "selector": ["matchLabels": .texts(Self.commonLabels)]]])
  }

  // MARK: Upgrades

  /// Of the Deployments that change one goes at a time, while the others are there; one that carries
  /// nothing now may change whenever it has to.
  private func oneAfterTheOther(
    _ actions: [ObjectDiffer.Action], _ objects: ClusterObjects
  ) -> [ObjectDiffer.Action] {
    var isTaken = false
    return actions.filter { action in
      guard action.id.type == .deployments, action.kind == .update || action.kind == .revert,
        let own = objects[action.id], Self.isAvailable(own)
      else { return true }
      let others = objects.all(.deployments).filter {
        $0.namespace == configuration.namespace && $0.key != own.key
          && $0.labels[ObjectNames.component] == ObjectNames.gatewayComponent
      }
      guard !isTaken, others.allSatisfy(Self.isAvailable) else { return false }
      isTaken = true
      return true
    }
  }

  /// Its Pod is ready, and is of the Deployment as it is now.
  static func isAvailable(_ deployment: KubernetesObject) -> Bool {
    (deployment.status["availableReplicas"]?.integer ?? 0) > 0
      && (deployment.status["updatedReplicas"]?.integer ?? 0) > 0
      && (deployment.status["observedGeneration"]?.integer ?? 0) >= deployment.generation
  }
}
