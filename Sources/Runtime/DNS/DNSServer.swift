public import Base
public import NIOCore
internal import NIOPosix
internal import Naming
internal import Slices

/// The authoritative server of slice names: UDP and TCP on each address, all on one event loop.
///
/// Pushed, not polled: `serve` swaps the table, the next query is answered from it.
public final class DNSServer: Sendable {
  /// TCP connections at a time; more are closed at once (RFC 7766 section 6.2.2).
  static let maximumConnections = 64
  static let idleTimeout = TimeAmount.seconds(10)

  private let loop: any EventLoop
  private let state: NIOLoopBoundBox<State>
  public let counters = DNSCounters()

  final class State {
    var resolver: Naming.Resolver?
    var channels: [any Channel] = []
    var connections = 0
  }

  public init(on loop: any EventLoop) {
    self.loop = loop
    state = NIOLoopBoundBox.makeBoxSendingValue(State(), eventLoop: loop)
  }

  /// Binds both transports on each address. Throws with the address that could not be had.
  public func start(_ addresses: [IPEndpoint]) async throws {
    for endpoint in addresses {
      do {
        try await bindDatagrams(endpoint)
        try await bindStreams(endpoint.socketAddress())
      } catch {
        throw DNSServerError(address: endpoint, reason: "\(error)")
      }
    }
  }

  private func bindDatagrams(_ address: IPEndpoint) async throws {
    let bound = state
    let counters = counters
    let channel = try await DatagramBootstrap.bind(
      address, on: loop, lost: { counters.failed() }
    ) { channel, writer in
      try channel.syncOptions?.setOption(
        .recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 4096))
      let handlers: [any ChannelHandler] = [
        writer, DNSDatagramHandler(state: bound.value, counters: counters),
      ]
      try channel.pipeline.syncOperations.addHandlers(handlers)
    }
    try await loop.submit { bound.value.channels.append(channel) }.get()
  }

  private func bindStreams(_ address: SocketAddress) async throws {
    let bound = state
    let counters = counters
    let channel = try await ServerBootstrap(group: loop)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .serverChannelOption(.backlog, value: 64)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          guard bound.value.connections < Self.maximumConnections else {
            counters.refusedConnection()
            channel.close(promise: nil)
            return
          }
          let handlers: [any ChannelHandler] = [
            IdleStateHandler(readTimeout: Self.idleTimeout),
            DNSStreamHandler(state: bound.value, counters: counters),
          ]
          try channel.pipeline.syncOperations.addHandlers(handlers)
        }
      }
      .bind(to: address).get()
    try await loop.submit { bound.value.channels.append(channel) }.get()
  }

  /// Answers from this table from now on.
  func serve(_ table: NamingTable) {
    let resolver = Naming.Resolver(table)
    let bound = state
    loop.execute { bound.value.resolver = resolver }
  }

  public func stop() async {
    let bound = state
    let channels = try? await loop.submit {
      defer { bound.value.channels = [] }
      return bound.value.channels
    }.get()
    for channel in channels ?? [] { try? await channel.close() }
  }
}

public struct DNSServerError: Error, CustomStringConvertible {
  public var address: IPEndpoint
  public var reason: String

  public var description: String {
    "cannot serve DNS on \(address): \(reason); choose another address in standalone.dns.listen"
  }
}
