internal import Base
internal import NIOCore
internal import NIOTLS

/// Between TLS and the hub: cuts the bytes into frames and tells of the handshake's end.
final class StreamChannelHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let hub: StreamHub
  private let connection: StreamConnection
  private var received: ByteBuffer?

  init(hub: StreamHub, connection: StreamConnection) {
    self.hub = hub
    self.connection = connection
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event as? TLSUserEvent {
    case .handshakeCompleted(let negotiated):
      hub.handshakeCompleted(connection, protocol: negotiated)
    case .shutdownCompleted, nil:
      context.fireUserInboundEventTriggered(event)
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard connection.phase == .open else { return }
    var bytes = unwrapInboundIn(data)
    connection.receivedBytes &+= bytes.readableBytes
    if received == nil {
      received = bytes
    } else {
      received?.writeBuffer(&bytes)
    }
    deliver()
  }

  private func deliver() {
    guard var buffer = received else { return }
    received = nil
    do throws(WireError) {
      let limit = hub.frameLimit(connection)
      while connection.phase == .open,
        let frame = try StreamFrame.decode(from: &buffer, limit: limit)
      {
        hub.received(frame, on: connection)
      }
    } catch {
      return hub.close(connection, .refused(hub.frameRefusal(connection, error)))
    }
    guard connection.phase == .open, buffer.readableBytes > 0 else { return }
    buffer.discardReadBytes()
    received = buffer
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    hub.failed(connection, error)
  }

  func channelInactive(context: ChannelHandlerContext) {
    hub.closed(connection)
    context.fireChannelInactive()
  }
}
