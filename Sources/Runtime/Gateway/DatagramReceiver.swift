internal import CLinux

/// Buffers and message headers for receiving, laid out once: each message is one datagram, or many of
/// one size that the kernel joined.
///
/// Unchecked: it belongs to the one thread that made it. It is `Sendable` only so that it may be used
/// while that thread holds a plane's lock.
struct DatagramReceiver: @unchecked Sendable {
  private let handle: OpaquePointer

  /// `nil` out of memory.
  init?() {
    guard let handle = starling_receiver_create(UInt32(GatewayLimits.messages)) else { return nil }
    self.handle = handle
  }

  func destroy() {
    starling_receiver_destroy(handle)
  }

  struct Message {
    var bytes: UnsafeMutablePointer<UInt8>
    /// 0 for a message that was longer than its buffer.
    var count: Int
    /// Bytes of each datagram but the last, which may be shorter.
    var segment: Int
    /// The traffic class octet of their outer headers.
    var trafficClass: UInt8
  }

  func message(_ index: Int) -> Message? {
    var (count, segment): (UInt32, UInt32) = (0, 0)
    var octet: UInt8 = 0
    guard let bytes = starling_receiver_message(handle, UInt32(index), &count, &segment, &octet)
    else { return nil }
    return Message(
      bytes: bytes, count: Int(count), segment: Int(segment), trafficClass: octet)
  }

  func source(_ index: Int) -> starling_endpoint {
    var source = starling_endpoint()
    starling_receiver_source(handle, UInt32(index), &source)
    return source
  }

  /// Messages received without waiting, at most `count`, or a negative error code.
  func receive(_ port: TunnelPort, atMost count: Int) -> Int {
    Int(starling_receiver_receive(handle, port.descriptor, UInt32(count)))
  }
}
