package import Base
internal import CLZ4
package import NIOCore

/// A frame of a stream: `length (4) | flags (1) | payload`, the length being that of the payload.
///
/// With flag 1 the payload is the original length (4) and an LZ4 block. Both lengths have the same limit,
/// so nothing small unfolds into something large.
package enum StreamFrame {
  package static let maximumBytes = 1 << 20
  static let headerBytes = 5
  /// Shorter ones are not worth the time.
  static let compressedAbove = 1_024
  private static let compressed: UInt8 = 1

  /// - Precondition: at most `maximumBytes`.
  package static func encode(_ payload: [UInt8], into buffer: inout ByteBuffer) {
    if payload.count > compressedAbove, let block = compress(payload) {
      buffer.writeInteger(UInt32(block.count + 4))
      buffer.writeInteger(compressed)
      buffer.writeInteger(UInt32(payload.count))
      buffer.writeBytes(block)
    } else {
      buffer.writeInteger(UInt32(payload.count))
      buffer.writeInteger(UInt8(0))
      buffer.writeBytes(payload)
    }
  }

  /// The next whole frame, `nil` while it is not all there. Throws as soon as its header is wrong.
  package static func decode(
    from buffer: inout ByteBuffer, limit: Int = maximumBytes
  ) throws(WireError) -> [UInt8]? {
    let start = buffer.readerIndex
    guard let length = buffer.getInteger(at: start, as: UInt32.self),
      let flags = buffer.getInteger(at: start + 4, as: UInt8.self)
    else { return nil }
    guard Int(length) <= limit else { throw .overLimit("frame") }
    guard flags <= compressed else { throw .malformed("frame flags") }
    guard buffer.readableBytes >= headerBytes + Int(length) else { return nil }
    buffer.moveReaderIndex(forwardBy: headerBytes)
    guard flags == compressed else { return buffer.readBytes(length: Int(length)) ?? [] }
    guard length >= 4, let original = buffer.readInteger(as: UInt32.self),
      let block = buffer.readBytes(length: Int(length) - 4)
    else { throw .malformed("compressed frame") }
    guard Int(original) <= limit else { throw .overLimit("frame") }
    return try decompress(block, to: Int(original))
  }

  /// `nil` where it would not save an eighth.
  private static func compress(_ payload: [UInt8]) -> [UInt8]? {
    let capacity = payload.count - payload.count / 8
    let block = [UInt8](unsafeUninitializedCapacity: capacity) { target, count in
      count = payload.withUnsafeBytes { source in
        guard let from = source.baseAddress, let to = target.baseAddress else { return 0 }
        return Int(
          LZ4_compress_default(
            from.assumingMemoryBound(to: CChar.self),
            UnsafeMutableRawPointer(to).assumingMemoryBound(to: CChar.self), Int32(payload.count),
            Int32(capacity)))
      }
    }
    return block.isEmpty ? nil : block
  }

  private static func decompress(_ block: [UInt8], to count: Int) throws(WireError) -> [UInt8] {
    let payload = [UInt8](unsafeUninitializedCapacity: max(count, 1)) { target, initialized in
      let written = block.withUnsafeBytes { source -> Int32 in
        guard let from = source.baseAddress, let to = target.baseAddress else { return -1 }
        return LZ4_decompress_safe(
          from.assumingMemoryBound(to: CChar.self),
          UnsafeMutableRawPointer(to).assumingMemoryBound(to: CChar.self), Int32(block.count),
          Int32(count))
      }
      initialized = max(0, Int(written))
    }
    guard payload.count == count else { throw .malformed("compressed frame") }
    return payload
  }
}
