internal import Base
internal import CLinux
internal import NIOCore
internal import NIOPosix

/// Sends the datagrams of a channel past it. NIO closes a channel for what the kernel says of any one
/// datagram but its size: a route that is gone for a moment, a firewall, an answer to port 0. Here such
/// a datagram is lost, as the network would lose it, and the socket stays.
final class DatagramWriter: ChannelOutboundHandler {
  typealias OutboundIn = AddressedEnvelope<ByteBuffer>

  private let descriptor: Int32
  private let lost: () -> Void

  /// - Parameters:
  ///   - socket: of the channel; it has a descriptor of its own here, that none other can get the
  ///     number of while it is in use.
  ///   - lost: called for each datagram that was not sent.
  init(_ socket: NIOBSDSocket.Handle, lost: @escaping () -> Void) throws {
    descriptor = starling_datagram_share(socket)
    guard descriptor >= 0 else {
      throw IOError(errnoCode: -descriptor, reason: "sharing a UDP socket")
    }
    self.lost = lost
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    starling_datagram_close(descriptor)
  }

  func write(
    context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?
  ) {
    let datagram = unwrapOutboundIn(data)
    let code = datagram.remoteAddress.withSockAddr { address, size in
      datagram.data.withUnsafeReadableBytes {
        starling_datagram_send(descriptor, $0.baseAddress, $0.count, address, size)
      }
    }
    if code < 0 { lost() }
    promise?.succeed()
  }
}

extension DatagramBootstrap {
  /// Opens a socket for a channel that `writer` sends for. `[::]` takes IPv4 as well.
  ///
  /// - Parameter prepare: adds the channel's handlers, `writer` first.
  static func bind(
    _ endpoint: IPEndpoint, on loop: any EventLoop,
    lost: @escaping @Sendable () -> Void,
    _ prepare: @escaping @Sendable (any Channel, DatagramWriter) throws -> Void
  ) async throws(NetworkError) -> any Channel {
    let bytes = endpoint.address.bytes
    var local = starling_endpoint_make(
      bytes, bytes.count, endpoint.port, endpoint.address.family == .v6 ? 1 : 0)
    let socket = starling_datagram_open(&local)
    guard socket >= 0 else { throw NetworkError(code: -socket, at: "udp \(endpoint)") }
    let bootstrap = DatagramBootstrap(group: loop).channelInitializer { channel in
      channel.eventLoop.makeCompletedFuture {
        try prepare(channel, DatagramWriter(socket, lost: lost))
      }
    }
    do {
      return try await bootstrap.withBoundSocket(socket).get()
    } catch {
      throw NetworkError(error, at: "udp \(endpoint)")
    }
  }
}
