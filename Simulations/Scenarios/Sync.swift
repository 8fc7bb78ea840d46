internal import Base
internal import Peer
internal import Replication
internal import Simulator

extension Scenario {
  /// Two peers that hold 100,000 changesets differ in d of them: what evening out costs, beside the
  /// changesets themselves.
  static let sync = Scenario(
    name: "sync", summary: "d = 1, 10, 100 and 1,000 differences in 100,000 changesets", nodes: 2
  ) { parameters in
    let fleet = Fleet.pair(parameters, "sync")
    for differences in [1, 10, 100, 1_000] {
      let bytes = fleet.evenOut(differences)
      let allowed = differences * 63 + 256
      if bytes > allowed {
        fleet.violate("\(differences) differences took \(bytes) bytes, \(allowed) are allowed")
      }
      fleet.noteSync(differences, bytes, allowed: allowed)
    }
    return fleet
  }

  /// One of the two lies in its sketches, so that ranges have to be compared: that may cost twice what
  /// ranges alone do.
  static let poison = Scenario(
    name: "poison", summary: "a peer's sketches lead nowhere; ranges of 100,000 even it out",
    nodes: 2
  ) { parameters in
    let fleet = Fleet.pair(parameters, "poison")
    for differences in [1, 10, 100, 1_000] {
      fleet.lie(Fleet.silent)
      let ranges = fleet.evenOut(differences)
      for (lie, isNoticed) in [(Fleet.garbled, true), (Fleet.crowded(by: differences), false)] {
        fleet.lie(lie)
        let before = fleet.recorder.fallbacks
        let bytes = fleet.evenOut(differences)
        if isNoticed, fleet.recorder.fallbacks == before { fleet.violate("a lie was not noticed") }
        if bytes > 2 * ranges {
          fleet.violate("\(differences) differences took \(bytes) bytes, ranges alone \(ranges)")
        }
        fleet.noteSync(differences, bytes, allowed: 2 * ranges)
      }
    }
    return fleet
  }
}

extension Fleet {
  fileprivate static func pair(_ parameters: Scenario.Parameters, _ name: String) -> Fleet {
    var parameters = parameters
    parameters.nodes = 2
    let fleet = Fleet(name, parameters, common: Int(parameters.seconds ?? 100_000))
    fleet.settle(extra: .seconds(10))
    return fleet
  }

  /// Lets the two differ in so many changesets, a third of them on the first; the bytes that it took
  /// to find them.
  fileprivate func evenOut(_ differences: Int) -> Int {
    simulation.partition { $0 }
    run(for: .seconds(30))
    let round = recorder.sessions.count
    for number in 0..<differences {
      let change = change("slice/d\(round)-\(number)", ["cidr": "10.1.0.0/16"])
      simulation.handle(.submitted([change], ticket: 0), at: number % 3 == 0 ? 0 : 1)
    }
    run(for: .seconds(5))
    let before = recorder.reconciliationBytes
    simulation.heal()
    func digest(_ index: Int) -> SetDigest? {
      simulation.machines[index].process?.peer.state.digest(.clusterset)
    }
    let took = time(within: .seconds(120)) { digest(0) == digest(1) }
    run(for: .seconds(10))
    if took == nil { violate("\(differences) differences were not evened out") }
    note(times: took.map { [$0] } ?? [])
    return recorder.reconciliationBytes - before
  }

  fileprivate func noteSync(_ differences: Int, _ bytes: Int, allowed: Int) {
    figures.syncDifferences.append(differences)
    figures.syncBytes.append(bytes)
    figures.syncBytesAllowed.append(allowed)
  }

  // MARK: Lies

  /// What is told in place of these symbols.
  typealias Lie = @Sendable ([CodedSymbol], inout SymbolsWindow) -> [CodedSymbol]

  /// The second peer tells altered symbols from now on, and never asks itself.
  fileprivate func lie(_ lie: @escaping Lie) {
    simulation.machines[1].tamper = { message in
      switch message {
      case .sync(.symbolsRequest), .sync(.rangesRequest): return nil
      case .sync(.symbols(var window)):
        let symbols = SymbolCoding.unpack(
          window.packed, offset: window.offset, setCount: window.setCount,
          limit: SyncLimits.windowSymbols)
        let told = lie(symbols ?? [], &window)
        window.packed = SymbolCoding.pack(told, offset: window.offset, setCount: window.setCount)
        return .sync(.symbols(window))
      default: return message
      }
    }
  }

  /// Nothing: ranges are compared at once.
  fileprivate static let silent: Lie = { _, _ in [] }

  /// Every fourth symbol has a word that is none: the sketch never comes out even.
  fileprivate static let garbled: Lie = { symbols, window in
    symbols.enumerated().map { place, symbol in
      var symbol = symbol
      let number = window.offset + place
      if number % 4 == 3 { symbol.word ^= 0x9e37_79b9_7f4a_7c15 &* UInt64(number) }
      return symbol
    }
  }

  /// As many changesets more as there are differences, which nobody has.
  fileprivate static func crowded(by count: Int) -> Lie {
    var words = SeededGenerator(seed: UInt64(count))
    let invented = (0..<count).map { _ in words.next() }
    return { symbols, window in
      var sketch = SketchPrefix()
      sketch.grow(to: window.offset + symbols.count, over: invented)
      window.setCount += count
      return zip(symbols, sketch.symbols.dropFirst(window.offset)).map { mine, theirs in
        CodedSymbol(
          word: mine.word ^ theirs.word, checksum: mine.checksum ^ theirs.checksum,
          count: mine.count + theirs.count)
      }
    }
  }
}
