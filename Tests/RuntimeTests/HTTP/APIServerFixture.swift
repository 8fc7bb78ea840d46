import AsyncHTTPClient
import Base
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import ServiceLifecycle
import Testing

@testable import Runtime

/// Real listeners around a `FakePeer`, for the length of a test.
struct APIServerFixture: Sendable {
  let peer: FakePeer
  let registry: MetricsRegistry
  let directory: String
  let authority: ClusterCA
  /// Bound by the kernel.
  let networkPort: Int
  let metricsPort: Int
  let client: HTTPClient

  var socket: String { directory + "/api.sock" }

  static func with(
    pushesPerMinute: Int = 600, maximumConnections: Int = 256,
    _ body: @escaping @Sendable (APIServerFixture) async throws -> Void
  ) async throws {
    let directory = NSTemporaryDirectory() + "starling-api-" + UUID().uuidString.prefix(8)
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let peer = FakePeer()
    let registry = MetricsRegistry()
    let now = Now(instant: .zero, wallMilliseconds: APITime.now.milliseconds)
    let authority = try ClusterCA(cluster: "eu-1", clusterSet: peer.id, now: now)
    let identity = SPIFFEIdentity(
      clusterSet: peer.id, cluster: "eu-1", role: .peer(peer.id))
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let listeners = APIListeners(
      service: peer, registry: registry, group: MultiThreadedEventLoopGroup.singleton,
      logger: logger)
    let any = try #require(IPEndpoint("127.0.0.1:0"))
    let (ports, continuation) = AsyncStream.makeStream(of: (String, Int).self)
    let services: [any Service] = [
      listeners.unix(
        directory + "/api.sock", maximumConnections: maximumConnections,
        onListening: { _ in continuation.yield(("unix", 0)) }),
      listeners.network(
        any, pushesPerMinute: pushesPerMinute,
        issueLeaf: { try authority.issue(identity, now: now) },
        onListening: { continuation.yield(("network", $0?.port ?? 0)) }),
      listeners.metrics(any, onListening: { continuation.yield(("metrics", $0?.port ?? 0)) }),
    ]
    let group = ServiceGroup(services: services, logger: logger)
    let running = Task { try await group.run() }
    var bound: [String: Int] = [:]
    for await (name, port) in ports {
      bound[name] = port
      if bound.count == services.count { break }
    }
    var configuration = HTTPClient.Configuration()
    var tls = TLSConfiguration.makeClientConfiguration()
    tls.trustRoots = .certificates([
      try NIOSSLCertificate(bytes: authority.certificate, format: .der)
    ])
    // The leaf names a peer, not a host.
    tls.certificateVerification = .noHostnameVerification
    configuration.tlsConfiguration = tls
    let client = HTTPClient(
      eventLoopGroup: MultiThreadedEventLoopGroup.singleton, configuration: configuration)
    let fixture = APIServerFixture(
      peer: peer, registry: registry, directory: directory, authority: authority,
      networkPort: bound["network"] ?? 0, metricsPort: bound["metrics"] ?? 0, client: client)
    do {
      try await body(fixture)
    } catch {
      Issue.record(error)
    }
    try await client.shutdown()
    await group.triggerGracefulShutdown()
    try await running.value
    #expect(!FileManager.default.fileExists(atPath: fixture.socket), "removed on stop")
  }

  struct Answer: Sendable {
    var status: UInt
    var headers: [String: String]
    var body: [UInt8]
    var text: String { String(decoding: body, as: UTF8.self) }

    func decoded<T: Decodable>(_ type: T.Type = T.self) throws -> T {
      try JSONDecoder().decode(type, from: Data(body))
    }

    var problem: APIProblem {
      get throws {
        #expect(headers["content-type"] == APIProblem.mediaType)
        return try decoded()
      }
    }
  }

  private func send(_ request: HTTPClientRequest) async throws -> Answer {
    let response = try await client.execute(request, timeout: .seconds(20))
    let body = try await response.body.collect(upTo: 8 << 20)
    var headers: [String: String] = [:]
    for header in response.headers { headers[header.name.lowercased()] = header.value }
    return Answer(
      status: response.status.code, headers: headers, body: Array(body.readableBytesView))
  }

  /// On the Unix socket.
  func local(
    _ target: String, post: [UInt8]? = nil, type: String = "application/x-protobuf"
  ) async throws -> Answer {
    let path = socket.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
    var request = HTTPClientRequest(url: "http+unix://\(path)\(target)")
    if let post {
      request.method = .POST
      request.headers.add(name: "Content-Type", value: type)
      request.body = .bytes(post)
    }
    return try await send(request)
  }

  func health(_ target: String) async throws -> Answer {
    try await send(HTTPClientRequest(url: "http://127.0.0.1:\(metricsPort)\(target)"))
  }

  /// Over TLS, with the fields that signing gave.
  func network(
    _ target: String, post: [UInt8]? = nil, fields: [(name: String, value: String)] = [],
    host: String? = nil
  ) async throws -> Answer {
    var request = HTTPClientRequest(url: "https://127.0.0.1:\(networkPort)\(target)")
    for field in fields { request.headers.add(name: field.name, value: field.value) }
    if let post {
      request.method = .POST
      request.headers.add(name: "Content-Type", value: "application/x-protobuf")
      request.body = .bytes(post)
    }
    return try await send(request)
  }

  func signature(
    of target: String, by key: SigningKey? = nil, ageSeconds: Int64 = 0
  ) -> [(name: String, value: String)] {
    MessageSignature.fields(
      signing: SignableRequest(
        method: "GET", authority: "127.0.0.1:\(networkPort)", target: target),
      body: [], by: (key ?? peer.reader).signer,
      nowSeconds: Int64(APITime.now.milliseconds / 1000) - ageSeconds)
  }

  /// Sends bytes as they are, on the Unix socket where no port is named, and reads until the far side closes, or for at most 5 s.
  func raw(_ bytes: [UInt8], port: Int? = nil) async throws -> String {
    let address =
      try port.map { try SocketAddress(ipAddress: "127.0.0.1", port: $0) }
      ?? SocketAddress(unixDomainSocketPath: socket)
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(to: address) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    channel.channel.eventLoop.scheduleTask(in: .seconds(5)) {
      channel.channel.close(promise: nil)
    }
    return try await channel.executeThenClose { inbound, outbound in
      var answer = ""
      do {
        try await outbound.write(ByteBuffer(bytes: bytes))
        for try await part in inbound { answer += String(buffer: part) }
      } catch {
        // A reset is an answer too.
      }
      return answer
    }
  }
}
