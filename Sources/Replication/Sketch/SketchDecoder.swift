/// Recovers the difference of two sets from the coded symbols of one and those of the other, by
/// peeling: a symbol of a single word gives that word away, which is then taken out of the others.
///
/// Symbols come from outside: whatever they say, no more words are recovered than there are symbols,
/// each costs O(log m), and nothing traps.
public struct SketchDecoder: Sendable {
  public enum Status: Hashable, Sendable {
    /// Ask for more symbols.
    case undecided
    /// The difference is known, in full.
    case decoded
    /// The symbols contradict themselves; more of them will not help.
    case contradictory
  }

  public private(set) var status = Status.undecided
  /// Words in the remote set only, and in the local set only, in the order they were found.
  public private(set) var remoteOnly: [UInt64] = []
  public private(set) var localOnly: [UInt64] = []

  private var cells = Cells()
  private var recovered: [Recovered] = []
  private var known: Set<UInt64> = []
  private var estimator = DifferenceEstimator()

  private struct Recovered: Sendable {
    var word: UInt64
    var checksum: UInt32
    var count: Int64
    var indices: SymbolIndices
  }

  public init() {}

  /// How many symbols were looked at.
  public var count: Int { cells.symbols.count }

  /// About how many words differ, from the counts alone.
  public var estimatedDifference: Int { estimator.estimate }

  /// Takes the next window: symbols `count..<count + remote.count` of both sets, one for one.
  public mutating func append(remote: [CodedSymbol], local: ArraySlice<CodedSymbol>) {
    guard status == .undecided, remote.count == local.count, !remote.isEmpty,
      count + remote.count <= SyncLimits.sketchSymbols
    else { return }
    let start = count
    for (theirs, ours) in zip(remote, local) {
      var symbol = theirs
      symbol.subtract(ours)
      estimator.add(symbol.count, index: count)
      cells.append(symbol)
    }
    for i in recovered.indices { cells.takeOut(&recovered[i]) { _ in } }
    peel(Array(start..<count))
    if status == .undecided, cells.nonzero == 0 { status = .decoded }
  }

  private mutating func peel(_ candidates: [Int]) {
    var stack = candidates
    while let index = stack.popLast() {
      let symbol = cells.symbols[index]
      guard symbol.count == 1 || symbol.count == -1,
        symbol.checksum == SymbolIndices.checksum(symbol.word)
      else { continue }
      // An honest sketch gives a word once, and one for each symbol at most.
      guard recovered.count < count, known.insert(symbol.word).inserted else {
        status = .contradictory
        return
      }
      var found = Recovered(
        word: symbol.word, checksum: symbol.checksum, count: symbol.count,
        indices: SymbolIndices(word: symbol.word))
      cells.takeOut(&found) { stack.append($0) }
      recovered.append(found)
      if found.count > 0 { remoteOnly.append(found.word) } else { localOnly.append(found.word) }
    }
  }

  /// The subtracted symbols, less the words recovered from them.
  private struct Cells: Sendable {
    private(set) var symbols: [CodedSymbol] = []
    /// How many still say something.
    private(set) var nonzero = 0

    mutating func append(_ symbol: CodedSymbol) {
      symbols.append(symbol)
      if !symbol.isZero { nonzero += 1 }
    }

    /// Removes a word from the symbols that it has not been removed from yet.
    mutating func takeOut(_ item: inout Recovered, touched: (Int) -> Void) {
      while item.indices.index < symbols.count {
        let index = item.indices.index
        let wasZero = symbols[index].isZero
        symbols[index].add(item.word, checksum: item.checksum, times: 0 &- item.count)
        switch (wasZero, symbols[index].isZero) {
        case (true, false): nonzero += 1
        case (false, true): nonzero -= 1
        default: break
        }
        let left = symbols[index].count
        if left == 1 || left == -1 { touched(index) }
        item.indices.advance()
      }
    }
  }
}

/// How many words differ, judged by the counts of subtracted symbols. Symbol 0 counts every word, so
/// it gives those of one side less those of the other; around their share of that, the counts of
/// the others scatter with a variance of d rho (1 - rho), whatever the signs.
struct DifferenceEstimator: Sendable {
  private var balance = 0.0
  private var scatter = 0.0
  private var weight = 0.0

  mutating func add(_ count: Int64, index: Int) {
    if index == 0 {
      balance = Double(count)
    } else {
      let rho = 1 / (1 + Double(index) / 2)
      let residual = Double(count) - rho * balance
      scatter += residual * residual
      weight += rho * (1 - rho)
    }
  }

  var estimate: Int {
    let scattered = weight > 0 ? scatter / weight : 0
    let best = max(balance.magnitude, scattered)
    return best < Double(SyncLimits.setCount) ? Int(best) + 1 : SyncLimits.setCount
  }
}
