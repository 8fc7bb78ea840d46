public import Base
public import NIOCore
internal import NIOPosix
internal import Synchronization

/// TLS 1.3 streams between peers: one cached connection a peer, frames in order, bounds on everything
/// that waits. Both ends present their leaf; who they are is decided by the signed state.
///
/// Calls may come from any thread and return at once. All happens on one event loop, where `onEvent` is
/// called too.
public final class StreamTransport: Sendable {
  private let hub: StreamHub
  private let listener = Mutex<(any Channel)?>(nil)

  public init(
    me: NodeID, leaf: LeafIdentity, on loop: any EventLoop, resolver: AddressResolver,
    limits: StreamLimits = StreamLimits(), authenticator: @escaping StreamAuthenticator,
    onEvent: @escaping @Sendable (StreamEvent) -> Void
  ) throws(NetworkError) {
    do {
      hub = StreamHub(
        me: me, tls: try StreamTLS(leaf), loop: loop, resolver: resolver, limits: limits,
        authenticator: authenticator, onEvent: onEvent)
    } catch {
      throw .failed("TLS", "the certificate cannot be used: \(error)")
    }
  }

  /// - Returns: where it listens; port 0 was a request.
  public func listen(on address: IPEndpoint) async throws(NetworkError) -> IPEndpoint {
    let hub = hub
    let bootstrap = ServerBootstrap(group: hub.loop, childGroup: hub.loop)
      .serverChannelOption(.backlog, value: 128)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .serverChannelOption(.maxMessagesPerRead, value: 16)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(.tcpOption(StreamHub.userTimeout), value: StreamHub.deadAfterMilliseconds)
      .childChannelOption(.recvAllocator, value: StreamHub.receiveAllocator)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try hub.accept(channel) }
      }
    do {
      let channel = try await bootstrap.bind(to: try address.socketAddress()).get()
      listener.withLock { $0 = channel }
      let local = channel.localAddress.flatMap { IPEndpoint($0) } ?? address
      return IPEndpoint(address.address, port: local.port)
    } catch {
      throw NetworkError(error, at: "tcp \(address)")
    }
  }

  /// Sends a frame to a peer over its connection, or makes one through the addresses (`host:port`).
  ///
  /// - Precondition: at most `maximumFrame` bytes; longer frames are dropped.
  public func send(_ frame: [UInt8], to peer: NodeID, addresses: [String]) {
    hub.loop.execute { self.hub.send(frame, to: peer, addresses: addresses) }
  }

  /// Sends a frame on one connection, such as the answer to an unadmitted peer.
  public func send(_ frame: [UInt8], on stream: StreamID) {
    hub.loop.execute { self.hub.send(frame, on: stream) }
  }

  /// Connects to whoever listens there: a seed.
  ///
  /// - Parameter joining: also to somebody whom the signed state does not vouch for (yet): a peer that
  ///   joins has no state to check with. Otherwise such a connection is closed.
  public func contact(_ address: String, joining: Bool = false) {
    hub.loop.execute { self.hub.contact(address, joining: joining) }
  }

  public func close(_ stream: StreamID) {
    hub.loop.execute { self.hub.close(stream) }
  }

  /// Stops or goes on reading from a connection, for a receiver that cannot keep up.
  public func setReading(_ isReading: Bool, on stream: StreamID) {
    hub.loop.execute { self.hub.setReading(isReading, on: stream) }
  }

  /// The signed state may admit others now: strangers are looked at again, and who is no member any
  /// more is dropped.
  public func trustChanged() {
    hub.loop.execute { self.hub.trustChanged() }
  }

  /// The leaf of connections from now on.
  public func setLeaf(_ leaf: LeafIdentity) throws(NetworkError) {
    let tls: StreamTLS
    do { tls = try StreamTLS(leaf) } catch {
      throw .failed("TLS", "the certificate cannot be used: \(error)")
    }
    hub.loop.execute { self.hub.tls = tls }
  }

  /// Stops listening, sends what waits and closes all.
  public func shutdown() async {
    let channel = listener.withLock { listener in
      defer { listener = nil }
      return listener
    }
    try? await channel?.close().get()
    try? await hub.loop.flatSubmit { self.hub.shutdown() }.get()
  }

  public static let maximumFrame = StreamFrame.maximumBytes
}
