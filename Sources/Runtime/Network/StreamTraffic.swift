internal import Base
internal import NIOCore
internal import NIOPosix

// MARK: - Sending

extension StreamHub {
  func send(_ frame: [UInt8], to node: NodeID, addresses: [String]) {
    guard frame.count <= StreamFrame.maximumBytes, !isShutDown else {
      return onEvent(.dropped(node, bytes: frame.count))
    }
    if let connection = connection(to: node) { return write(frame, on: connection) }
    var link = links[node] ?? StreamLink()
    if !link.isDialing, NIODeadline.now() < link.retryAt {
      return onEvent(.unreachable(node, reason: link.lastReason, frames: 1))
    }
    guard link.queuedBytes + frame.count <= limits.queuedBytes,
      queuedBytes + frame.count <= limits.queuedBytesInAll
    else { return onEvent(.dropped(node, bytes: frame.count)) }
    link.queue.append(frame)
    link.queuedBytes += frame.count
    queuedBytes += frame.count
    let mustDial = !link.isDialing
    link.isDialing = true
    links[node] = link
    if mustDial { dial(node, addresses: addresses) }
  }

  func send(_ frame: [UInt8], on id: StreamID) {
    guard frame.count <= StreamFrame.maximumBytes, let connection = connections[id],
      connection.phase == .open
    else { return }
    write(frame, on: connection)
  }

  /// Of several connections both ends take the one that the smaller NodeID opened, and of those the
  /// newest: the other becomes idle.
  private func connection(to node: NodeID) -> StreamConnection? {
    let open = (links[node]?.connections ?? []).compactMap { connections[$0] }
      .filter { $0.phase == .open }
    let preferred: StreamDirection = me < node ? .outbound : .inbound
    return open.last { $0.direction == preferred } ?? open.last
  }

  func write(_ frame: [UInt8], on connection: StreamConnection) {
    guard connection.waitingBytes + frame.count <= limits.queuedBytes,
      queuedBytes + frame.count <= limits.queuedBytesInAll
    else {
      if let node = connection.node { onEvent(.dropped(node, bytes: frame.count)) }
      return
    }
    var buffer = connection.channel.allocator.buffer(
      capacity: StreamFrame.headerBytes + frame.count)
    StreamFrame.encode(frame, into: &buffer)
    let count = frame.count
    connection.waitingBytes += count
    queuedBytes += count
    connection.lastUsed = .now()
    let bound = NIOLoopBound(connection, eventLoop: loop)
    connection.channel.writeAndFlush(buffer).whenComplete { _ in
      bound.value.waitingBytes -= count
      self.queuedBytes -= count
    }
  }

  // MARK: Connecting

  private func dial(_ node: NodeID, addresses: [String]) {
    connect(addresses, expected: node, joining: false).whenComplete { result in
      self.links[node]?.isDialing = false
      guard case .failure(let error) = result else { return }
      self.dialFailed(node, reason: "\(error)")
    }
  }

  private func dialFailed(_ node: NodeID, reason: String) {
    guard var link = links[node] else { return }
    let frames = link.queue.count
    queuedBytes -= link.queuedBytes
    (link.queue, link.queuedBytes) = ([], 0)
    let ceiling = min(
      limits.firstDelay * (1 << min(link.failures, 16)), limits.lastDelay)
    link.failures += 1
    link.lastReason = reason
    link.retryAt = .now() + .nanoseconds(Int64.random(in: 0...max(ceiling.nanoseconds, 1)))
    links[node] = link
    onEvent(.unreachable(node, reason: reason, frames: frames))
  }

  func contact(_ address: String, joining: Bool) {
    guard !isShutDown else { return }
    connect([address], expected: nil, joining: joining).whenFailure { error in
      self.onEvent(.addressUnreachable(address, reason: "\(error)"))
    }
  }

  /// The first of the addresses at which the right peer answers.
  private func connect(
    _ addresses: [String], expected: NodeID?, joining: Bool
  ) -> EventLoopFuture<Void> {
    let resolver = resolver
    let promise = loop.makePromise(of: [IPEndpoint].self)
    promise.completeWithTask {
      var endpoints: [IPEndpoint] = []
      var failure = NetworkError.failed("no address", "none is known")
      for address in addresses.prefix(8) {
        do throws(NetworkError) { endpoints += try await resolver.resolve(address) } catch {
          failure = error
        }
      }
      guard !endpoints.isEmpty else { throw failure }
      return endpoints
    }
    return promise.futureResult.flatMap { endpoints in
      self.connect(endpoints[...], expected: expected, joining: joining)
    }
  }

