internal import Base
internal import Foundation
internal import Kubernetes
public import Logging
internal import Peer

/// Keeps who this peer is in a Secret of its cluster, so that the loss of every Pod and volume costs no
/// new token: an empty data directory is filled from there before the peer starts.
///
/// The Secret is there already, so the peer needs no right but to read and change that one. Each peer
/// has an entry of its own in it, by the name of its Pod, which a StatefulSet gives again.
public struct IdentityVault: Sendable {
  private let transport: APITransport
  private let id: ObjectID
  private let entry: String
  private let logger: Logger

  static let entryLimit = 64
  static let retry: Duration = .seconds(5)
  static let interval: Duration = .seconds(60)
  static let slowest: Duration = .seconds(10)

  init?(
    _ configuration: DaemonConfiguration, _ transport: APITransport, namespace: String,
    logger: Logger
  ) {
    guard let secret = configuration.kubernetes.identitySecret else { return nil }
    self.transport = transport
    self.logger = logger
    id = ObjectID(.secrets, ObjectKey(namespace: namespace, name: secret))
    entry = Self.entry(
      ProcessInfo.processInfo.environment["HOSTNAME"] ?? ProcessInfo.processInfo.hostName)
  }

  /// What a Secret takes as the name of an entry.
  static func entry(_ host: String) -> String {
    let label = host.prefix { $0 != "." }.lowercased().utf8
      .filter { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d }
    return String(decoding: label.prefix(63), as: UTF8.self) + ".json"
  }

  // MARK: Before the peer starts

  /// Fills a data directory that has joined nothing. Waits while the API server is away: only it knows
  /// whether this peer was somebody before. What is there but damaged is an error, never passed over.
  public static func restore(
    _ configuration: DaemonConfiguration, logger: Logger
  ) async throws {
    guard configuration.platform == .kubernetes, configuration.kubernetes.identitySecret != nil
    else { return }
    let store = try ChangesetStore(
      directory: configuration.dataDir, maximumBytes: configuration.limits.storeBytes)
    defer { store.close() }
    guard try store.value(PeerIdentity.genesisKey) == nil else { return }
    let options = configuration.kubernetes
    let access = try AccessLoader.load(
      kubeconfig: options.kubeconfig ?? "", context: options.context ?? "",
      environment: ProcessInfo.processInfo.environment)
    let transport = APITransport(access)
    let vault = IdentityVault(
      configuration, transport, namespace: options.namespace ?? access.namespace, logger: logger)
    do {
      if let vault, let bundle = try await vault.stored(),
        !vault.isOther(bundle, than: configuration)
      {
        try await bundle.restore(to: store, now: WallClock.now)
        logger.notice("came back as itself", metadata: ["cluster": "\(bundle.cluster)"])
      }
    } catch {
      await transport.shutdown()
      throw error
    }
    await transport.shutdown()
  }

  /// `nil` where nothing is kept for this peer.
  private func stored() async throws -> IdentityBundle? {
    var wait: Duration = .milliseconds(500)
    while true {
      let answer = await get()
      switch answer {
      case .success(let answer) where answer.isSuccess: return try bundle(answer)
      case .success(let answer) where [403, 404].contains(answer.status):
        logger.warning("no identity is kept", metadata: ["why": "\(answer.failure)"])
        return nil
      case .success(let answer): tell("\(answer.failure)")
      case .failure(let failure): tell("\(failure)")
      }
      try await Task.sleep(for: wait)
      wait = min(wait * 2, Self.slowest)
    }
  }

  private func tell(_ why: String) {
    logger.warning("waits for the API server to say who this is", metadata: ["why": "\(why)"])
  }

  private func get() async -> Result<APIResponse, TransportFailure> {
    do throws(TransportFailure) {
      return .success(try await transport.send(.get(id), timeout: .seconds(10)))
    } catch {
      return .failure(error)
    }
  }

