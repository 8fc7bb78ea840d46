import Testing

@testable import Base

@Suite struct RosterTests {
  private func ids(_ count: Int) -> [NodeID] {
    var rng = SeededGenerator(seed: 3)
    return (0..<count).map { _ in Digest(words: (rng.next(), rng.next(), rng.next(), rng.next())) }
  }

  @Test(arguments: [0, 1, 2, 3, 64, 1_000])
  func everybodyIsFound(count: Int) {
    let all = ids(count)
    let roster = Roster(all + all)
    #expect(roster.ids == all.sorted())
    for (place, id) in roster.ids.enumerated() {
      #expect(roster.place(of: id) == place)
      #expect(roster.place(prefix: id.words.0) == place)
      #expect(roster.insertionPlace(of: id) == place)
    }
    for stranger in ids(count + 50).suffix(50) {
      #expect(roster.place(of: stranger) == nil)
      let before = roster.ids.filter { $0 < stranger }.count
      #expect(roster.insertionPlace(of: stranger) == before)
    }
  }

  /// Keys chosen so that their hashes begin alike make it slower, not wrong.
  @Test func crowdedBeginnings() {
    let all = (0..<200).map { Digest(words: (7, $0, 0, 0)) } + [.zero]
    let roster = Roster(all)
    for id in all { #expect(roster.place(of: id).map { roster.ids[$0] } == id) }
    #expect(roster.place(prefix: 7) == 1)
    #expect(roster.insertionPlace(ofPrefix: 8) == 201)
  }
}

@Suite struct ChunkedArrayTests {
  @Test func behavesLikeAnArray() {
    var array: [Int] = []
    var chunked = ChunkedArray<Int>()
    for n in 0..<1_000 {
      array.append(n)
      chunked.append(n)
      array[n / 2] += n
      chunked[n / 2] += n
    }
    #expect(Array(chunked) == array)
    let copy = chunked
    chunked[500] = -1
    #expect(Array(copy) == array)
    #expect(chunked[500] == -1)
    #expect(chunked.indices == array.indices)
  }
}