  private func connect(
    _ endpoints: ArraySlice<IPEndpoint>, expected: NodeID?, joining: Bool
  ) -> EventLoopFuture<Void> {
    guard let endpoint = endpoints.first else {
      return loop.makeFailedFuture(NetworkError.failed("no address", "none is known"))
    }
    return connect(endpoint, expected: expected, joining: joining).flatMapError { error in
      let rest = endpoints.dropFirst()
      return rest.isEmpty
        ? self.loop.makeFailedFuture(error)
        : self.connect(rest, expected: expected, joining: joining)
    }
  }

  private func connect(
    _ endpoint: IPEndpoint, expected: NodeID?, joining: Bool
  ) -> EventLoopFuture<Void> {
    guard !isShutDown, connections.count < limits.connections else {
      return loop.makeFailedFuture(NetworkError.failed("\(endpoint)", "too many connections"))
    }
    let target: SocketAddress
    do { target = try endpoint.socketAddress() } catch { return loop.makeFailedFuture(error) }
    let opened = loop.makePromise(of: Void.self)
    ClientBootstrap(group: loop)
      .connectTimeout(TimeAmount(limits.connectTimeout))
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelOption(.tcpOption(Self.userTimeout), value: Self.deadAfterMilliseconds)
      .channelOption(.recvAllocator, value: Self.receiveAllocator)
      .channelInitializer { channel in
        self.loop.makeCompletedFuture {
          let connection = try self.start(
            channel, .outbound, remote: endpoint, expected: expected, joining: joining)
          connection.opened.futureResult.cascade(to: opened)
        }
      }
      .connect(to: target)
      .whenFailure { error in
        // Does nothing where the connection has already said why.
        opened.fail(NetworkError(error, at: "\(endpoint)"))
      }
    return opened.futureResult
  }
}

// MARK: - Receiving and closing

extension StreamHub {
  func frameLimit(_ connection: StreamConnection) -> Int {
    connection.isStranger ? limits.unadmittedBytes : StreamFrame.maximumBytes
  }

  func frameRefusal(_ connection: StreamConnection, _ error: WireError) -> StreamRefusal {
    if case .overLimit = error, connection.isStranger { .unadmittedLimit } else { .badFrame }
  }

  func received(_ frame: [UInt8], on connection: StreamConnection) {
    guard let identity = connection.identity else { return }
    connection.lastUsed = .now()
    if connection.isStranger {
      connection.receivedFrames += 1
      // A compressed frame counts with what it unfolds to.
      connection.receivedBytes += frame.count
      guard connection.receivedFrames <= limits.unadmittedFrames,
        connection.receivedBytes <= 2 * limits.unadmittedBytes
      else { return close(connection, .refused(.unadmittedLimit)) }
    }
    onEvent(.frame(connection.id, identity, frame))
  }

  func setReading(_ isReading: Bool, on id: StreamID) {
    _ = connections[id]?.channel.setOption(.autoRead, value: isReading)
  }

  func close(_ id: StreamID) {
    connections[id].map { close($0, .shutdown) }
  }

  func close(_ connection: StreamConnection, _ closure: StreamClosure) {
    if connection.closure == nil { connection.closure = closure }
    connection.channel.close(promise: nil)
  }

  func failed(_ connection: StreamConnection, _ error: any Error) {
    let closure: StreamClosure =
      connection.phase == .handshaking
      ? .refused(.handshakeFailed)
      : .failed(NetworkError(error, at: "\(connection.remote)").description)
    close(connection, closure)
  }

  /// The socket is gone.
  func closed(_ connection: StreamConnection) {
    guard connection.phase != .closed else { return }
    let wasOpen = connection.phase == .open
    connection.phase = .closed
    connection.deadline?.cancel()
    connections[connection.id] = nil
    let closure = connection.closure ?? (wasOpen ? .remote : .refused(.handshakeFailed))
    if let node = connection.node {
      links[node]?.connections.removeAll { $0 == connection.id }
    }
    connection.opened.fail(
      NetworkError.failed("\(connection.remote)", Self.sentence(closure)))
    if case .refused(let refusal) = closure {
      onEvent(.refused(refusal, source: connection.remote))
    }
    if wasOpen {
      onEvent(.closed(connection.id, connection.identity ?? .unadmitted, closure))
    }
  }

  private static func sentence(_ closure: StreamClosure) -> String {
    switch closure {
    case .remote: "the far end closed the connection"
    case .idle: "idle"
    case .untrusted: "the peer is no member any more"
    case .replaced: "replaced by a newer connection"
    case .refused(.wrongPeer): "another peer, or none of this ClusterSet, answers there"
    case .refused(.handshakeTimeout): "no TLS handshake in time"
    case .refused(let refusal): "refused: \(refusal.label)"
    case .failed(let reason): reason
    case .shutdown: "this peer is stopping"
    }
  }
}
