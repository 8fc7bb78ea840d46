import Base
import Replication
import Synchronization

@testable import Runtime

/// Stands in for the peer core behind the API: answers are fixed, calls are recorded. Everything in
/// front of it (sockets, TLS, HTTP, signatures) is real.
final class FakePeer: PeerService {
  let reader = SigningKey()
  let id = Sodium.sha256([1])
  let pushed = Mutex<[[UInt8]]>([])
  let queries = Mutex<[APILogQuery]>([])
  let ready = Mutex(true)
  let failure = Mutex<(any Error)?>(nil)

  struct Bug: Error {}

  private func mayFail() throws {
    if let error = failure.withLock({ $0 }) { throw error }
  }

  func status() async throws -> APIStatus {
    try mayFail()
    return APIStatus(
      phase: .joined, detail: "", version: "1", clusterSet: .init(id: id, name: "world"),
      cluster: "eu-1", node: id, key: reader.publicKey, addresses: [], startedAt: .now,
      uptimeMilliseconds: 5)
  }

  func readiness() async -> APIReadiness {
    let ok = ready.withLock { $0 }
    return APIReadiness(
      joined: .init(ok: true), storage: .init(ok: ok, detail: ok ? "" : "disk full"),
      synced: .init(ok: true))
  }

  func members() async throws -> [APIMember] {
    [APIMember(cluster: "eu-1", node: id, key: reader.publicKey, isSelf: true, state: .alive)]
  }

  func slices() async throws -> [APISlice] {
    [APISlice(name: "blue", state: .active, spec: ["dns": ["ttl": "2s"]])]
  }

  func slice(named name: String) async throws -> APISlice {
    guard name == "blue" else { throw APIProblem.notFound("There is no slice \(name).") }
    return try await slices()[0]
  }

  func registers(scope: Scope?, prefix: String) async throws -> APIRegisters {
    let value = APIRegisterValue(
      value: ["prefix": .string(prefix), "scope": scope.map { .string($0.description) } ?? .null],
      author: reader.publicKey, counter: 1, context: VersionVector(), hlc: .zero, changeset: id,
      under: id)
    return APIRegisters(
      clusterSet: id, hlc: HybridTime(milliseconds: 7),
      registers: [
        APIRegister(
          path: "slice/blue", scope: .clusterset, values: [value], context: VersionVector())
      ])
  }

  func grants() async throws -> APIGrants { APIGrants(grants: [], floors: []) }

  func grant(id: Digest) async throws -> APIGrantDetail {
    throw APIProblem.notFound("There is no grant \(id).", fix: "List them: starling get grants.")
  }

  func conflicts() async throws -> [APIConflict] { [] }

  func log(_ query: APILogQuery) async throws -> [APIChangeset] {
    queries.withLock { $0.append(query) }
    return []
  }

  func services() async throws -> [APIService] { [] }
  func tunnels() async throws -> [APITunnel] { [] }

  func explain(_ subject: APIExplainSubject) async throws -> APIExplanation {
    APIExplanation(subject: "\(subject)", verdict: .ok, summary: "", steps: [])
  }

  func genesis() async throws -> APIGenesis {
    APIGenesis(
      id: id, name: "world", rootKeys: [], rootThreshold: 1, rootGrant: id, zones: [],
      createdAt: .now, body: "", seeds: [])
  }

  func changeset(id: Digest) async throws -> APIChangeset {
    APIChangeset(
      id: id, state: .counting, scope: .clusterset, under: id, author: reader.publicKey, hlc: .zero,
      bytes: 1)
  }

  func push(_ body: [UInt8]) async throws -> APIPushAnswer {
    pushed.withLock { $0.append(body) }
    return APIPushAnswer(results: [APIPushResult(id: id, outcome: .accepted)])
  }

  /// Confirms twice and is done; with a timeout of 1 it never ends.
  func progress(
    of id: Digest, timeoutMilliseconds: UInt64
  ) async throws -> AsyncStream<APIProgress> {
    AsyncStream { continuation in
      continuation.yield(.expected(.init(clusters: ["a", "b"], dead: [])))
      guard timeoutMilliseconds > 1 else { return }
      continuation.yield(
        .confirmed(.init(cluster: "a", elapsedMilliseconds: 1.5, confirmed: 1, total: 2)))
      continuation.yield(
        .done(.init(confirmed: 1, total: 2, elapsedMilliseconds: 9, missing: ["b"])))
      continuation.finish()
    }
  }

  func join(token: String) async throws -> APIJoinAnswer {
    guard token == "good" else { throw APIProblem.badRequest("The token is damaged.") }
    return APIJoinAnswer(
      clusterSet: .init(id: id, name: "world"), cluster: "eu-1", node: id, key: reader.publicKey,
      phase: .joining)
  }

  func backup() async throws -> APIBackup {
    APIBackup(
      fileName: "a b\".db",
      chunks: AsyncThrowingStream { continuation in
        for i in 0..<100 { continuation.yield([UInt8](repeating: UInt8(i), count: 10_000)) }
        continuation.finish()
      })
  }

  func memberEvents() async throws -> AsyncStream<APIMemberEvent> {
    AsyncStream { $0.finish() }
  }

  func mayRead(_ key: PublicKey) async -> Bool { key == reader.publicKey }
}
