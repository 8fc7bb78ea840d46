internal import Base
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import Wire

/// The state of the stream transport: connections, and the way to each peer. Everything runs on one
/// event loop.
final class StreamHub: @unchecked Sendable {
  let me: NodeID
  let loop: any EventLoop
  let resolver: AddressResolver
  let limits: StreamLimits
  let authenticator: StreamAuthenticator
  let onEvent: @Sendable (StreamEvent) -> Void
  var tls: StreamTLS

  var connections: [StreamID: StreamConnection] = [:]
  var links: [NodeID: StreamLink] = [:]
  var queuedBytes = 0
  private var sources: SourceLimiter
  private var nextID: StreamID = 1
  private var isSweeping = false
  private var isChecking = false
  private var mustCheckAgain = false
  private(set) var isShutDown = false

  /// Idle connections keep little.
  static let receiveAllocator = AdaptiveRecvByteBufferAllocator(
    minimum: 1_024, initial: 2_048, maximum: 65_536)
  /// TCP_USER_TIMEOUT (RFC 5482): a host that vanished with unacknowledged data is given up, instead of
  /// after a quarter of an hour.
  static let userTimeout = NIOBSDSocket.Option(rawValue: 18)
  static let deadAfterMilliseconds = 10_000

  init(
    me: NodeID, tls: StreamTLS, loop: any EventLoop, resolver: AddressResolver,
    limits: StreamLimits, authenticator: @escaping StreamAuthenticator,
    onEvent: @escaping @Sendable (StreamEvent) -> Void
  ) {
    self.me = me
    self.tls = tls
    self.loop = loop
    self.resolver = resolver
    self.limits = limits
    self.authenticator = authenticator
    self.onEvent = onEvent
    sources = SourceLimiter(
      secret: Sodium.randomSeed(), burst: limits.acceptsBurst, perSecond: limits.acceptsPerSecond)
  }

  // MARK: Coming up

  /// A socket that somebody opened to us. Throws where there is no room, which closes it.
  func accept(_ channel: any Channel) throws {
    loop.preconditionInEventLoop()
    guard let remote = channel.remoteAddress.flatMap({ IPEndpoint($0) }) else {
      throw ChannelError.ioOnClosedChannel
    }
    if let refusal = refusal(of: remote) {
      onEvent(.refused(refusal, source: remote))
      throw RefusedConnection(refusal: refusal)
    }
    try start(channel, .inbound, remote: remote, expected: nil, joining: true)
  }

  private func refusal(of remote: IPEndpoint) -> StreamRefusal? {
    let now = Instant(nanoseconds: Int64(clamping: NIODeadline.now().uptimeNanoseconds))
    guard sources.allows(remote.address, now: now) else { return .tooOften }
    sources.charge(remote.address, now: now)
    if isShutDown || connections.count >= limits.connections { return .tooManyConnections }
    var (handshakes, ofSource) = (0, 0)
    for connection in connections.values where connection.isStranger {
      if connection.phase == .handshaking { handshakes += 1 }
      if connection.remote.address == remote.address { ofSource += 1 }
    }
    if handshakes >= limits.handshakes { return .tooManyConnections }
    return ofSource >= limits.unknownPerSource ? .tooManyFromSource : nil
  }

  /// Puts TLS and frames on a socket.
  @discardableResult
  func start(
    _ channel: any Channel, _ direction: StreamDirection, remote: IPEndpoint, expected: NodeID?,
    joining: Bool
  ) throws -> StreamConnection {
    let connection = StreamConnection(
      id: nextID, direction: direction, remote: remote, channel: channel, expected: expected)
    nextID += 1
    let security = try tls.handler(direction) { [self] chain, promise in
      connection.chain = chain
      authenticate(connection, joining: joining, promise)
    }
    let pipeline = channel.pipeline.syncOperations
    try pipeline.addHandlers([security, StreamChannelHandler(hub: self, connection: connection)])
    connections[connection.id] = connection
    end(connection, after: limits.handshakeTimeout, .refused(.handshakeTimeout))
    sweepLater()
    return connection
  }

  /// Within the handshake: it goes on if this is somebody to talk to.
  private func authenticate(
    _ connection: StreamConnection, joining: Bool,
    _ promise: EventLoopPromise<NIOSSLVerificationResult>
  ) {
    let bound = NIOLoopBound(connection, eventLoop: loop)
    check(connection.chain).whenSuccess { identity in
      let connection = bound.value
      connection.identity = identity
      let isExpected = connection.expected == nil || connection.expected == identity.node
      if identity.node == self.me || !isExpected || (identity == .unadmitted && !joining) {
        connection.closure = .refused(.wrongPeer)
        promise.succeed(.failed)
      } else {
        promise.succeed(.certificateVerified)
      }
    }
  }

