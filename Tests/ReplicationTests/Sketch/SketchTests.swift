import Base
import Testing

@testable import Replication

@Suite("Rateless sketch")
struct SketchTests {
  static func words(_ count: Int, using rng: inout SeededGenerator) -> [UInt64] {
    (0..<count).map { _ in rng.next() }
  }

  static func prefix(_ words: [UInt64], length: Int) -> SketchPrefix {
    var prefix = SketchPrefix()
    prefix.grow(to: length, over: words)
    return prefix
  }

  /// Streams windows as a session does; `nil` where the cap came first.
  static func reconcile(_ remote: [UInt64], _ local: [UInt64]) -> SketchDecoder? {
    var (theirs, ours) = (prefix(remote, length: 8), prefix(local, length: 8))
    var decoder = SketchDecoder()
    while decoder.status == .undecided {
      guard
        let window = SketchPace.nextWindow(
          count: decoder.count, estimate: decoder.estimatedDifference)
      else { return nil }
      let range = decoder.count..<decoder.count + window
      theirs.grow(to: range.upperBound, over: remote)
      ours.grow(to: range.upperBound, over: local)
      decoder.append(remote: Array(theirs.symbols[range]), local: ours.symbols[range])
    }
    return decoder.status == .decoded ? decoder : nil
  }

  @Test("a difference is decoded exactly, whatever its size and its sides")
  func decodesExactly() {
    var rng = SeededGenerator(seed: 1)
    for d in [0, 1, 2, 3, 7, 10, 33, 100, 500, 2_000] {
      for _ in 0..<(d < 50 ? 50 : 3) {
        let common = Self.words(Int.random(in: 0...300, using: &rng), using: &rng)
        let split = Int.random(in: 0...d, using: &rng)
        let theirs = Self.words(split, using: &rng)
        let ours = Self.words(d - split, using: &rng)
        let decoder = Self.reconcile(common + theirs, common + ours)
        #expect(decoder?.remoteOnly.sorted() == theirs.sorted(), "d = \(d)")
        #expect(decoder?.localOnly.sorted() == ours.sorted(), "d = \(d)")
      }
    }
  }

  @Test("symbols per difference are those of the paper")
  func overhead() {
    var rng = SeededGenerator(seed: 2)
    for (d, bound) in [(10, 2.1), (100, 1.6), (1_000, 1.45)] {
      var used = 0
      let runs = 20
      for _ in 0..<runs {
        let words = Self.words(d, using: &rng)
        let length = 3 * d
        let (theirs, ours) = (Self.prefix(words, length: length), Self.prefix([], length: length))
        var decoder = SketchDecoder()
        while decoder.status == .undecided, decoder.count < length {
          let next = decoder.count..<decoder.count + 1
          decoder.append(
            remote: Array(theirs.symbols[next]),
            local: ours.symbols.isEmpty ? [CodedSymbol()] : ours.symbols[next])
        }
        #expect(decoder.status == .decoded)
        used += decoder.count
      }
      let mean = Double(used) / Double(runs * d)
      #expect(mean < bound, "d = \(d): \(mean)")
    }
  }

  @Test("a prefix kept by changes equals one made at once")
  func incremental() {
    var rng = SeededGenerator(seed: 3)
    var held = Set(Self.words(500, using: &rng))
    var prefix = Self.prefix(held.sorted(), length: 300)
    for _ in 0..<2_000 {
      if Bool.random(using: &rng), let word = held.min() {
        held.remove(word)
        prefix.remove(word)
      } else {
        let word = rng.next()
        held.insert(word)
        prefix.insert(word)
      }
    }
    prefix.grow(to: 2_000, over: held.sorted())
    #expect(prefix.symbols == Self.prefix(held.sorted(), length: 2_000).symbols)
  }

  @Test("the estimate of the difference is near after 64 symbols")
  func estimate() {
    var rng = SeededGenerator(seed: 4)
    for d in [20, 200, 2_000] {
      for share in [0, d / 2, d] {
        let (theirs, ours) = (Self.words(share, using: &rng), Self.words(d - share, using: &rng))
        var decoder = SketchDecoder()
        decoder.append(
          remote: Array(Self.padded(theirs, 64)), local: Self.padded(ours, 64)[...])
        #expect((d / 3...3 * d).contains(decoder.estimatedDifference), "\(d), \(share)")
      }
    }
  }

  static func padded(_ words: [UInt64], _ length: Int) -> [CodedSymbol] {
    Array(prefix(words, length: length).symbols.prefix(length))
  }

