internal import Base
internal import Replication

/// Keeps a peer that was restored from a backup from writing before it knows what it wrote since: the
/// counters of its writes would be used twice, for different values.
///
/// A scope is known again when another holder's set is the same as ours, or when nobody else holds it.
struct Recovery: Sendable {
  var known: Set<Scope> = []
  /// It came back as who it is, and with nothing else: whoever may know more is not known to it yet.
  var isBare = false
}

extension Peer {
  /// Whether this peer knows next to nothing and others may know all: what is not in its state may well
  /// be there, so nobody is to act on it.
  public var isBare: Bool { recovery?.isBare == true }

  func knowsOwnWrites(_ scope: Scope) -> Bool {
    guard let recovery else { return true }
    if recovery.known.contains(scope) { return true }
    // That nobody else holds a scope is known only to who knows the others.
    if recovery.isBare, !recovery.known.contains(.clusterset) { return false }
    return holders(of: scope).isEmpty
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
