import Base
import Foundation
import Kubernetes
import Logging
import Testing

@testable import Runtime

@Suite struct ClusterWatchTests {
  private func with(
    _ body: (ClusterWatch, FakeAPIServer) async throws -> Void
  ) async throws {
    let server = try FakeAPIServer()
    server.edit { api in
      for name in ["a", "b", "c", "d", "e"] {
        _ = try? api.store.create(
          KubernetesObject(.namespaces, ObjectKey(name: name)).json, .namespaces, namespace: "",
          manager: "t")
      }
    }
    try await server.start()
    let transport = APITransport(server.access)
    let watch = ClusterWatch(
      transport, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    ) { _, _ in }
    var configuration = WatchConfiguration(.namespaces)
    configuration.pageSize = 2
    await watch.start([configuration])
    do {
      try await body(watch, server)
    } catch {
      await watch.stop()
      await transport.shutdown()
      await server.stop()
      throw error
    }
    await watch.stop()
    await transport.shutdown()
    await server.stop()
  }

  private func names(_ watch: ClusterWatch) async -> [String]? {
    await watch.objects?.all(.namespaces).map(\.name)
  }

  private static func put(_ name: String, _ server: FakeAPIServer) {
    server.edit { api in
      _ = try? api.store.create(
        KubernetesObject(.namespaces, ObjectKey(name: name)).json, .namespaces, namespace: "",
        manager: "t")
    }
  }

  private static func remove(_ name: String, _ server: FakeAPIServer) {
    server.edit { try? $0.store.delete(ObjectID(.namespaces, ObjectKey(name: name)), uid: nil) }
  }

  @Test func pagesThenEvents() async throws {
    try await with { watch, server in
      #expect(await eventually { await self.names(watch) == ["a", "b", "c", "d", "e"] })
      Self.put("f", server)
      Self.remove("b", server)
      #expect(await eventually { await self.names(watch) == ["a", "c", "d", "e", "f"] })
      // Three pages; more where this machine was so busy that one timed out.
      #expect(server.edit { $0.counts["GET namespaces"] ?? 0 } >= 3)
    }
  }

  @Test func cutsSlownessAndBothKindsOfGone() async throws {
    try await with { watch, server in
      #expect(await eventually { await self.names(watch)?.count == 5 })
      // The next watches: one cut within a line, one a byte at a time, one that begins with 410.
      server.edit {
        $0.faults = [
          .init(prefix: "WATCH", times: 1, effect: .cut(afterBytes: 100)),
          .init(prefix: "WATCH", times: 1, effect: .slow),
          .init(prefix: "WATCH", times: 1, effect: .goneEvent),
        ]
      }
      await server.stop()
      Self.put("f", server)
      try await server.start(port: server.lastPort)
      #expect(await eventually { await self.names(watch)?.contains("f") == true })
      Self.put("g", server)
      #expect(await eventually { await self.names(watch)?.contains("g") == true })
      // Away for a change and the end of the server's memory: 410 as a status.
      await server.stop()
      Self.remove("a", server)
      server.edit { $0.store.compact() }
      try await server.start(port: server.lastPort)
      #expect(await eventually { await self.names(watch)?.contains("a") == false })
      #expect(await watch.counts[.namespaces]?.gone ?? 0 >= 1)
    }
  }

  @Test func throttlingIsNoStorm() async throws {
    try await with { watch, server in
      #expect(await eventually { await self.names(watch)?.count == 5 })
      await server.stop()
      server.edit {
        $0.faults = [
          .init(
            prefix: "WATCH", times: 3,
            effect: .refuse(429, reason: "TooManyRequests", retryAfter: 1))
        ]
      }
      let before = server.edit { $0.requests.count }
      Self.put("z", server)
      try await server.start(port: server.lastPort)
      #expect(await eventually { await self.names(watch)?.contains("z") == true })
      #expect(server.edit { $0.requests.count } - before <= 8)
    }
  }
}
