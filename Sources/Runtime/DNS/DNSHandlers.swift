internal import Base
internal import NIOCore
internal import Naming

/// One datagram, one answer.
final class DNSDatagramHandler: ChannelInboundHandler {
  typealias InboundIn = AddressedEnvelope<ByteBuffer>
  typealias OutboundOut = AddressedEnvelope<ByteBuffer>

  private let state: DNSServer.State
  private let counters: DNSCounters

  init(state: DNSServer.State, counters: DNSCounters) {
    self.state = state
    self.counters = counters
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let envelope = unwrapInboundIn(data)
    guard
      let reply = answer(
        envelope.data, from: envelope.remoteAddress, over: .udp, state: state, counters: counters,
        allocator: context.channel.allocator)
    else { return }
    context.write(
      wrapOutboundOut(AddressedEnvelope(remoteAddress: envelope.remoteAddress, data: reply)),
      promise: nil)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // What the kernel has to say of one datagram is no reason to close.
    counters.failed()
  }
}

/// Messages behind a two-byte length (RFC 1035 section 4.2.2).
final class DNSStreamHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let state: DNSServer.State
  private let counters: DNSCounters
  private var pending = ByteBuffer()

  init(state: DNSServer.State, counters: DNSCounters) {
    self.state = state
    self.counters = counters
  }

  func handlerAdded(context: ChannelHandlerContext) {
    state.connections += 1
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    state.connections -= 1
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var incoming = unwrapInboundIn(data)
    pending.writeBuffer(&incoming)
    guard let remote = context.remoteAddress else { return context.close(promise: nil) }
    while let length = pending.getInteger(at: pending.readerIndex, as: UInt16.self) {
      guard pending.readableBytes >= 2 + Int(length) else { break }
      pending.moveReaderIndex(forwardBy: 2)
      guard let query = pending.readSlice(length: Int(length)),
        let reply = answer(
          query, from: remote, over: .tcp, state: state, counters: counters,
          allocator: context.channel.allocator)
      else { return context.close(promise: nil) }
      var framed = context.channel.allocator.buffer(capacity: reply.readableBytes + 2)
      framed.writeInteger(UInt16(clamping: reply.readableBytes))
      framed.writeImmutableBuffer(reply)
      context.write(wrapOutboundOut(framed), promise: nil)
    }
    pending.discardReadBytes()
    context.flush()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }
}

/// `nil` where the message gets no answer at all.
private func answer(
  _ query: ByteBuffer, from source: SocketAddress, over transport: Naming.Resolver.Transport,
  state: DNSServer.State, counters: DNSCounters, allocator: ByteBufferAllocator
) -> ByteBuffer? {
  guard let resolver = state.resolver, let address = source.base else { return nil }
  let capacity = transport == .udp ? 4096 : 65_535
  var reply = allocator.buffer(capacity: capacity)
  var outcome: Naming.Resolver.Outcome?
  query.withUnsafeReadableBytes { input in
    _ = reply.writeWithUnsafeMutableBytes(minimumWritableBytes: capacity) { output in
      let result = resolver.answer(input, from: address, over: transport, into: output)
      outcome = result
      return result.length
    }
  }
  guard let outcome else { return nil }
  counters.answered(outcome)
  return outcome.length > 0 ? reply : nil
}

extension SocketAddress {
  var base: IPAddress? {
    ipAddress.flatMap { IPAddress($0) }
  }
}
