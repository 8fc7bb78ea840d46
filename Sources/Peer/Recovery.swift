internal import Base
internal import Membership
internal import Replication
internal import Slices

/// Keeps a peer that begins without what others know from doing harm until it has learned it, scope by
/// scope: a restored one from writing, since the counters of its writes would be used twice, for
/// different values; one that knows nothing but itself from having its cluster follow that.
///
/// A scope is known once it was the same as another holder's, or once all of another holder's set was
/// fetched, or when nobody else holds it.
struct Recovery: Sendable {
  /// Others that have to agree, where there are as many, that a scope is empty: two that know nothing do.
  static let witnesses = 3

  var known: Set<Scope> = []
  /// Who holds a scope and says that it is empty.
  var empty: [Scope: Set<NodeID>] = [:]
  /// It knows nothing but itself, as it is new or has lost its state: whoever may know more is not known
  /// to it yet.
  let isBare: Bool
  /// It was here before, and wrote what it may not know now.
  let mayHaveWritten: Bool

  /// - Returns: `nil` where nothing is lacking.
  init?(_ configuration: PeerConfiguration, knowsItsRecord: Bool) {
    // Of all that it writes a peer writes its record first. Alone there is nobody to learn from.
    isBare = !knowsItsRecord && !configuration.membership.seeds.isEmpty
    mayHaveWritten = configuration.isRestored
    guard isBare || mayHaveWritten else { return nil }
  }
}

extension Peer {
  /// Whether this peer knows next to nothing and others may know all: what is not in its state may well
  /// be there, so nobody is to act on it.
  public var isBare: Bool { recovery?.isBare == true }

  func knowsOwnWrites(_ scope: Scope) -> Bool {
    recovery?.mayHaveWritten != true || isKnown(scope)
  }

  func isKnown(_ scope: Scope) -> Bool {
    guard let recovery else { return true }
    if recovery.known.contains(scope) { return true }
    // That nobody else holds a scope is known only to who knows the others.
    if recovery.isBare, !recovery.known.contains(.clusterset) { return false }
    return holders(of: scope).isEmpty
  }

  /// Digests of sets that another peer holds, as it says.
  mutating func recover(
    _ digests: [ScopeDigest], from holder: NodeID, now: Now, effects: inout [Effect]
  ) {
    guard recovery != nil else { return }
    let same = digests.filter { $0.digest == antiEntropy.digest($0.scope) }.map(\.scope)
    learned(same, from: holder, now: now, effects: &effects)
  }

  /// All was fetched that another holder had: where sets change all the time, they are hardly ever the
  /// same.
  mutating func recover(_ session: SessionReport, now: Now, effects: inout [Effect]) {
    guard session.initiated, session.outcome == .done, session.lacked > 0,
      // What one session fetches, others leave to it.
      !antiEntropy.hasSession(in: session.scope)
    else { return }
    learned([session.scope], from: session.peer, now: now, effects: &effects)
  }

  private mutating func learned(
    _ scopes: [Scope], from holder: NodeID, now: Now, effects: inout [Effect]
  ) {
    guard recovery != nil, mayKnowMore(holder) else { return }
    let known = scopes.filter { !isDoubtful($0, from: holder) }
    guard let before = recovery, !before.known.isSuperset(of: known) else { return }
    recovery?.known.formUnion(known)
    publish(now: now, effects: &effects)
    if held.keys.allSatisfy(isKnown) {
      recovery = nil
      effects.append(.event(.caughtUp))
    }
  }

  /// Whether a holder's word counts for a peer that lost its state: others may have lost theirs with it.
  /// Whoever has not knows the record of its own cluster.
  private func mayKnowMore(_ holder: NodeID) -> Bool {
    guard let recovery, recovery.isBare, recovery.mayHaveWritten else { return true }
    return admitted[holder].map { knowsRecord(of: $0.cluster) } == true
  }

  /// Whether more have to say that there is nothing in a scope.
  private mutating func isDoubtful(_ scope: Scope, from holder: NodeID) -> Bool {
    guard isBare, state.comparedCount(scope) == 0 else { return false }
    recovery?.empty[scope, default: []].insert(holder)
    let present = holders(of: scope).count { membership.state(of: $0).isPresent }
    return recovery?.empty[scope]?.count ?? 0 < min(present, Recovery.witnesses)
  }

  func knowsRecord(of cluster: String) -> Bool {
    state.value(SlicePath.clusterInfo(cluster).text) != nil
  }
}
