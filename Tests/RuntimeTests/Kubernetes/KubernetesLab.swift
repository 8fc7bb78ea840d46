import Base
import Foundation
import Kubernetes
import Logging
import NIOCore
import NIOPosix
import Peer
import Replication
import ServiceLifecycle
import Slices
import Synchronization
import Testing
import Wire

@testable import Runtime

/// Peers of several clusters in this process, each with an API server: a strict fake on loopback, or a
/// real one where `STARLING_TEST_KUBECONFIGS` names them (paths separated by commas; the MCS types have
/// to be installed there).
final class KubernetesLab: Sendable {
  struct Cluster: Sendable {
    var name: String
    var api: APITransport
    var host: PeerHost
    var fake: FakeAPIServer?
    var directory: TemporaryDirectory
    /// Where its peer answers names.
    var dns: String
  }

  let clusters: [Cluster]
  /// New for each test, so that real servers can be used again and again.
  let namespace: String
  private let root = SigningKey()
  private let genesis: Genesis
  private let services: ServiceGroup
  private let task: Task<Void, any Error>

  static var kubeconfigs: [String] {
    (ProcessInfo.processInfo.environment["STARLING_TEST_KUBECONFIGS"] ?? "")
      .split(separator: ",").map { String($0) }
  }

  private static var now: UInt64 { UInt64(Date().timeIntervalSince1970 * 1000) }