  @Test("a packed window is read back, in about 14 bytes a symbol")
  func coding() throws {
    var rng = SeededGenerator(seed: 5)
    let words = Self.words(10_000, using: &rng)
    let symbols = Self.prefix(words, length: 512).symbols
    for window in [0..<8, 8..<100, 100..<512, 0..<0] {
      let packed = SymbolCoding.pack(
        symbols[window], offset: window.lowerBound, setCount: words.count)
      let back = SymbolCoding.unpack(
        packed, offset: window.lowerBound, setCount: words.count, limit: window.count)
      #expect(back == Array(symbols[window]))
      #expect(packed.count <= 15 * window.count)
      if !window.isEmpty {
        #expect(
          SymbolCoding.unpack(
            packed, offset: window.lowerBound, setCount: words.count, limit: window.count - 1)
            == nil)
        #expect(
          SymbolCoding.unpack(
            Array(packed.dropLast()), offset: window.lowerBound, setCount: words.count,
            limit: window.count) == nil)
      }
    }
    #expect(SymbolCoding.unpack([], offset: -1, setCount: 1, limit: 1) == nil)
    #expect(SymbolCoding.unpack([], offset: 0, setCount: -1, limit: 1) == nil)
    #expect(SymbolCoding.unpack([], offset: 0, setCount: .max, limit: 1) == nil)
  }
}

@Suite("Hostile sketches")
struct HostileSketchTests {
  @Test("random bytes never trap, and what is unpacked is within bounds")
  func garbage() {
    var rng = SeededGenerator(seed: 6)
    for _ in 0..<20_000 {
      let bytes = (0..<Int.random(in: 0...200, using: &rng)).map { _ in
        UInt8.random(in: 0...255, using: &rng)
      }
      let setCount = Int.random(in: 0...1_000_000, using: &rng)
      guard
        let symbols = SymbolCoding.unpack(bytes, offset: 3, setCount: setCount, limit: 100)
      else { continue }
      #expect(symbols.count <= 100)
      #expect(symbols.allSatisfy { (0...Int64(setCount)).contains($0.count) })
    }
  }

  @Test("symbols that contradict themselves end the decoding, with bounded work")
  func poison() {
    var rng = SeededGenerator(seed: 7)
    for round in 0..<300 {
      var decoder = SketchDecoder()
      let word = rng.next()
      let symbols = (0..<400).map { _ in
        // Symbols that look pure: the same word over and over, or another each time.
        let word = round.isMultiple(of: 2) ? word : rng.next()
        return CodedSymbol(
          word: word, checksum: SymbolIndices.checksum(word),
          count: Bool.random(using: &rng) ? 1 : -1)
      }
      let none = [CodedSymbol](repeating: CodedSymbol(), count: symbols.count)
      decoder.append(remote: symbols, local: none[...])
      #expect(decoder.status != .decoded)
      #expect(decoder.remoteOnly.count + decoder.localOnly.count <= decoder.count)
    }
  }

  @Test("a flipped bit anywhere is never taken for another difference")
  func flippedBit() {
    var rng = SeededGenerator(seed: 8)
    let common = SketchTests.words(200, using: &rng)
    let extra = SketchTests.words(6, using: &rng)
    let (theirs, ours) = (
      SketchTests.padded(common + extra, 24), SketchTests.padded(common, 24)
    )
    for _ in 0..<2_000 {
      var poisoned = theirs
      let at = Int.random(in: 0..<poisoned.count, using: &rng)
      switch Int.random(in: 0..<3, using: &rng) {
      case 0: poisoned[at].word ^= 1 << UInt64.random(in: 0..<64, using: &rng)
      case 1: poisoned[at].checksum ^= 1 << UInt32.random(in: 0..<32, using: &rng)
      default: poisoned[at].count += Bool.random(using: &rng) ? 1 : -1
      }
      var decoder = SketchDecoder()
      decoder.append(remote: poisoned, local: ours[...])
      #expect(decoder.status != .decoded)
    }
  }

  @Test("extreme counts neither overflow nor inflate the estimate beyond its bound")
  func extremeCounts() {
    var decoder = SketchDecoder()
    let extreme = (0..<64).map { _ in
      CodedSymbol(word: 1, checksum: 2, count: Int64(SyncLimits.setCount))
    }
    let none = [CodedSymbol](repeating: CodedSymbol(count: -Int64(SyncLimits.setCount)), count: 64)
    decoder.append(remote: extreme, local: none[...])
    #expect(decoder.estimatedDifference <= SyncLimits.setCount)
    #expect(SketchPace.isHopeless(estimate: decoder.estimatedDifference, of: 100_000))
    #expect(SketchPace.nextWindow(count: 32_768, estimate: .max) == nil)
  }

  @Test("windows stay within the cap of 4 d + 64")
  func cap() {
    for estimate in [1, 10, 1_000, 1_000_000] {
      var count = 0
      while let window = SketchPace.nextWindow(count: count, estimate: estimate) {
        #expect((1...SyncLimits.windowSymbols).contains(window))
        count += window
      }
      #expect(count <= min(SyncLimits.sketchSymbols, 4 * estimate + 64))
    }
  }
}
