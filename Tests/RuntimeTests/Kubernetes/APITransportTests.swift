import Base
import Foundation
import Kubernetes
import Testing

@testable import Runtime

@Suite struct APITransportTests {
  private func with(
    _ change: @Sendable (inout ClusterAccess, FakeAPIServer) throws -> Void = { _, _ in },
    server: FakeAPIServer? = nil,
    _ body: (APITransport, FakeAPIServer) async throws -> Void
  ) async throws {
    let server = try server ?? FakeAPIServer()
    try await server.start()
    var access = server.access
    try change(&access, server)
    let transport = APITransport(access)
    do {
      try await body(transport, server)
    } catch {
      await transport.shutdown()
      await server.stop()
      throw error
    }
    await transport.shutdown()
    await server.stop()
  }

  private let namespace = KubernetesObject(.namespaces, ObjectKey(name: "shop"))
  private func namespaceList() -> APIRequest { .list(.namespaces) }

  private func status(_ transport: APITransport) async throws -> Int {
    try await transport.send(namespaceList()).status
  }

  @Test func requestsAndAnswersPass() async throws {
    try await with { transport, _ in
      let made = try await transport.send(.create(namespace, .namespaces))
      #expect(made.status == 201)
      let again = try await transport.send(.create(namespace, .namespaces))
      #expect(again.failure.alreadyExists)
      let list = try await transport.send(namespaceList())
      #expect(try JSON(parsing: list.body)["items"]?.array?.count == 1)
    }
  }

  @Test func retryAfterIsRead() async throws {
    try await with { transport, server in
      server.edit {
        $0.faults = [
          .init(
            prefix: "", times: 1,
            effect: .refuse(429, reason: "TooManyRequests", retryAfter: 7))
        ]
      }
      let answer = try await transport.send(namespaceList())
      #expect(answer.failure.isThrottled && answer.failure.retryAfterSeconds == 7)
    }
  }

  @Test func aServerOfAnotherAuthorityIsRefused() async throws {
    let other = try FakeCertificates()
    try await with({ access, _ in
      access.certificateAuthority = .bytes(Array(other.authorityPEM.utf8))
    }) { transport, server in
      await #expect(throws: TransportFailure.self) {
        try await transport.send(self.namespaceList())
      }
      #expect(server.edit { $0.requests.isEmpty })
    }
  }

  @Test func aServerOfAnotherAddressIsRefused() async throws {
    let server = try FakeAPIServer(identity: FakeCertificates(address: [127, 0, 0, 9]))
    try await with(server: server) { transport, server in
      await #expect(throws: TransportFailure.self) {
        try await transport.send(self.namespaceList())
      }
      #expect(server.edit { $0.requests.isEmpty })
    }
  }

  @Test func theServersNameMayBeGiven() async throws {
    let server = try FakeAPIServer(identity: FakeCertificates(address: [127, 0, 0, 9]))
    try await with({ access, _ in access.serverName = "kubernetes.default.svc" }, server: server) {
      transport, _ in
      let status = try await self.status(transport)
      #expect(status == 200)
    }
  }

  @Test func withoutACertificateAuthorityThereIsNoConnection() async throws {
    for material in [
      ClusterAccess.Material.bytes(Array("nothing".utf8)), .bytes([]), .file("/nowhere/ca.crt"),
    ] {
      try await with({ access, _ in access.certificateAuthority = material }) {
        transport, server in
        await #expect(throws: TransportFailure.self) {
          try await transport.send(self.namespaceList())
        }
        #expect(server.edit { $0.requests.isEmpty })
      }
    }
  }

  @Test func clientCertificatesAreSent() async throws {
    try await with({ access, server in
      access.credentials = .certificate(
        certificate: .bytes(Array(server.identity.clientCertificatePEM.utf8)),
        key: .bytes(Array(server.identity.clientKeyPEM.utf8)))
    }) { transport, _ in
      let status = try await self.status(transport)
      #expect(status == 200)
    }
  }

  @Test func tokensAreReadAgainAfterARefusal() async throws {
    let directory = TemporaryDirectory()
    let folder = directory.path
    let path = "\(folder)/token"
    try "first\n".write(toFile: path, atomically: true, encoding: .utf8)
    try await with({ access, server in
      access.credentials = .tokenFile(path)
      server.edit { $0.tokens = ["first"] }
    }) { transport, server in
      #expect(try await self.status(transport) == 200)
      server.edit { $0.tokens = ["second"] }
      try "second\n".write(toFile: path, atomically: true, encoding: .utf8)
      #expect(try await self.status(transport) == 200)
      server.edit { $0.tokens = ["third"] }
      #expect(try await self.status(transport) == 401)
    }
  }

  @Test func pluginsRunWhenTheirAnswersExpire() async throws {
    let directory = TemporaryDirectory()
    let folder = directory.path
    let script = """
      #!/bin/sh
      echo run >> \(folder)/runs
      n=$(wc -l < \(folder)/runs | tr -d ' ')
      [ -n "$KUBERNETES_EXEC_INFO" ] || exit 3
      printf '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1",'
      printf '"status":{"token":"t%s-%s","expirationTimestamp":"2099-01-01T00:00:00Z"}}' "$1" "$n"
      """
    let path = "\(folder)/plugin"
    try script.write(toFile: path, atomically: true, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
    try await with({ access, server in
      access.credentials = .exec(ExecPlugin(command: path, arguments: ["x"]))
      server.edit { $0.tokens = ["tx-1"] }
    }) { transport, _ in
      for _ in 0..<3 { #expect(try await self.status(transport) == 200) }
      let runs = try String(contentsOfFile: "\(folder)/runs", encoding: .utf8)
      #expect(runs == "run\n")
    }
  }

  @Test func aLostAnswerIsAFailure() async throws {
    try await with { transport, server in
      server.edit { $0.faults = [.init(prefix: "POST", times: 1, effect: .loseAnswer)] }
      await #expect(throws: TransportFailure.self) {
        try await transport.send(.create(self.namespace, .namespaces))
      }
      #expect(server.edit { $0.store.all(.namespaces).count } == 1)
    }
  }
}