  /// - Parameters:
  ///   - types: that the fakes serve.
  ///   - flags: of all peers, besides those of the lab.
  init(
    _ count: Int = 2, kubeconfigs: [String] = [],
    types: [ResourceType] = FakeAPIServer.allTypes, flags: [String: String] = [:]
  ) async throws {
    let namespace = "lab-\(String(UInt64.random(in: 0...(1 << 40)), radix: 36))"
    self.namespace = namespace
    genesis = try ClusterSetMaker.make(
      name: "lab", keys: [root.publicKey], threshold: 1, nowMilliseconds: Self.now)
    var clusters: [Cluster] = []
    for index in 0..<count {
      let directory = TemporaryDirectory()
      var fake: FakeAPIServer?
      let kubeconfig: String
      if index < kubeconfigs.count {
        kubeconfig = kubeconfigs[index]
      } else {
        let server = try FakeAPIServer(
          types: types, serviceBase: 0x0a60_0000 + UInt32(index) << 16)
        try await server.start()
        kubeconfig = directory.file("kubeconfig")
        try server.kubeconfig.write(toFile: kubeconfig, atomically: true, encoding: .utf8)
        fake = server
      }
      let access = try AccessLoader.load(kubeconfig: kubeconfig, context: "", environment: [:])
      let api = APITransport(access)
      for name in [namespace] + (fake == nil ? [] : ["default", "kube-system"]) {
        let made = try await api.send(
          .create(KubernetesObject(.namespaces, ObjectKey(name: name)), .namespaces))
        guard made.isSuccess else { throw made.failure }
      }
      if fake == nil { try await Self.makeServiceAccount(in: namespace, api) }
      let port = try await Self.freePort()
      let dns = "127.0.0.1:\(try await Self.freePort())"
      let configuration = try DaemonConfiguration(
        ConfigurationLoader(
          flags: [
            "dataDir": directory.path, "listen": "127.0.0.1:\(port)",
            "api.listen": "", "metrics.listen": "", "gateway.listen": "",
            "api.unixSocket": directory.file("api.sock"), "platform": "kubernetes",
            "kubernetes.kubeconfig": kubeconfig, "kubernetes.consent": "all",
            "kubernetes.namespace": namespace, "kubernetes.dns.listen": dns,
          ].merging(flags) { $1 }))
      let host = try PeerHost(
        configuration: configuration, group: MultiThreadedEventLoopGroup.singleton,
        registry: MetricsRegistry(), logger: Logger(label: "lab") { _ in SwiftLogNoOpLogHandler() })
      clusters.append(
        Cluster(
          name: "c\(index)", api: api, host: host, fake: fake, directory: directory,
          dns: dns))
    }
    self.clusters = clusters
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: clusters.map { .init(service: $0.host) },
        logger: Logger(label: "lab") { _ in SwiftLogNoOpLogHandler() }))
    services = group
    task = Task { try await group.run() }
    try await join()
  }

  private static let nextPort = Atomic<Int>(Int(getpid()) % 12_000)

  /// Free for TCP and UDP, and below what the kernel gives to outgoing connections: a port of that
  /// range may be somebody's by the time that it is used.
  static func freePort() async throws -> Int {
    let group = MultiThreadedEventLoopGroup.singleton
    for _ in 0..<1_000 {
      let port = 20_000 + nextPort.wrappingAdd(1, ordering: .relaxed).newValue % 12_000
      guard
        let stream = try? await ServerBootstrap(group: group)
          .bind(host: "127.0.0.1", port: port).get()
      else { continue }
      let datagrams = try? await DatagramBootstrap(group: group)
        .bind(host: "127.0.0.1", port: port).get()
      try await stream.close()
      guard let datagrams else { continue }
      try await datagrams.close()
      return port
    }
    throw CancellationError()
  }

  /// Of gateways, as `deploy/kubernetes` has it: without it a real server makes none of their Pods.
  private static func makeServiceAccount(
    in namespace: String, _ api: APITransport
  ) async throws {
    let account: JSON = [
      "apiVersion": "v1", "kind": "ServiceAccount",
      "metadata": ["name": .string(GatewayWorkloads.serviceAccount)],
    ]
    let made = try await api.send(
      APIRequest(.post, path: "/api/v1/namespaces/\(namespace)/serviceaccounts", body: account))
    guard made.isSuccess else { throw made.failure }
  }

  enum Servers: String, CaseIterable, Sendable { case fake, real }

  /// One for the time of `body`; says so where there are no real servers that were asked for.
  static func with(
    _ servers: Servers = .fake, _ count: Int = 2,
    types: [ResourceType] = FakeAPIServer.allTypes, flags: [String: String] = [:],
    _ body: (KubernetesLab) async throws -> Void
  ) async throws {
    let kubeconfigs = servers == .real ? Self.kubeconfigs : []
    guard servers == .fake || kubeconfigs.count >= count else {
      return print(
        "NOT RUN against real API servers: STARLING_TEST_KUBECONFIGS names "
          + "\(kubeconfigs.count), needed are \(count)")
    }
    try await RealServers.inTurn(kubeconfigs) {
      let lab = try await KubernetesLab(
        count, kubeconfigs: kubeconfigs, types: types, flags: flags)
      do {
        try await body(lab)
      } catch {
        await lab.stop()
        throw error
      }
      await lab.stop()
    }
  }

  /// One token a cluster; all join through the first.
  private func join() async throws {
    for (index, cluster) in clusters.enumerated() {
      let token = try await token(for: index)
      let isReady = await eventually { cluster.host.currentPhase.0 == .unjoined }
      guard isReady else { throw CancellationError() }
      _ = try await cluster.host.join(token: token)
    }
    var members = clusters.map { SliceMember(cluster: $0.name, namespaces: [namespace]) }
    members.sort { $0.cluster < $1.cluster }
    let manifest = SliceManifest(
      name: "blue",
      network: SliceNetwork(
        cidr: IPPrefix("10.11.0.0/16"), maxClusters: 16, topology: .fullMesh, overlay: .service),
      members: members)
    let plan = try await engine(0).read {
      try SlicePlan(applying: manifest, to: StateRegisters(state: $0.state))
    }
    try await write(plan.writes)
  }

  /// The first cluster's is pushed nowhere: there is nobody yet.
  func token(for index: Int) async throws -> String {
    let seed = clusters[0].host.configuration.listen.description
    let made = try MadeToken(
      TokenRequest(cluster: clusters[index].name, seeds: index == 0 ? [] : [seed]),
      genesis: genesis, choice: try GrantChoice(genesis: genesis, key: root.publicKey),
      chain: [], signer: root.signer, snapshot: try await snapshot(), nowMilliseconds: Self.now)
    if index > 0 { try await push([made.changeset]) }
    return made.token.text
  }

  /// What an admin signs.
  func write(_ writes: [RegisterWrite]) async throws {
    let before = try await snapshot()
    var builder = try ChangesetBuilder(
      clusterSet: genesis.id, under: genesis.id, signer: root.signer, snapshot: before,
      nowMilliseconds: Self.now)
    try await push(try builder.changesets(writes: writes, after: before))
  }

  private func engine(_ index: Int) throws -> PeerEngine {
    guard let engine = clusters[index].host.engine else { throw CancellationError() }
    return engine
  }

  private func snapshot() async throws -> RegisterSnapshot {
    guard clusters[0].host.engine != nil else { return RegisterSnapshot() }
    return RegisterSnapshot(try await clusters[0].host.registers(scope: nil, prefix: ""))
  }

  private func push(_ changesets: [Changeset]) async throws {
    _ = try await clusters[0].host.push(ChangesetCodec.encodeBatch(changesets))
  }

  /// Ends the peers; their API servers stay.
  func leave() async {
    await services.triggerGracefulShutdown()
    _ = try? await task.value
  }

  func stop() async {
    await leave()
    for cluster in clusters {
      if cluster.fake == nil { await Self.clear(cluster.api, namespaces: [namespace, stranger]) }
      await cluster.api.shutdown()
      await cluster.fake?.stop()
    }
  }

  /// What gateways said last would stand for the next lab.
  private static func clear(_ api: APITransport, namespaces: [String]) async {
    var ids = namespaces.map { ObjectID(.namespaces, ObjectKey(name: $0)) }
    for type in [ResourceType.sliceGateways, .nodeNetworks] {
      let answer = try? await api.send(.list(type, namespace: ""))
      let items = answer.flatMap { try? JSON(parsing: $0.body) }?["items"]?.array ?? []
      ids += items.compactMap { KubernetesObject($0) }.map { ObjectID(type, $0.key) }
    }
    for id in ids { _ = try? await api.send(.delete(id, uid: "")) }
  }

  /// A namespace that takes no part in the slice.
  var stranger: String { "\(namespace)-other" }

  // MARK: What a user does

  func apply(
    _ type: ResourceType, _ name: String, labels: [String: String] = [:],
    _ members: [String: JSON?] = [:], in index: Int
  ) async throws {
    var object = KubernetesObject(type, ObjectKey(namespace: namespace, name: name), members)
    if !labels.isEmpty { object.json["metadata"]?["labels"] = .texts(labels) }
    var request = APIRequest.apply(object, type)
    request.target = request.target.replacing("fieldManager=starling", with: "fieldManager=user")
    let answer = try await clusters[index].api.send(request)
    guard answer.isSuccess else { throw answer.failure }
  }

  func delete(_ type: ResourceType, _ name: String, in index: Int) async throws {
    let id = ObjectID(type, ObjectKey(namespace: namespace, name: name))
    _ = try await clusters[index].api.send(.delete(id, uid: ""))
  }

  /// A Service with endpoints of its own making: there are no nodes.
  func service(
    _ name: String, ports: JSON = [["name": "http", "port": 80, "protocol": "TCP"]],
    pods: [String] = ["192.168.0.1"], spec: [String: JSON?] = [:], in index: Int
  ) async throws {
    var members: [String: JSON?] = ["ports": ports]
    members.merge(spec) { $1 }
    try await apply(.services, name, ["spec": .object(members)], in: index)
    try await endpoints(name, pods, in: index)
  }

  func endpoints(_ name: String, _ pods: [String], in index: Int) async throws {
    try await apply(
      .endpointSlices, "\(name)-x", labels: [ObjectNames.serviceName: name],
      [
        "addressType": "IPv4",
        "ports": [["name": "http", "port": 8080, "protocol": "TCP"]],
        "endpoints": .array(
          pods.map { ["addresses": [.string($0)], "conditions": ["ready": true]] }),
      ], in: index)
  }

  func export(_ name: String, in index: Int) async throws {
    try await apply(.serviceExports, name, in: index)
  }

  func get(_ type: ResourceType, _ name: String, in index: Int) async throws -> KubernetesObject? {
    let id = ObjectID(type, ObjectKey(namespace: namespace, name: name))
    let answer = try await clusters[index].api.send(.get(id))
    guard answer.isSuccess else { return nil }
    return KubernetesObject(try JSON(parsing: answer.body))
  }

  func slices(of name: String, in index: Int) async throws -> [KubernetesObject] {
    let answer = try await clusters[index].api.send(
      .list(
        .endpointSlices, namespace: namespace,
        labelSelector: "\(MCS.serviceNameLabel)=\(name)"))
    let items = try JSON(parsing: answer.body)["items"]?.array ?? []
    return items.compactMap { KubernetesObject($0) }
  }

  /// What a condition says once it says what is awaited, or when the time is over.
  func settled(
    _ type: String, of name: String, in index: Int, on awaited: String
  ) async throws -> String {
    _ = try await eventually {
      try await self.condition(type, of: name, in: index) == awaited
    }
    return try await condition(type, of: name, in: index)
  }

  func condition(_ type: String, of name: String, in index: Int) async throws -> String {
    let export = try await get(.serviceExports, name, in: index)
    let found = export?.status["conditions"]?.array?.first { $0["type"]?.string == type }
    return "\(found?["status"]?.string ?? "-") \(found?["reason"]?.string ?? "-")"
  }
}

extension FakeAPIServer {
  var kubeconfig: String {
    """
    apiVersion: v1
    kind: Config
    current-context: fake
    clusters:
      - name: fake
        cluster:
          server: \(url)
          certificate-authority-data: \(Base64.encode(Array(identity.authorityPEM.utf8)))
    users: [{name: user, user: {token: t}}]
    contexts: [{name: fake, context: {cluster: fake, user: user}}]
    """
  }
}

/// Labs on real servers take turns: a peer takes for its own whatever is labelled as Starling's.
actor RealServers {
  private static let shared = RealServers()
  private var isTaken = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  static func inTurn(_ kubeconfigs: [String], _ body: () async throws -> Void) async throws {
    guard !kubeconfigs.isEmpty else { return try await body() }
    await shared.take()
    do {
      try await body()
    } catch {
      await shared.give()
      throw error
    }
    await shared.give()
  }

  private func take() async {
    guard isTaken else { return isTaken = true }
    await withCheckedContinuation { waiting.append($0) }
  }

  private func give() {
    if waiting.isEmpty { isTaken = false } else { waiting.removeFirst().resume() }
  }
}