  private func bundle(_ answer: APIResponse) throws -> IdentityBundle? {
    guard let text = try JSON(parsing: answer.body).at("data", entry)?.string else { return nil }
    do {
      guard text.utf8.count <= IdentityBundle.limit * 2, let bytes = Base64.decode(text) else {
        throw IdentityBundle.Damaged(description: "it is no base64")
      }
      return try IdentityBundle(json: bytes)
    } catch {
      throw IdentityBundle.Damaged(
        description: "\(entry) in \(id) is damaged (\(error)): take it out to join anew")
    }
  }

  /// A peer that is told another cluster's name is meant to be another peer.
  private func isOther(
    _ bundle: IdentityBundle, than configuration: DaemonConfiguration
  ) -> Bool {
    guard let name = configuration.cluster, name != bundle.cluster else { return false }
    logger.warning(
      "the identity that is kept is of another cluster", metadata: ["cluster": "\(bundle.cluster)"])
    return true
  }

  // MARK: While the peer runs

  /// Writes who the peer is, at once and when something of it changes, until it is cancelled.
  func keep(_ engine: PeerEngine, _ store: ChangesetStore, seeds: [String]) async {
    var written: [UInt8]?
    var complaint = ""
    while !Task.isCancelled {
      let json = await current(engine, store, seeds)
      if let json, json != written {
        let problem = await put(json)
        if problem == nil { written = json }
        if let problem, problem != complaint {
          logger.warning(
            "who this peer is is not kept: without its volume it would need a new token",
            metadata: ["why": "\(problem)"])
        }
        complaint = problem ?? ""
      }
      try? await Task.sleep(for: written == nil ? Self.retry : Self.interval)
    }
  }

  private func current(
    _ engine: PeerEngine, _ store: ChangesetStore, _ seeds: [String]
  ) async -> [UInt8]? {
    let identity = engine.identity
    guard let secrets = try? IdentityBundle.Secrets(store) else { return nil }
    let bundle = try? await engine.read { IdentityBundle(identity, $0, secrets, seeds: seeds) }
    return bundle?.json
  }

  /// - Returns: why it was not written.
  private func put(_ json: [UInt8]) async -> String? {
    guard json.count <= IdentityBundle.limit else { return "it is too large" }
    let text = Base64.encode(json)
    switch await get() {
    case .failure(let failure): return "\(failure)"
    case .success(let answer):
      guard answer.isSuccess else { return "\(answer.failure)" }
      guard let object = try? JSON(parsing: answer.body) else { return "the answer is no object" }
      let data = object["data"]?.members ?? []
      if object.at("data", entry)?.string == text { return nil }
      guard object.at("data", entry) != nil || data.count < Self.entryLimit else {
        return "\(id) has \(data.count) entries: take out those of peers that are no more"
      }
    }
    do throws(TransportFailure) {
      let patch: JSON = ["data": .object([entry: .string(text)])]
      let answer = try await transport.send(.mergePatch(id, patch))
      return answer.isSuccess ? nil : "\(answer.failure)"
    } catch {
      return "\(error)"
    }
  }

  // MARK: Other peers of the cluster

  /// The CAs of all peers of this cluster: each makes one, and that of one of them is published. Entries
  /// that are damaged are left out.
  func authorities(of cluster: String) async -> [ClusterCA] {
    guard case .success(let answer) = await get(), answer.isSuccess,
      let entries = (try? JSON(parsing: answer.body))?["data"]?.members
    else { return [] }
    return entries.prefix(Self.entryLimit).compactMap { entry in
      guard let text = entry.value.string, text.utf8.count <= IdentityBundle.limit * 2,
        let bytes = Base64.decode(text), let bundle = try? IdentityBundle(json: bytes),
        bundle.cluster == cluster
      else { return nil }
      let pem = String(decoding: bundle.authority, as: UTF8.self)
      return try? ClusterCA(pem: pem, path: "\(id), \(entry.name)")
    }
  }
}
