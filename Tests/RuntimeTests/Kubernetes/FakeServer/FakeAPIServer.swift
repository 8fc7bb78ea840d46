import Base
import Foundation
import Kubernetes
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// A `FakeAPI` on loopback with TLS.
final class FakeAPIServer: Sendable {
  private let state: Mutex<State>
  private let channel: Mutex<(any Channel)?> = Mutex(nil)
  let identity: FakeCertificates

  private struct State {
    var api: FakeAPI
    var sinks: [ObjectIdentifier: Sink] = [:]
  }

  private struct Sink: @unchecked Sendable {
    var watch: FakeAPI.Watch
    var sent = 0
    var channel: any Channel
  }

  init(
    types: [ResourceType] = FakeAPIServer.allTypes, serviceBase: UInt32 = 0x0a65_0000,
    identity: FakeCertificates? = nil
  ) throws {
    state = Mutex(State(api: FakeAPI(store: FakeStore(types: types, serviceBase: serviceBase))))
    self.identity = try identity ?? FakeCertificates()
  }

  static let allTypes: [ResourceType] = [
    .namespaces, .nodes, .services, .endpointSlices, .serviceExports, .serviceImports, .leases,
    .secrets, .configMaps, .events, .slices, .clusterPeers, .signedChangesets, .networkPolicies,
    .clusterProperties, .pods, .nodeNetworks, .deployments, .podDisruptionBudgets, .sliceGateways,
    .resourceQuotas,
  ]

  /// Where it listens, or did before it stopped.
  var lastPort: Int { portBefore.withLock { $0 } }
  private let portBefore = Mutex(0)
  var port: Int { channel.withLock { $0?.localAddress?.port } ?? 0 }
  var url: String { "https://127.0.0.1:\(port)" }

  var access: ClusterAccess {
    ClusterAccess(
      server: url, certificateAuthority: .bytes(Array(identity.authorityPEM.utf8)))
  }

