import Base
import Testing

@testable import Wire

@Suite struct ValueReaderTests {
  private static func random(_ rng: inout SeededGenerator, depth: Int) -> Value {
    switch UInt64.random(in: 0..<(depth < 4 ? 7 : 5), using: &rng) {
    case 0: .null
    case 1: .bool(Bool.random(using: &rng))
    case 2: .integer(Int64.random(in: Int64.min...Int64.max, using: &rng))
    case 3: .string(["", "a", "größer", "🐦"].randomElement(using: &rng) ?? "")
    case 4: .bytes((0..<Int.random(in: 0..<200, using: &rng)).map { UInt8(truncatingIfNeeded: $0) })
    case 5:
      .list((0..<Int.random(in: 0..<5, using: &rng)).map { _ in random(&rng, depth: depth + 1) })
    default:
      .map(
        (0..<Int.random(in: 0..<5, using: &rng)).map {
          Value.Field($0 == 0 ? "" : "field-\($0)", random(&rng, depth: depth + 1))
        })
    }
  }

  @Test func readsWhatGeneratedCodeWrites() throws {
    var rng = SeededGenerator(seed: 7)
    for _ in 0..<2_000 {
      let value = Self.random(&rng, depth: 0)
      #expect(try ValueReader.read(serialized(value.proto)) == value)
    }
  }

  /// What it accepts of damaged bytes, generated code reads alike.
  @Test func agreesWithGeneratedCodeOnWhatItAccepts() throws {
    var rng = SeededGenerator(seed: 11)
    var accepted = 0
    for _ in 0..<20_000 {
      var bytes = serialized(Self.random(&rng, depth: 1).proto)
      guard !bytes.isEmpty else { continue }
      switch UInt64.random(in: 0..<3, using: &rng) {
      case 0:
        bytes[Int.random(in: bytes.indices, using: &rng)] ^=
          1 << UInt8.random(in: 0..<8, using: &rng)
      case 1: bytes.removeLast(Int.random(in: 1...bytes.count, using: &rng))
      default: bytes.insert(UInt8.random(in: 0...255, using: &rng), at: bytes.count / 2)
      }
      guard let value = try? ValueReader.read(bytes) else { continue }
      accepted += 1
      let generated = try from(bytes, ProtoValue.self)
      #expect(try ValueReader.read(serialized(generated)) == value)
    }
    #expect(accepted > 1_000)
  }

  @Test func refusesWhatNoReleaseWrites() {
    let refused: [[UInt8]] = [
      [0x38, 1],  // kind 7
      [0x08, 1, 0x08, 0],  // two kinds
      [0x1a, 2, 0xff, 0xfe],  // no UTF-8
      [0x1a, 5, 0x61],  // longer than the message
      [0x10] + [UInt8](repeating: 0xff, count: 10) + [1],  // number of more than 64 bits
      [0x32, 8, 0x0a, 2, 0x0a, 0, 0x0a, 2, 0x0a, 0],  // a name twice
      [0x2a, 2, 0x12, 0],  // a list with a field 2
    ]
    for bytes in refused { #expect(throws: WireError.self) { try ValueReader.read(bytes) } }
  }
}
