import Base
import Foundation
import Testing

@testable import Replication

/// What must hold of every history.
struct HistoryTests {
  static let authority = StandardAuthority(defaultQuota: StateLimits().quota)

  /// `STARLING_PROPERTY_HISTORIES` for longer runs.
  static let histories =
    ProcessInfo.processInfo.environment["STARLING_PROPERTY_HISTORIES"].flatMap(Int.init) ?? 10_000

  static func oracleDifference(
    _ state: ReplicatedState, genesis: Genesis = HistoryGenerator.genesis
  ) -> String? {
    let oracle = CountingOracle(state.heldChangesets, genesis: genesis, authority: authority)
    if state.counting != oracle.counting { return "counting" }
    if state.evidence != oracle.evidence { return "evidence" }
    for scope in HistoryGenerator.scopes {
      let compared = state.compared(scope)
      if Set(compared) != oracle.compared(scope) { return "compared \(scope)" }
      if state.digest(scope) != SetDigest(compared) { return "digest \(scope)" }
      if state.shown(scope) != oracle.view(scope) { return "view \(scope)" }
    }
    return nil
  }

  static func showsForbidden(_ state: ReplicatedState) -> Bool {
    HistoryGenerator.scopes.contains { scope in
      state.registers(scope: scope).contains {
        $0.values.contains { $0.value == HistoryGenerator.forbidden }
      }
    }
  }

  @Test func theIndexAgreesWithTheOracleAfterEveryStep() {
    for seed in 0..<UInt64(max(Self.histories / 20, 1)) {
      var history = HistoryGenerator(seed: seed)
      var difference: String?
      for _ in 0..<Int.random(in: 10...45, using: &history.rng) {
        history.advance { difference = difference ?? Self.oracleDifference($0) }
        if difference != nil { break }
      }
      #expect(difference == nil, "history \(seed)")
    }
  }

  @Test func orderDuplicationAndPartitionDoNotMatter() {
    var tally = Tally()
    for seed in 0..<UInt64(Self.histories) {
      var history = HistoryGenerator(seed: 1_000_000 + seed)
      for _ in 0..<Int.random(in: 10...45, using: &history.rng) {
        history.advance { tally.forbidden += Self.showsForbidden($0) ? 1 : 0 }
      }
      // Newcomers: one is handed everything at once, one a half of it, in orders of their own.
      history.states += [1, 0.5].map { share in
        let part = history.made.filter { _ in history.chance(share) }
        return Self.taken(part, dropping: true, using: &history.rng)
      }
      guard let rounds = history.settle() else {
        Issue.record("history \(seed): peers do not agree")
        continue
      }
      tally.rounds = max(tally.rounds, rounds)
      tally.add(history.states[0])
      let all = Self.taken(history.made, dropping: false, using: &history.rng)
      for scope in HistoryGenerator.scopes {
        let hashes = Set((history.states + [all]).map { $0.viewHash(scope) })
        #expect(hashes.count == 1, "history \(seed): views of \(scope) differ")
        let shown = Set((history.states + [all]).map { $0.shown(scope) })
        #expect(shown.count == 1, "history \(seed): registers of \(scope) differ")
      }
      #expect(Self.oracleDifference(all) == nil, "history \(seed)")
    }
    #expect(tally.forbidden == 0)
    // The histories must be worth something.
    #expect(tally.views > Self.histories / 2)
    #expect(tally.conflicts > Self.histories / 20)
    #expect(tally.evidence > 0 && tally.slices > Self.histories / 20)
    print("\(Self.histories) histories: \(tally)")
  }

  /// A state that gets all these, shuffled, half of them twice.
  ///
  /// - Parameter dropping: `false`: it keeps even what is superseded, so that what it shows is a pure
  ///   function of all that was ever made. One that drops may have to fetch some of it again.
  static func taken(
    _ made: [Changeset], dropping: Bool, using rng: inout SeededGenerator
  ) -> ReplicatedState {
    var limits = StateLimits()
    limits.dropsSuperseded = dropping
    var state = ReplicatedState(
      genesis: HistoryGenerator.genesis, crypto: Fake.crypto, limits: limits)
    var changes = StateChanges()
    let again = made.filter { _ in Bool.random(using: &rng) }
    for changeset in (made + again).shuffled(using: &rng) {
      _ = state.ingest(changeset, now: Fake.now, changes: &changes)
    }
    return state
  }

  struct Tally {
    var views = 0
    var conflicts = 0
    var evidence = 0
    var slices = 0
    var forbidden = 0
    var rounds = 0

    mutating func add(_ state: ReplicatedState) {
      views += state.shown(.clusterset).isEmpty ? 0 : 1
      conflicts += state.conflictCount > 0 ? 1 : 0
      evidence += state.evidence.isEmpty ? 0 : 1
      slices += state.shown(.slice("blue")).isEmpty ? 0 : 1
    }
  }

  /// What a state says of its changes is the difference between before and after.
  @Test func changesTellEverything() {
    for seed in 0..<UInt64(max(Self.histories / 20, 1)) {
      var history = HistoryGenerator(seed: 2_000_000 + seed)
      for _ in 0..<30 { history.advance() }
      var state = ReplicatedState(genesis: HistoryGenerator.genesis, crypto: Fake.crypto)
      var follower = Follower()
      for changeset in history.made.shuffled(using: &history.rng) {
        let before = HistoryGenerator.scopes.map { state.shown($0) }
        var changes = StateChanges()
        _ = state.ingest(changeset, now: Fake.now, changes: &changes)
        follower.follow(changes)
        for (scope, before) in zip(HistoryGenerator.scopes, before) {
          let after = state.shown(scope)
          for path in Set(before.keys).union(after.keys) where before[path] != after[path] {
            #expect(changes.registers.contains(RegisterName(scope: scope, path: path)))
          }
          #expect(follower.compared[scope, default: []] == Set(state.compared(scope)))
        }
        #expect(follower.stored == Set(state.heldChangesets.map(\.id)))
      }
      // What the store would have brings the same state back.
      let stored = history.made.filter { follower.stored.contains($0.id) }
      var again = ReplicatedState(genesis: HistoryGenerator.genesis, crypto: Fake.crypto)
      var changes = StateChanges()
      again.load(stored.shuffled(using: &history.rng), now: Fake.now, changes: &changes)
      for scope in HistoryGenerator.scopes {
        #expect(again.viewHash(scope) == state.viewHash(scope), "history \(seed)")
        #expect(again.compared(scope) == state.compared(scope), "history \(seed)")
      }
      #expect(changes.toStore.isEmpty)
    }
  }

  struct Follower {
    var compared: [Scope: Set<Digest>] = [:]
    var stored: Set<Digest> = []

    mutating func follow(_ changes: StateChanges) {
      for change in changes.compared {
        compared[change.scope, default: []].formUnion(change.inserted)
        compared[change.scope, default: []].subtract(change.removed)
      }
      stored.formUnion(changes.toStore.map(\.id))
      stored.subtract(changes.toForget)
    }
  }
}