  /// - Parameter port: 0: any.
  func start(port: Int = 0) async throws {
    var tls = TLSConfiguration.makeServerConfiguration(
      certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(identity.certificatePEM.utf8))
        .map { .certificate($0) },
      privateKey: .privateKey(
        try NIOSSLPrivateKey(bytes: Array(identity.keyPEM.utf8), format: .pem)))
    tls.applicationProtocols = ["http/1.1"]
    let context = try NIOSSLContext(configuration: tls)
    let bound = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          try pipeline.addHandler(NIOSSLServerHandler(context: context))
          // Assistance would stop reading while a watch is open, and not see that its client goes.
          try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: false)
          try pipeline.addHandler(FakeConnection(server: self))
        }
      }
      .bind(host: "127.0.0.1", port: port).get()
    channel.withLock { $0 = bound }
    portBefore.withLock { $0 = bound.localAddress?.port ?? 0 }
  }

  /// Closes the port and all connections: the server is away.
  func stop() async {
    let bound = channel.withLock { channel in
      defer { channel = nil }
      return channel
    }
    try? await bound?.close()
    for sink in state.withLock({ Array($0.sinks.values) }) { sink.channel.close(promise: nil) }
    for connection in connections.withLock({ Array($0.values) }) {
      connection.close(promise: nil)
    }
  }

  fileprivate let connections = Mutex<[ObjectIdentifier: any Channel]>([:])

  /// Changes or reads what the server holds; watches hear of it.
  @discardableResult
  func edit<T: Sendable>(_ body: @Sendable (inout FakeAPI) throws -> T) rethrows -> T {
    defer { pump() }
    return try state.withLock { try body(&$0.api) }
  }

  /// Sends every watch what it has not had.
  func pump() {
    let ready = state.withLock { state -> [(any Channel, [UInt8], Bool, Bool)] in
      var out: [(any Channel, [UInt8], Bool, Bool)] = []
      for (id, var sink) in state.sinks {
        guard var bytes = state.api.lines(&sink.watch) else {
          out.append((sink.channel, FakeAPI.goneLine, true, false))
          state.sinks[id] = nil
          continue
        }
        var ends = false
        if let limit = sink.watch.cutAfter, sink.sent + bytes.count > limit {
          bytes = Array(bytes.prefix(max(0, limit - sink.sent)))
          ends = true
        }
        sink.sent += bytes.count
        state.sinks[id] = ends ? nil : sink
        if !bytes.isEmpty || ends { out.append((sink.channel, bytes, ends, sink.watch.isSlow)) }
      }
      return out
    }
    for (channel, bytes, ends, isSlow) in ready { Self.send(bytes, on: channel, ends, isSlow) }
  }

  func bookmark() {
    let ready = state.withLock { state in
      state.sinks.keys.map { $0 }.compactMap { id -> (any Channel, [UInt8])? in
        guard var sink = state.sinks[id] else { return nil }
        let bytes = state.api.bookmark(&sink.watch)
        state.sinks[id] = sink
        return (sink.channel, bytes)
      }
    }
    for (channel, bytes) in ready { Self.send(bytes, on: channel, false, false) }
  }

  private static func send(
    _ bytes: [UInt8], on channel: any Channel, _ ends: Bool, _ isSlow: Bool
  ) {
    channel.eventLoop.execute {
      let pieces = isSlow ? bytes.map { [$0] } : [bytes]
      for piece in pieces where !piece.isEmpty {
        let part = HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: piece)))
        channel.writeAndFlush(part, promise: nil)
      }
      if ends { channel.close(promise: nil) }
    }
  }

  fileprivate func handle(_ request: FakeAPI.Request, on channel: any Channel) -> FakeAPI.Answer {
    let answer = state.withLock { state in
      let answer = state.api.handle(request)
      if case .watch(let watch) = answer {
        state.sinks[ObjectIdentifier(channel)] = Sink(watch: watch, channel: channel)
      }
      return answer
    }
    return answer
  }

  fileprivate func closed(_ channel: any Channel) {
    state.withLock { $0.sinks[ObjectIdentifier(channel)] = nil }
    connections.withLock { $0[ObjectIdentifier(channel)] = nil }
  }
}

private final class FakeConnection: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart
  let server: FakeAPIServer
  private var head: HTTPRequestHead?
  private var body: [UInt8] = []

  init(server: FakeAPIServer) {
    self.server = server
  }

  func channelActive(context: ChannelHandlerContext) {
    server.connections.withLock { $0[ObjectIdentifier(context.channel)] = context.channel }
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    server.closed(context.channel)
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      self.head = head
      body = []
    case .body(let part): body += Array(part.readableBytesView)
    case .end:
      guard let head else { return }
      let token = head.headers.first(name: "authorization").map {
        String($0.dropFirst("Bearer ".count))
      }
      let request = FakeAPI.Request(
        method: head.method.rawValue, target: head.uri, token: token,
        contentType: head.headers.first(name: "content-type"), body: body)
      answer(server.handle(request, on: context.channel), context)
    }
  }

  private func answer(_ answer: FakeAPI.Answer, _ context: ChannelHandlerContext) {
    switch answer {
    case .close: context.close(promise: nil)
    case .response(let code, let json, let retryAfter):
      var headers: HTTPHeaders = ["content-type": "application/json"]
      let bytes = json.bytes
      headers.add(name: "content-length", value: "\(bytes.count)")
      if let retryAfter { headers.add(name: "retry-after", value: "\(retryAfter)") }
      let head = HTTPResponseHead(
        version: .http1_1, status: .init(statusCode: code), headers: headers)
      context.write(wrapOutboundOut(.head(head)), promise: nil)
      context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: bytes)))), promise: nil)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
      // A write is heard by all watches.
      server.pump()
    case .watch:
      let head = HTTPResponseHead(
        version: .http1_1, status: .ok,
        headers: ["content-type": "application/json", "transfer-encoding": "chunked"])
      context.writeAndFlush(wrapOutboundOut(.head(head)), promise: nil)
      server.pump()
    }
  }
}
