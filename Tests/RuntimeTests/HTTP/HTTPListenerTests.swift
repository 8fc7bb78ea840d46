import Base
import Foundation
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Runtime

@Suite struct HTTPListenerTests {
  func listeners() -> APIListeners {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return APIListeners(
      service: FakePeer(), registry: MetricsRegistry(),
      group: MultiThreadedEventLoopGroup.singleton, logger: logger)
  }

  func failure(_ listener: HTTPListener) async -> ListenError? {
    do {
      try await listener.run()
      return nil
    } catch {
      return error as? ListenError
    }
  }

  @Test func aPortInUseIsOneClearLine() async throws {
    try await APIServerFixture.with { server in
      let endpoint = try #require(IPEndpoint("127.0.0.1:\(server.metricsPort)"))
      let error = await failure(listeners().metrics(endpoint))
      #expect(
        error?.description
          == "metrics.listen: cannot listen on 127.0.0.1:\(server.metricsPort): another process "
          + "listens there; stop it, or set metrics.listen to another address")
    }
  }

  @Test func addressesOfOtherMachinesAreSaidToBe() async throws {
    let error = await failure(listeners().metrics(try #require(IPEndpoint("192.0.2.1:7480"))))
    #expect(error?.reason == "this machine has no such address")
  }

  @Test func aLiveSocketIsNotTaken() async throws {
    try await APIServerFixture.with { server in
      let error = await failure(listeners().unix(server.socket))
      #expect(error?.reason == "another process listens there")
      let still = try await server.local("/v1/status")
      #expect(still.status == 200)
    }
  }

  @Test func staleSocketsAreReplacedAndFilesAreNot() async throws {
    let directory = NSTemporaryDirectory() + "starling-socket-" + UUID().uuidString.prefix(8)
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let path = directory + "/api.sock"
    let left = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .bind(unixDomainSocketPath: path + ".old").get()
    // As a killed daemon leaves it: NIO would remove the file where it was bound.
    try FileManager.default.moveItem(atPath: path + ".old", toPath: path)
    try await left.close()
    #expect(FileManager.default.fileExists(atPath: path))
    let (started, continuation) = AsyncStream.makeStream(of: Void.self)
    let running = Task {
      try await listeners().unix(path, onListening: { _ in continuation.yield() }).run()
    }
    for await _ in started { break }
    running.cancel()
    _ = try? await running.value
    try "mine".write(toFile: path + ".txt", atomically: true, encoding: .utf8)
    let error = await failure(listeners().unix(path + ".txt"))
    #expect(error?.reason == "there is a file that is no socket")
    let missing = await failure(listeners().unix(directory + "/none/api.sock"))
    #expect(missing?.reason == "the folder does not exist")
  }

  @Test(.timeLimit(.minutes(1))) func withoutACertificateConnectionsEndAtOnce() async throws {
    let asked = Mutex(0)
    let (started, continuation) = AsyncStream.makeStream(of: Int.self)
    let any = try #require(IPEndpoint("127.0.0.1:0"))
    let listener = listeners().network(
      any,
      issueLeaf: {
        asked.withLock { $0 += 1 }
        throw APIProblem.unavailable("not joined")
      }, onListening: { continuation.yield($0?.port ?? 0) })
    let running = Task { try await listener.run() }
    for await port in started {
      // More than once: one that failed does not end the listener.
      for _ in 0..<3 {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
          .connect(host: "127.0.0.1", port: port).get()
        try await channel.closeFuture.get()
      }
      break
    }
    #expect(asked.withLock { $0 } == 3)
    running.cancel()
    _ = try? await running.value
  }
}
