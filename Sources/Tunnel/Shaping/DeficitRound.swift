/// Deficit round robin (Shreedhar and Varghese 1995) over queues with weights: whoever is ready and has
/// something left of his turn goes on, then the next one's turn begins. What a turn overdraws is taken
/// from the following ones, so that the size of a packet need not be known beforehand.
struct DeficitRound: Sendable {
  private var deficits: [Int]
  private var cursor = 0

  init(count: Int) {
    deficits = Array(repeating: 0, count: count)
  }

  /// What is left of a turn.
  subscript(_ index: Int) -> Int { deficits[index] }

  mutating func take(_ index: Int, _ bytes: Int) {
    deficits[index] -= bytes
  }

  /// Whose turn it is; at least one is ready, all weights are 1 or more.
  mutating func next(isReady: (Int) -> Bool, weight: (Int) -> Int) -> Int {
    while !isReady(cursor) || deficits[cursor] <= 0 {
      // Who has nothing to say saves nothing up.
      if !isReady(cursor) { deficits[cursor] = min(0, deficits[cursor]) }
      cursor = cursor + 1 == deficits.count ? 0 : cursor + 1
      if isReady(cursor) {
        let quantum = weight(cursor) * TunnelLimits.quantum
        deficits[cursor] = min(deficits[cursor] + quantum, quantum)
      }
    }
    return cursor
  }
}
