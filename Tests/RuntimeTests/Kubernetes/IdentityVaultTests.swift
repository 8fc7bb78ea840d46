import Base
import Foundation
import Kubernetes
import Logging
import NIOPosix
import Peer
import Replication
import Slices
import Synchronization
import Testing

@testable import Runtime

/// The loss of every Pod and volume costs no new token.
@Suite(.serialized) struct IdentityVaultTests {
  private static let logger = Logger(label: "vault") { _ in SwiftLogNoOpLogHandler() }

  private func configuration(
    _ directory: TemporaryDirectory, _ lab: KubernetesLab, cluster: String? = nil
  ) throws -> DaemonConfiguration {
    var flags = [
      "dataDir": directory.path, "listen": "127.0.0.1:1", "api.listen": "",
      "platform": "kubernetes",
      "kubernetes.kubeconfig": lab.clusters[0].directory.file("kubeconfig"),
      "kubernetes.namespace": lab.namespace,
    ]
    flags["cluster"] = cluster
    return try DaemonConfiguration(ConfigurationLoader(flags: flags))
  }

  private func secret(_ lab: KubernetesLab) async throws -> [JSON.Member] {
    try await lab.get(.secrets, "starling-identity", in: 0)?.json["data"]?.members ?? []
  }

  private func with(_ body: (KubernetesLab) async throws -> Void) async throws {
    let lab = try await KubernetesLab(1)
    do {
      _ = try PeerIdentity.gatewayKey(0, in: lab.clusters[0].host.store)
      // Whoever installs makes it: the peer may not.
      let key = ObjectKey(namespace: lab.namespace, name: "starling-identity")
      _ = try await lab.clusters[0].api.send(
        .create(KubernetesObject(.secrets, key, ["type": "Opaque"]), .secrets))
      #expect(
        try await eventually(within: .seconds(150)) {
          let text = try await self.secret(lab).first?.value.string
          let bundle = try text.flatMap { Base64.decode($0) }.map { try IdentityBundle(json: $0) }
          return bundle?.gatewayKeys.count == 1
        })
      try await body(lab)
    } catch {
      await lab.stop()
      throw error
    }
    await lab.stop()
  }

  @Test func peersOfAClusterFindTheCAThatIsPublished() async throws {
    try await with { lab in
      let directory = TemporaryDirectory()
      let vault = try #require(
        IdentityVault(
          try configuration(directory, lab), lab.clusters[0].api, namespace: lab.namespace,
          logger: Self.logger))
      let identity = try #require(lab.clusters[0].host.engine).identity
      let found = await vault.authorities(of: identity.cluster)
      #expect(found.map(\.certificate) == [identity.authority.certificate])
      #expect(await vault.authorities(of: "another").isEmpty)
    }
  }

  @Test func anEmptyDirectoryIsFilled() async throws {
    try await with { lab in
      let key = try PeerIdentity.gatewayKey(0, in: lab.clusters[0].host.store)
      let old = try #require(lab.clusters[0].host.engine)
      let directory = TemporaryDirectory()
      let configuration = try configuration(directory, lab)
      try await IdentityVault.restore(configuration, logger: Self.logger)
      let store = try ChangesetStore(directory: directory.path, maximumBytes: 1 << 26)
      let new = try #require(try PeerIdentity.load(from: store, now: WallClock.now))
      #expect(new.key.publicKey == old.identity.key.publicKey)
      #expect(new.authority.certificate == old.identity.authority.certificate)
      #expect(new.cluster == old.identity.cluster)
      #expect(try PeerIdentity.gatewayKey(0, in: store) == key)
      // It is admitted by what it holds, and knows that it has to learn what it wrote before.
      let loaded = try StateLoading.load(
        from: store, genesis: new.genesis, cluster: new.cluster, now: WallClock.now)
      #expect(loaded.state.admittedPeers[new.key.publicKey] == "c0")
      #expect(try store.restoredMilliseconds() != nil)
      // A directory that is somebody's already stays so.
      try store.setValue(Array("kept".utf8), for: "seeds")
      store.close()
      try await IdentityVault.restore(configuration, logger: Self.logger)
      let again = try ChangesetStore(directory: directory.path, maximumBytes: 1 << 26)
      #expect(try again.value("seeds") == Array("kept".utf8))
      again.close()
    }
  }

  @Test func whatIsDamagedOrAnothersIsNotTaken() async throws {
    try await with { lab in
      let entry = try #require(try await secret(lab).first)
      let other = TemporaryDirectory()
      try await IdentityVault.restore(
        try configuration(other, lab, cluster: "c9"), logger: Self.logger)
      #expect(!FileManager.default.fileExists(atPath: other.file("peer.key")))
      // The peer that runs would put it right again within a minute: it is looked at once.
      let id = ObjectID(
        .secrets, ObjectKey(namespace: lab.namespace, name: "starling-identity"))
      let text = try #require(entry.value.string)
      for damaged in ["!", Base64.encode(Array("{}".utf8)), String(text.dropLast(400))] {
        _ = try await lab.clusters[0].api.send(
          .mergePatch(id, ["data": .object([entry.name: .string(damaged)])]))
        let directory = TemporaryDirectory()
        let configuration = try configuration(directory, lab)
        await #expect(throws: IdentityBundle.Damaged.self) {
          try await IdentityVault.restore(configuration, logger: Self.logger)
        }
        #expect(!FileManager.default.fileExists(atPath: directory.file("peer.key")))
      }
      // Nothing is kept: it joins as it would have.
      _ = try await lab.clusters[0].api.send(.delete(id, uid: ""))
      let directory = TemporaryDirectory()
      try await IdentityVault.restore(try configuration(directory, lab), logger: Self.logger)
      #expect(!FileManager.default.fileExists(atPath: directory.file("peer.key")))
    }
  }

  /// Its volume is gone, or it joins anew by a token, and nobody is there to learn from: what the
  /// cluster has stays as it is, and names are answered.
  @Test(arguments: [false, true])
  func whoKnowsNothingButItselfChangesNothing(joinsAnew: Bool) async throws {
    let lab = try await KubernetesLab(2)
    do {
      try await changesNothing(lab, joinsAnew: joinsAnew)
    } catch {
      await lab.stop()
      throw error
    }
    await lab.stop()
  }

  private func changesNothing(_ lab: KubernetesLab, joinsAnew: Bool) async throws {
    let key = ObjectKey(namespace: lab.namespace, name: "starling-identity")
    _ = try await lab.clusters[1].api.send(
      .create(KubernetesObject(.secrets, key, ["type": "Opaque"]), .secrets))
    try await lab.service("web", in: 1)
    try await lab.export("web", in: 1)
    #expect(
      try await eventually {
        let imported = try await lab.get(.serviceImports, "web", in: 1)
        let web = ImportPlanner.derivedName(ServiceName(namespace: lab.namespace, name: "web"))
        let derived = try await lab.get(.services, web, in: 1)
        return imported?.spec["ips"]?.array?.count == 1 && imported?.status["conditions"] != nil
          && derived?.metadata["ownerReferences"] != nil
      })
    let isKept = try await eventually {
      let secret = try await lab.get(.secrets, "starling-identity", in: 1)
      guard let text = secret?.json["data"]?.members?.first?.value.string,
        let bytes = Base64.decode(text)
      else { return false }
      return try !IdentityBundle(json: bytes).seeds.isEmpty
    }
    #expect(isKept)
    let token = joinsAnew ? try await lab.token(for: 1) : nil
    await lab.leave()
    let before = try await objects(lab)
    #expect(before.count == 3)

    let directory = TemporaryDirectory()
    let dns = try #require(IPEndpoint(lab.clusters[1].dns))
    let configuration = try DaemonConfiguration(
      ConfigurationLoader(
        flags: (token.map { ["joinToken": $0] } ?? [:]).merging([
          "dataDir": directory.path, "listen": "127.0.0.1:\(try await KubernetesLab.freePort())",
          "api.listen": "", "metrics.listen": "", "gateway.listen": "",
          "api.unixSocket": directory.file("api.sock"), "platform": "kubernetes",
          "kubernetes.kubeconfig": lab.clusters[1].directory.file("kubeconfig"),
          "kubernetes.namespace": lab.namespace, "kubernetes.consent": "all",
          "kubernetes.dns.listen": dns.description,
        ]) { $1 }))
    if !joinsAnew { try await IdentityVault.restore(configuration, logger: Self.logger) }
    let host = try PeerHost(
      configuration: configuration, group: MultiThreadedEventLoopGroup.singleton,
      registry: MetricsRegistry(), logger: Self.logger)
    let task = Task { try await host.run() }
    defer { task.cancel() }
    let isAnswered = await eventually {
      let name = "web.\(lab.namespace).svc.clusterset.local"
      return (try? GatewayWires.resolve(name, at: dns.description).count) == 1
    }
    #expect(isAnswered)
    // It acts for its cluster, and has nothing to do.
    let platform = try #require(host.current?.platform as? KubernetesPlatform)
    #expect(await eventually { await platform.state.withLock { $0.lease }?.mayWrite == true })
    #expect(try await host.engine?.read { $0.isBare } == true)
    #expect(try await objects(lab) == before)
  }

  /// What was made for the import, by name, with what tells one object from another of that name.
  private func objects(_ lab: KubernetesLab) async throws -> [String: String] {
    var out: [String: String] = [:]
    for type in [ResourceType.serviceImports, .services, .endpointSlices] {
      let answer = try await lab.clusters[1].api.send(
        .list(type, namespace: lab.namespace, labelSelector: "\(ObjectNames.managedBy)=starling"))
      for item in try JSON(parsing: answer.body)["items"]?.array ?? [] {
        guard let object = KubernetesObject(item) else { continue }
        out["\(type.kind) \(object.name)"] = "\(object.uid) \(object.resourceVersion)"
      }
    }
    return out
  }

  @Test func namesOfEntries() {
    #expect(IdentityVault.entry("starling-0.starling.sys.svc") == "starling-0.json")
    #expect(IdentityVault.entry("Host_1/..") == "host1.json")
  }
}
