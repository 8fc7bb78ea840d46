internal import CLinux

/// Buffers and message headers for `GatewayLimits.batch` datagrams, laid out once.
///
/// Unchecked: each batch belongs to the one thread that made it. It is `Sendable` only so that it may
/// be used while that thread holds a plane's lock.
struct DatagramBatch: @unchecked Sendable {
  private let handle: OpaquePointer

  /// `nil` out of memory.
  init?() {
    guard
      let handle = starling_batch_create(UInt32(GatewayLimits.batch), UInt32(GatewayLimits.buffer))
    else { return nil }
    self.handle = handle
  }

  func destroy() {
    starling_batch_destroy(handle)
  }

  /// `GatewayLimits.buffer` bytes.
  func bytes(_ index: Int) -> UnsafeMutablePointer<UInt8>? {
    starling_batch_buffer(handle, UInt32(index))
  }

  /// Bytes received; 0 for a datagram that was longer than its buffer.
  func count(_ index: Int) -> Int {
    Int(starling_batch_length(handle, UInt32(index)))
  }

  func source(_ index: Int) -> starling_endpoint {
    var source = starling_endpoint()
    starling_batch_source(handle, UInt32(index), &source)
    return source
  }

  func set(_ index: Int, count: Int, to target: inout starling_endpoint) {
    starling_batch_set(handle, UInt32(index), UInt32(count), &target)
  }

  /// Datagrams received without waiting, or a negative error code.
  func receive(_ port: TunnelPort) -> Int {
    Int(starling_batch_receive(handle, port.descriptor))
  }

  /// Datagrams taken by the kernel from `first` on, or the negative error code of the first.
  func send(_ port: TunnelPort, first: Int, count: Int) -> Int32 {
    starling_batch_send(handle, port.descriptor, UInt32(first), UInt32(count))
  }
}
