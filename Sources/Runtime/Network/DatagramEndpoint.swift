public import Base
internal import NIOConcurrencyHelpers
public import NIOCore
internal import NIOPosix
internal import Synchronization
public import Wire

/// A datagram as it came from the socket: nobody has vouched for it yet.
public struct ReceivedDatagram: Sendable {
  public var from: IPEndpoint
  public var bytes: [UInt8]
}

/// One UDP socket. Reads and writes many datagrams a system call.
public final class DatagramEndpoint: Sendable {
  public let localAddress: IPEndpoint
  private let channel: any Channel
  private let isMapped: Bool
  private let dropped = Atomic<Int>(0)

  /// Datagrams of one `recvmmsg`.
  static let readBatch = 16
  /// Longer ones arrive cut, and so are refused.
  static let slot = 1_280
  /// Bytes that may wait for the kernel; what comes above is dropped, as the network would.
  static let maximumWaiting = 1 << 20

  private init(_ channel: any Channel, _ local: IPEndpoint, isMapped: Bool) {
    self.channel = channel
    localAddress = local
    self.isMapped = isMapped
  }

  /// Opens the socket. `[::]` takes IPv4 as well.
  ///
  /// - Parameter onReceive: called on the socket's event loop with all that one read brought.
  public static func bind(
    to address: IPEndpoint, on loop: any EventLoop,
    onReceive: @escaping @Sendable ([ReceivedDatagram]) -> Void
  ) async throws(NetworkError) -> DatagramEndpoint {
    let watermark = ChannelOptions.Types.WriteBufferWaterMark(
      low: maximumWaiting / 2, high: maximumWaiting)
    let bootstrap = DatagramBootstrap(group: loop)
      .channelOption(.datagramVectorReadMessageCount, value: readBatch)
      .channelOption(
        .recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: readBatch * slot)
      )
      .channelOption(.writeBufferWaterMark, value: watermark)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(DatagramHandler(onReceive: onReceive))
        }
      }
    do {
      let channel = try await bootstrap.bind(to: try address.socketAddress()).get()
      let local = channel.localAddress.flatMap { IPEndpoint($0) } ?? address
      // Port 0 was a request; the address stays as asked.
      let bound = IPEndpoint(address.address, port: local.port)
      return DatagramEndpoint(channel, bound, isMapped: address.address.family == .v6)
    } catch {
      throw NetworkError(error, at: "udp \(address)")
    }
  }

  /// Sends, or drops where the kernel does not keep up.
  public func send(_ datagrams: [OutgoingDatagram]) {
    guard !datagrams.isEmpty else { return }
    if channel.eventLoop.inEventLoop {
      sendNow(datagrams)
    } else {
      channel.eventLoop.execute { self.sendNow(datagrams) }
    }
  }

  /// Datagrams that were dropped before the kernel saw them.
  public var droppedCount: Int { dropped.load(ordering: .relaxed) }

  public func close() async {
    try? await channel.close().get()
  }

  private func sendNow(_ datagrams: [OutgoingDatagram]) {
    for datagram in datagrams {
      guard channel.isWritable, isMapped || datagram.to.address.family == .v4,
        let address = try? datagram.to.socketAddress(mapped: isMapped)
      else {
        dropped.add(1, ordering: .relaxed)
        continue
      }
      channel.write(
        AddressedEnvelope(
          remoteAddress: address, data: channel.allocator.buffer(bytes: datagram.bytes)),
        promise: nil)
    }
    channel.flush()
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
