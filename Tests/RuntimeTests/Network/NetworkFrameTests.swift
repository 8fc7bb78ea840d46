import Base
import NIOCore
import Testing

@testable import Runtime

@Suite("Stream frames")
struct NetworkFrameTests {
  private func roundTrip(_ payload: [UInt8]) throws -> (decoded: [UInt8]?, size: Int) {
    var buffer = ByteBuffer()
    StreamFrame.encode(payload, into: &buffer)
    let size = buffer.readableBytes
    return (try StreamFrame.decode(from: &buffer), size)
  }

  @Test("frames come out as they went in", arguments: [0, 1, 1_024, 1_025, 70_000, 1 << 20])
  func roundTrips(_ count: Int) throws {
    var rng = SeededGenerator(seed: 1)
    let noise = (0..<count).map { _ in UInt8.random(in: 0...255, using: &rng) }
    let text = [UInt8](repeating: 7, count: count)
    #expect(try roundTrip(noise).decoded == noise)
    let (decoded, size) = try roundTrip(text)
    #expect(decoded == text)
    if count > StreamFrame.compressedAbove { #expect(size < count / 10) }
  }

  @Test("a frame waits for its last byte")
  func partial() throws {
    var whole = ByteBuffer()
    StreamFrame.encode([UInt8](repeating: 1, count: 5_000), into: &whole)
    for count in 0..<whole.readableBytes {
      var part = try #require(whole.getSlice(at: 0, length: count))
      #expect(try StreamFrame.decode(from: &part) == nil)
      #expect(part.readableBytes == count)
    }
  }

  @Test("lengths above the limit are refused by the header alone")
  func limits() {
    var buffer = ByteBuffer(integer: UInt32(StreamFrame.maximumBytes + 1))
    buffer.writeInteger(UInt8(0))
    #expect(throws: WireError.overLimit("frame")) { try StreamFrame.decode(from: &buffer) }
    var flags = ByteBuffer(integer: UInt32(3))
    flags.writeInteger(UInt8(9))
    #expect(throws: WireError.malformed("frame flags")) { try StreamFrame.decode(from: &flags) }
  }

  @Test("a small frame cannot unfold into a large one")
  func bomb() {
    var bomb = ByteBuffer()
    StreamFrame.encode([UInt8](repeating: 0, count: 1 << 20), into: &bomb)
    #expect(bomb.readableBytes < 8_192)
    #expect(throws: WireError.overLimit("frame")) {
      try StreamFrame.decode(from: &bomb, limit: 256 << 10)
    }
  }

  @Test("any bytes are refused or wait, without a trap")
  func garbage() {
    var rng = SeededGenerator(seed: 4)
    for _ in 0..<20_000 {
      var buffer = ByteBuffer()
      let count = Int.random(in: 0...64, using: &rng)
      buffer.writeInteger(UInt32.random(in: 0...80, using: &rng))
      buffer.writeInteger(UInt8.random(in: 0...2, using: &rng))
      if Bool.random(using: &rng) {
        buffer.writeInteger(UInt32.random(in: 0...2_000_000, using: &rng))
      }
      for _ in 0..<count { buffer.writeInteger(UInt8.random(in: 0...255, using: &rng)) }
      _ = try? StreamFrame.decode(from: &buffer)
    }
  }
}
