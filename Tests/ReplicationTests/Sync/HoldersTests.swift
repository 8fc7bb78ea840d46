import Base
import Testing

@testable import Replication

@Suite struct HoldersTests {
  private let ids = (0..<200).map { Digest(words: ($0 &* 0x9e37_79b9_7f4a_7c15, $0, 0, 0)) }

  @Test func comeAndGo() {
    var holders = Holders(roster: Roster(ids))
    #expect(holders.count == 0)
    for id in ids.prefix(150) { holders.insert(SyncPeer(id: id, roundTrip: .milliseconds(3))) }
    holders.insert(SyncPeer(id: ids[0]))
    #expect(holders.count == 150)
    #expect(holders.roundTrip(ids[0]) == nil, "what is known is what was said last")
    #expect(holders.roundTrip(ids[1]) == .milliseconds(3))
    #expect(holders.roundTrip(ids[199]) == nil)
    holders.remove(ids[7])
    holders.remove(ids[7])
    #expect(holders.count == 149)
    #expect(!holders.contains(ids[7]))
    #expect(holders.map(\.id) == ids.prefix(150).filter { $0 != ids[7] }.sorted())
  }

  @Test func strangersAreTakenIn() {
    var holders = Holders([SyncPeer(id: ids[3], roundTrip: .microseconds(20))])
    holders.insert(SyncPeer(id: ids[4], roundTrip: .seconds(60)))
    #expect(holders.map(\.id) == [ids[3], ids[4]].sorted())
    #expect(holders.roundTrip(ids[3]) == .microseconds(100), "nothing is nearer")
    #expect(holders.roundTrip(ids[4]) == .nanoseconds(6_553_500_000), "or farther")
  }

  @Test func anyoneIsDrawnWhereFewHoldAScope() {
    var holders = Holders(roster: Roster(ids))
    var rng = SeededGenerator(seed: 1)
    #expect(holders.random(using: &rng) == nil)
    for id in [ids[1], ids[100], ids[150]] { holders.insert(SyncPeer(id: id)) }
    var drawn: [NodeID: Int] = [:]
    for _ in 0..<300 {
      if let id = holders.random(using: &rng) { drawn[id, default: 0] += 1 }
    }
    #expect(drawn.keys.sorted() == [ids[1], ids[100], ids[150]].sorted())
    #expect(drawn.values.allSatisfy { $0 > 60 })
  }
}
