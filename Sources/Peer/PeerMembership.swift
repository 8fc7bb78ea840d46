public import Base
internal import Membership
internal import Replication

extension Peer {
  mutating func member(_ input: Membership.Input, now: Now, effects: inout [Effect]) {
    var out: [Membership.Effect] = []
    membership.handle(input, now: now, effects: &out)
    for effect in out { perform(effect, now: now, effects: &effects) }
  }

  private mutating func perform(
    _ effect: Membership.Effect, now: Now, effects: inout [Effect]
  ) {
    switch effect {
    case .send(let to, let messages):
      effects.append(.datagram(to: to, messages.map { .membership(attaching(to: to, $0)) }))
    case .sendStream(let to, let message):
      effects.append(.frame(to: to, .membership(message)))
    case .streamProbe(let to):
      effects.append(.probeStream(to))
    case .contactSeed(let address):
      effects.append(.contactSeed(address, .introduce(introduction())))
    case .persistBootEpoch(let epoch):
      effects.append(.persistBootEpoch(epoch))
    case .event(.attachment(let from, let bytes)):
      compare(bytes, from: from, now: now, effects: &effects)
    case .event(let event):
      effects.append(.event(.membership(event)))
      if case .state(let node, let old, let new) = event {
        presenceChanged(of: node, from: old, to: new, now: now, effects: &effects)
      }
    }
  }

  /// Whether this peer hears the member, or is it: present and not silent. Where no tunnel says what can
  /// be reached, this decides.
  public func hears(_ node: NodeID, now: Instant) -> Bool {
    node == id
      || (membership.state(of: node).isPresent && !membership.isSilent(node, now: now))
  }

  /// Whether it hears any peer of a cluster.
  public func hears(cluster: String, now: Instant) -> Bool {
    admitted.values.contains { $0.cluster == cluster && hears($0.id, now: now) }
  }

  /// Pings carry the digests of shared scopes; acks need not, since everybody pings.
  private mutating func attaching(
    to node: NodeID, _ message: Membership.Message
  ) -> Membership.Message {
    guard case .ping(var ping) = message else { return message }
    let shared = scopes(sharedWith: node)
    ping.attachment = attachment.next(
      shared, digest: { antiEntropy.digest($0) }, name: { held[$0]?.name ?? 0 })
    return .ping(ping)
  }

  private mutating func compare(
    _ bytes: [UInt8], from node: NodeID, now: Now, effects: inout [Effect]
  ) {
    guard let digests = try? ScopeAttachment.read(bytes) else { return }
    let known = scopes(sharedWith: node)
    var named: [ScopeDigest] = []
    for (name, digest) in digests {
      for scope in known where held[scope]?.name == name {
        // Equal digests, which is what idle peers tell one another, need no more work than this.
        if recovery != nil || !antiEntropy.agrees(with: node, on: digest, in: scope) {
          named.append(ScopeDigest(scope: scope, digest: digest))
        }
      }
    }
    if !named.isEmpty {
      recover(named, from: node, now: now, effects: &effects)
      sync(.digests(named, from: node), now: now, effects: &effects)
    }
  }

  private mutating func presenceChanged(
    of node: NodeID, from old: MemberState, to new: MemberState, now: Now,
    effects: inout [Effect]
  ) {
    guard old.isPresent != new.isPresent, admitted[id] != nil else { return }
    let peer = SyncPeer(id: node, roundTrip: membership.estimatedRTT(to: node))
    var out: [SyncEffect] = []
    for scope in scopes(sharedWith: node) {
      antiEntropy.handle(
        new.isPresent ? .joined(scope, peer) : .left(scope, node), source: state, now: now,
        effects: &out)
      dissemination.handle(
        new.isPresent ? .joined(scope, peer) : .left(scope, node), source: state, now: now,
        effects: &out)
    }
    perform(out, now: now, effects: &effects)
    if new.isPresent {
      overlayDue = min(overlayDue, now.instant + Self.overlayDelay)
      sync(.contact(node), now: now, effects: &effects)
    }
  }

  /// The state admits other peers now, or other clusters take part in slices, or records of clusters are
  /// others, in which CAs of peers are.
  mutating func trustChanged(mayVouchAnew: Bool, now: Now, effects: inout [Effect]) {
    let before = admitted
    adopt(Groundwork.admission(state, crypto, known: admitted), now: now, effects: &effects)
    if mayVouchAnew, admitted === before { effects.append(.peersChanged) }
  }

  mutating func adopt(_ next: Admission, now: Now, effects: inout [Effect]) {
    let isFirst = admitted.count == 0
    if next !== admitted || isFirst {
      admitted = next
      member(.admission(next), now: now, effects: &effects)
      effects.append(.peersChanged)
    }
    refreshHolders(now: now, effects: &effects)
  }

  /// Tells dissemination and anti-entropy who holds which scope, and how far away they are.
  mutating func refreshHolders(now: Now, effects: inout [Effect]) {
    var next: [Scope: HeldScope] = [.clusterset: HeldScope(.clusterset, clusters: nil, crypto)]
    for slice in state.slices {
      let members = state.members(of: slice)
      guard members.contains(configuration.cluster) else { continue }
      next[.slice(slice)] = HeldScope(.slice(slice), clusters: members, crypto)
    }
    var out: [SyncEffect] = []
    for scope in held.keys.sorted() where next[scope] == nil {
      antiEntropy.handle(.scopeDropped(scope), source: state, now: now, effects: &out)
      dissemination.handle(.scopeDropped(scope), source: state, now: now, effects: &out)
    }
    held = next
    heldScopes = next.keys.sorted()
    guard admitted[id] != nil else { return perform(out, now: now, effects: &effects) }
    for scope in heldScopes {
      guard let held = next[scope] else { continue }
      var holders = Holders(roster: admitted.roster)
      membership.forEachPresent { place, roundTrip in
        guard held.clusters == nil || held.admits(admitted.values[place].cluster) else { return }
        holders.insert(at: place, roundTrip)
      }
      antiEntropy.handle(.holders(scope, holders), source: state, now: now, effects: &out)
      dissemination.handle(.holders(scope, holders), source: state, now: now, effects: &out)
    }
    perform(out, now: now, effects: &effects)
  }

  /// Scopes that this peer and another one hold, ascending.
  func scopes(sharedWith node: NodeID) -> [Scope] {
    // Everybody holds the first of all scopes, and often there is no other.
    if heldScopes.count == 1 { return admitted.roster.contains(node) ? heldScopes : [] }
    guard let cluster = admitted[node]?.cluster else { return [] }
    return heldScopes.filter { held[$0]?.admits(cluster) == true }
  }

  /// Who else may hold a scope, ascending.
  func holders(of scope: Scope) -> [NodeID] {
    guard let held = held[scope] else { return [] }
    return admitted.values.filter { $0.id != id && held.admits($0.cluster) }.map(\.id)
  }
}

/// A scope that this peer holds: who else may, and how pings call it.
struct HeldScope: Sendable {
  /// `nil`: all.
  let clusters: Set<String>?
  /// The leading bytes of the hash of its name.
  let name: UInt32

  init(_ scope: Scope, clusters: Set<String>?, _ crypto: Crypto) {
    self.clusters = clusters
    name = UInt32(
      truncatingIfNeeded: crypto.sha256(Array(scope.description.utf8)).words.0 >> 32)
  }

  func admits(_ cluster: String) -> Bool { clusters?.contains(cluster) ?? true }
}
