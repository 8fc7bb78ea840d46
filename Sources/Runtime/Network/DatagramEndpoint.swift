public import Base
public import NIOCore
internal import NIOPosix
public import Wire

/// A datagram as it came from the socket: nobody has vouched for it yet.
public struct ReceivedDatagram: Sendable {
  public var from: IPEndpoint
  public var bytes: [UInt8]
}

/// One UDP socket. Reads many datagrams a system call.
public final class DatagramEndpoint: Sendable {
  public let localAddress: IPEndpoint
  private let channel: any Channel
  private let isMapped: Bool
  private let lost: @Sendable () -> Void

  /// Datagrams of one `recvmmsg`.
  static let readBatch = 16
  /// Longer ones arrive cut, and so are refused.
  static let slot = 1_280

  private init(
    _ channel: any Channel, _ local: IPEndpoint, isMapped: Bool,
    lost: @escaping @Sendable () -> Void
  ) {
    self.channel = channel
    localAddress = local
    self.isMapped = isMapped
    self.lost = lost
  }

  /// Opens the socket. `[::]` takes IPv4 as well.
  ///
  /// - Parameters:
  ///   - onLost: called for each datagram that the kernel does not take.
  ///   - onReceive: called on the socket's event loop with all that one read brought.
  public static func bind(
    to address: IPEndpoint, on loop: any EventLoop,
    onLost: @escaping @Sendable () -> Void = {},
    onReceive: @escaping @Sendable ([ReceivedDatagram]) -> Void
  ) async throws(NetworkError) -> DatagramEndpoint {
    let channel = try await DatagramBootstrap.bind(address, on: loop, lost: onLost) {
      channel, writer in
      let options = channel.syncOptions
      try options?.setOption(.datagramVectorReadMessageCount, value: readBatch)
      try options?.setOption(
        .recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: readBatch * slot))
      let handlers: [any ChannelHandler] = [writer, DatagramHandler(onReceive: onReceive)]
      try channel.pipeline.syncOperations.addHandlers(handlers)
    }
    let local = channel.localAddress.flatMap { IPEndpoint($0) } ?? address
    // Port 0 was a request; the address stays as asked.
    let bound = IPEndpoint(address.address, port: local.port)
    return DatagramEndpoint(
      channel, bound, isMapped: address.address.family == .v6, lost: onLost)
  }

  /// Sends, or loses what the kernel does not take.
  public func send(_ datagrams: [OutgoingDatagram]) {
    guard !datagrams.isEmpty else { return }
    if channel.eventLoop.inEventLoop {
      sendNow(datagrams)
    } else {
      channel.eventLoop.execute { self.sendNow(datagrams) }
    }
  }

  public func close() async {
    try? await channel.close().get()
  }

  private func sendNow(_ datagrams: [OutgoingDatagram]) {
    for datagram in datagrams {
      guard isMapped || datagram.to.address.family == .v4,
        let address = try? datagram.to.socketAddress(mapped: isMapped)
      else {
        lost()
        continue
      }
      channel.write(
        AddressedEnvelope(
          remoteAddress: address, data: channel.allocator.buffer(bytes: datagram.bytes)),
        promise: nil)
    }
  }
}

private final class DatagramHandler: ChannelInboundHandler {
  typealias InboundIn = AddressedEnvelope<ByteBuffer>

  private let onReceive: @Sendable ([ReceivedDatagram]) -> Void
  private var batch: [ReceivedDatagram] = []

  init(onReceive: @escaping @Sendable ([ReceivedDatagram]) -> Void) {
    self.onReceive = onReceive
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let envelope = unwrapInboundIn(data)
    guard let from = IPEndpoint(envelope.remoteAddress) else { return }
    // Copied, so that the buffer goes back to its pool at once.
    batch.append(ReceivedDatagram(from: from, bytes: Array(envelope.data.readableBytesView)))
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    guard !batch.isEmpty else { return }
    let all = batch
    batch.removeAll(keepingCapacity: true)
    onReceive(all)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // A neighbour's "port unreachable" and the like: of no use, and never a reason to close.
  }
}
