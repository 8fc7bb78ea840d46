import Base

/// Structure-blind mutations of valid inputs, after libFuzzer's: most hostile input is nearly valid.
struct Mutator {
  var rng: SeededGenerator
  static let interesting: [UInt8] = [0, 1, 2, 0x0f, 0x10, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xfe, 0xff]

  mutating func mutate(_ corpus: [[UInt8]]) -> [UInt8] {
    var bytes = corpus.isEmpty ? [] : corpus[Int.random(in: 0..<corpus.count, using: &rng)]
    switch UInt8.random(in: 0..<16, using: &rng) {
    case 0: return (0..<Int.random(in: 0...600, using: &rng)).map { _ in byte() }
    case 1: splice(&bytes, corpus)
    default: break
    }
    for _ in 0..<Int.random(in: 1...6, using: &rng) { step(&bytes) }
    return bytes
  }

  private mutating func byte() -> UInt8 {
    Bool.random(using: &rng)
      ? UInt8.random(in: 0...255, using: &rng)
      : Self.interesting[Int.random(in: 0..<Self.interesting.count, using: &rng)]
  }

  private mutating func splice(_ bytes: inout [UInt8], _ corpus: [[UInt8]]) {
    guard let other = corpus.randomElement(using: &rng) else { return }
    let head = Int.random(in: 0...bytes.count, using: &rng)
    let tail = Int.random(in: 0...other.count, using: &rng)
    bytes = Array(bytes[..<head] + other[tail...])
  }

  private mutating func step(_ bytes: inout [UInt8]) {
    guard !bytes.isEmpty else { return bytes.append(byte()) }
    let at = Int.random(in: 0..<bytes.count, using: &rng)
    switch UInt8.random(in: 0..<8, using: &rng) {
    case 0: bytes[at] = byte()
    case 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &rng)
    case 2: bytes[at] = bytes[at] &+ 1
    case 3: bytes[at] = bytes[at] &- 1
    case 4: bytes.insert(byte(), at: at)
    case 5: bytes.remove(at: at)
    case 6: bytes.removeLast(bytes.count - at)
    default:
      let length = min(Int.random(in: 1...16, using: &rng), bytes.count - at)
      bytes.insert(contentsOf: bytes[at..<at + length], at: at)
    }
  }
}
