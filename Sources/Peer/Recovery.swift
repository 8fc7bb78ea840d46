internal import Base
internal import Replication

/// Keeps a peer that was restored from a backup from writing before it knows what it wrote since: the
/// counters of its writes would be used twice, for different values.
///
/// A scope is known again when another holder's set is the same as ours, or when nobody else holds it.
struct Recovery: Sendable {
  var known: Set<Scope> = []
}

extension Peer {
  func knowsOwnWrites(_ scope: Scope) -> Bool {
    guard let recovery else { return true }
    return recovery.known.contains(scope) || holders(of: scope).isEmpty
  }

  /// Digests of sets that another peer holds, as it says.
  mutating func recover(_ digests: [ScopeDigest], now: Now, effects: inout [Effect]) {
    guard recovery != nil else { return }
    let same = digests.filter { $0.digest == antiEntropy.digest($0.scope) }.map(\.scope)
    let before = recovery?.known.count
    recovery?.known.formUnion(same)
    guard recovery?.known.count != before else { return }
    publish(now: now, effects: &effects)
    if held.keys.allSatisfy(knowsOwnWrites) {
      recovery = nil
      effects.append(.event(.caughtUp))
    }
  }
}
