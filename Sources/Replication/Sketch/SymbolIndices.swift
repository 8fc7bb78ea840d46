/// The coded symbols that a word belongs to: index 0, then ever sparser, index i with probability
/// rho(i) = 1 / (1 + i / 2) (Yang, Gilad and Alizadeh, SIGCOMM 2024, section 4.2, with their closed form
/// for the skips; alpha = 0.5). A pure function of the word, so that every peer agrees.
struct SymbolIndices {
  /// The next index the word belongs to; never beyond `Self.end`.
  private(set) var index = 0
  private var state: UInt64

  /// No sketch is near so long: the walk stops here instead of overflowing.
  static let end = 1 << 40

  init(word: UInt64) {
    // Odd, so that the multiplicative generator never reaches zero.
    state = Self.mix(word ^ 0x5354_4152_4c49_4e47) | 1
  }

  mutating func advance() {
    guard index < Self.end else { return }
    state &*= 0xda94_2042_e4dd_58b5
    // Division, root and conversion are exact in IEEE 754, so the same on every machine.
    let spread = 4_294_967_296.0 / (Double(state) + 1).squareRoot() - 1
    let distance = (Double(index) + 1.5) * spread
    guard distance < Double(Self.end) else {
      index = Self.end
      return
    }
    let whole = Int(distance)
    index = min(Self.end, index + max(1, Double(whole) < distance ? whole + 1 : whole))
  }

  /// Tells whether a symbol holds a single word. 32 bits: a decoding of d differences looks at about
  /// d ln d candidates, so a symbol of several words passes for a single one with less than 1e-5 at
  /// d = 1,000, and then the decoding fails and the ranges take over: no wrong answer comes of it.
  static func checksum(_ word: UInt64) -> UInt32 {
    UInt32(truncatingIfNeeded: mix(word ^ 0x6368_6563_6b73_756d) >> 32)
  }

  /// SplitMix64's finalizer.
  private static func mix(_ word: UInt64) -> UInt64 {
    var z = word &+ 0x9e37_79b9_7f4a_7c15
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