  private func check(_ chain: [[UInt8]]) -> EventLoopFuture<StreamIdentity> {
    let authenticator = authenticator
    let promise = loop.makePromise(of: StreamIdentity.self)
    promise.completeWithTask { await authenticator(chain) }
    return promise.futureResult
  }

  func handshakeCompleted(_ connection: StreamConnection, protocol negotiated: String?) {
    guard connection.phase == .handshaking else { return }
    guard let identity = connection.identity, negotiated == StreamTLS.applicationProtocol else {
      return close(connection, .refused(.handshakeFailed))
    }
    connection.deadline?.cancel()
    if identity == .unadmitted, connection.direction == .inbound {
      let strangers = connections.values.count { $0.isStranger && $0.phase == .open }
      guard strangers < limits.unadmitted else {
        return close(connection, .refused(.tooManyUnadmitted))
      }
    }
    connection.phase = .open
    connection.lastUsed = .now()
    if connection.isStranger {
      end(connection, after: limits.unadmittedLifetime, .refused(.unadmittedLimit))
    }
    onEvent(.opened(connection.id, identity, connection.direction, remote: connection.remote))
    if let node = identity.node { join(connection, node) }
    connection.opened.succeed(())
  }

  private func end(
    _ connection: StreamConnection, after delay: Duration, _ closure: StreamClosure
  ) {
    let id = connection.id
    connection.deadline = loop.scheduleTask(in: TimeAmount(delay)) {
      self.connections[id].map { self.close($0, closure) }
    }
  }

  /// An open connection becomes one of its peer's.
  private func join(_ connection: StreamConnection, _ node: NodeID) {
    var link = links[node] ?? StreamLink()
    let excess = link.connections.count + 1 - limits.perPeer
    let replaced = link.connections.prefix(max(0, excess))
    link.connections.removeFirst(replaced.count)
    link.connections.append(connection.id)
    link.failures = 0
    link.retryAt = .distantPast
    let waiting = link.queue
    queuedBytes -= link.queuedBytes
    (link.queue, link.queuedBytes) = ([], 0)
    links[node] = link
    for id in replaced { connections[id].map { close($0, .replaced) } }
    for frame in waiting { write(frame, on: connection) }
  }

  // MARK: Trust

  func trustChanged() {
    guard !isChecking else {
      mustCheckAgain = true
      return
    }
    isChecking = true
    let open = connections.values.filter { $0.phase == .open }.sorted { $0.id < $1.id }
    let checks = open.map { connection in
      let id = connection.id
      return check(connection.chain).map { self.reidentify(id, $0) }
    }
    EventLoopFuture.andAllComplete(checks, on: loop).whenComplete { _ in
      self.isChecking = false
      guard self.mustCheckAgain else { return }
      self.mustCheckAgain = false
      self.trustChanged()
    }
  }

  private func reidentify(_ id: StreamID, _ identity: StreamIdentity) {
    guard let connection = connections[id], connection.phase == .open,
      connection.identity != identity
    else { return }
    guard connection.node == nil, let node = identity.node, node != me else {
      return close(connection, .untrusted)
    }
    connection.identity = identity
    connection.deadline?.cancel()
    onEvent(.identified(id, identity))
    join(connection, node)
  }

  // MARK: Idle connections

  private func sweepLater() {
    guard !isSweeping else { return }
    isSweeping = true
    loop.scheduleTask(in: TimeAmount(limits.sweepInterval)) { self.sweep() }
  }

  private func sweep() {
    isSweeping = false
    let since = NIODeadline.now() - TimeAmount(limits.idleTimeout)
    let idle = connections.values.filter {
      $0.phase == .open && $0.lastUsed < since && $0.waitingBytes == 0
    }
    for connection in idle { close(connection, .idle) }
    // What is left of a peer without connection is its back-off.
    for (node, link) in links
    where link.connections.isEmpty && !link.isDialing && link.retryAt < since {
      links[node] = nil
    }
    if !connections.isEmpty || !links.isEmpty { sweepLater() }
  }

  func shutdown() -> EventLoopFuture<Void> {
    isShutDown = true
    let closing = connections.values.map { $0.channel.closeFuture }
    for connection in Array(connections.values) { close(connection, .shutdown) }
    return EventLoopFuture.andAllComplete(closing, on: loop)
  }
}

struct RefusedConnection: Error {
  var refusal: StreamRefusal
}
