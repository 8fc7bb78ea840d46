public import Base

/// Finds out what peers lack of one another's sets, and evens it out.
///
/// Peers compare 16-byte digests (in probes and acks, and with a random peer every 10 s). A mismatch
/// that outlives dissemination starts a session: a rateless sketch; where that fails, range
/// fingerprints; for an empty set, everything. Answering needs no memory, so only the asking side has
/// sessions. Sans-IO: feed `handle`, carry out the effects, come back at `nextDeadline` with `.tick`.
public struct AntiEntropy: Sendable {
  public struct Options: Sendable {
    /// How long a mismatch has to last, beside the round trip: dissemination may be under way.
    public var grace: Duration = .milliseconds(300)
    public var jitter: Duration = .milliseconds(200)
    /// A set that changes all the time puts a session off this long, no longer.
    public var deferral: Duration = .seconds(2)
    public var checkInterval: Duration = .seconds(10)
    /// Until a question is asked again (four round trips, if that is more), doubling up to fourfold.
    public var questionTimeout: Duration = .milliseconds(500)
    /// The same for changesets, since the last of them came.
    public var deliveryTimeout: Duration = .seconds(2)
    public var attempts = 6
    /// Sessions that we begin, in all, and those that follow another's offer.
    public var sessions = 8
    public var answeringSessions = 16
    public var sessionLimit: Duration = .seconds(60)
    public var fullSessionLimit: Duration = .seconds(600)
    /// Whole sets streamed from here at a time; who comes later is sent to others.
    public var fullSyncs = 16
    /// Changesets offered in one session; the rest waits for the next.
    public var offered = 16_384
    /// What a session brings is announced to neighbours up to so many changesets.
    public var announcedDifferences = 256
    /// Digests, symbols, ranges, offers, per peer.
    public var controlBudget = ByteBudget.Limit(bytesPerSecond: 65_536, burst: 1_048_576)
    /// Changesets that were asked for, per peer. Apart from the above, since a joining peer fetches
    /// everything once, at its own pace, and 64 KiB/s would make that a matter of hours.
    public var deliveryBudget = ByteBudget.Limit(bytesPerSecond: 8_388_608, burst: 8_388_608)

    public init() {}
  }

  public enum Input: Sendable {
    /// The compared set of a scope changed; an ID in both lists is out of it in the end.
    case setChanged(Scope, inserted: [Digest], removed: [Digest])
    /// The whole compared set of a scope, as it was when the peer started.
    case restored(Scope, ScopeIndex)
    /// Who else holds a scope now: admitted, and a member of it. Begins to hold it, too.
    case holders(Scope, Holders)
    /// One more, or one less.
    case joined(Scope, SyncPeer)
    case left(Scope, NodeID)
    /// The scope is not ours any more.
    case scopeDropped(Scope)
    /// Digests that came with a probe or an ack.
    case digests([ScopeDigest], from: NodeID)
    /// First contact, or again after a long time: compare all scopes at once.
    case contact(NodeID)
    case message(SyncMessage, from: NodeID)
    case tick
  }

  struct Budgets: Sendable {
    var control: ByteBudget
    var delivery: ByteBudget

    /// Full again, and so as good as none.
    mutating func isFull(now: Instant) -> Bool {
      control.isFull(now: now) && delivery.isFull(now: now)
    }
  }

  let local: NodeID
  let options: Options
  var rng: SeededGenerator
  var scopes: [Scope: ScopeState] = [:]
  var sessions: [SyncSession.Key: SyncSession] = [:]
  var budgets: [NodeID: Budgets] = [:]
  /// Who streams a whole set from here, and when it last asked.
  var fullSyncs: [NodeID: Instant] = [:]
  /// Keys of `scopes`, ascending.
  var scopeOrder: [Scope] = []
  private var advertised = 0
  /// When `.tick` is due at the latest.
  public private(set) var nextDeadline: Instant?

  public init(local: NodeID, options: Options = Options(), seed: UInt64) {
    self.local = local
    self.options = options
    rng = SeededGenerator(seed: seed)
  }

  /// The digest of the compared set of a scope; zero where it is not held.
  public func digest(_ scope: Scope) -> SetDigest { scopes[scope]?.index.digest ?? .zero }

  public func count(_ scope: Scope) -> Int { scopes[scope]?.index.count ?? 0 }

  /// Sessions under way, those that answer an offer included.
  public var sessionCount: Int { sessions.count }

  public func hasSession(in scope: Scope) -> Bool { sessions.keys.contains { $0.scope == scope } }

  /// Digests to put into a probe or an ack to a peer: those of a few scopes that it shares, others
  /// the next time.
  public mutating func advertisement(to peer: NodeID, limit: Int = 4) -> [ScopeDigest] {
    let shared = scopeOrder.filter { scopes[$0]?.isMember(peer) ?? false }
    guard !shared.isEmpty, limit > 0 else { return [] }
    advertised = (advertised &+ limit) % (1 << 30)
    return (0..<min(limit, shared.count)).map { i in
      let scope = shared[(advertised + i) % shared.count]
      return ScopeDigest(scope: scope, digest: digest(scope))
    }
  }

  public mutating func handle(
    _ input: Input, source: some SyncSource, now: Now, effects: inout [SyncEffect]
  ) {
    let now = now.instant
    switch input {
    case .setChanged(let scope, let inserted, let removed):
      change(scope, inserted: inserted, removed: removed, now: now)
    case .restored(let scope, let index):
      hold(scope, now: now)
      scopes[scope]?.index = index
      scopes[scope]?.lastChange = now
    case .holders(let scope, var holders):
      hold(scope, now: now)
      holders.remove(local)
      scopes[scope]?.setMembers(holders)
      dropGone(now: now, effects: &effects)
    case .joined(let scope, let peer):
      guard peer.id != local else { break }
      hold(scope, now: now)
      scopes[scope]?.insert(peer)
    case .left(let scope, let peer):
      scopes[scope]?.remove(peer)
      if let key = sessions.keys.first(where: { $0.scope == scope && $0.peer == peer }) {
        end(key, .peerGone, now: now, effects: &effects)
      }
      if !scopes.values.contains(where: { $0.isMember(peer) }) {
        budgets[peer] = nil
        fullSyncs[peer] = nil
      }
    case .scopeDropped(let scope):
      scopes[scope] = nil
      scopeOrder = scopes.keys.sorted()
      dropGone(now: now, effects: &effects)
    case .digests(let digests, let peer):
      receive(digests: digests, answer: false, from: peer, now: now, effects: &effects)
    case .contact(let peer):
      greet(peer, now: now, effects: &effects)
    case .message(let message, let peer):
      receive(message, from: peer, source: source, now: now, effects: &effects)
    case .tick:
      break
    }
    advance(now: now, effects: &effects)
    nextDeadline = earliestDeadline
  }

  private mutating func hold(_ scope: Scope, now: Instant) {
    guard scopes[scope] == nil else { return }
    let first = now + .random(upTo: options.checkInterval, using: &rng)
    scopes[scope] = ScopeState(now: now, nextCheck: first)
    scopeOrder = scopes.keys.sorted()
  }

  private mutating func change(
    _ scope: Scope, inserted: [Digest], removed: [Digest], now: Instant
  ) {
    hold(scope, now: now)
    for id in inserted {
      scopes[scope]?.index.insert(id)
      scopes[scope]?.release(id.words.0)
    }
    for id in removed { scopes[scope]?.index.remove(id) }
    scopes[scope]?.lastChange = now
  }

  /// Ends what belongs to peers or scopes that are no more.
  private mutating func dropGone(now: Instant, effects: inout [SyncEffect]) {
    for key in sessions.keys.sorted() where scopes[key.scope]?.isMember(key.peer) != true {
      end(key, .peerGone, now: now, effects: &effects)
    }
    func isKnown(_ peer: NodeID) -> Bool { scopes.values.contains { $0.isMember(peer) } }
    budgets = budgets.filter { isKnown($0.key) }
    fullSyncs = fullSyncs.filter { isKnown($0.key) }
  }

  private mutating func receive(
    _ message: SyncMessage, from peer: NodeID, source: some SyncSource, now: Instant,
    effects: inout [SyncEffect]
  ) {
    if let limit = message.limitBroken {
      effects.append(.event(.refused(limit, from: peer)))
      return
    }
    if let scope = message.scope {
      guard scopes[scope]?.isMember(peer) == true else {
        effects.append(.event(.refused("not a member of \(scope)", from: peer)))
        return
      }
      sessions[SyncSession.Key(scope: scope, peer: peer)]?.controlBytes += message.controlSize
    }
    switch message {
    case .digests(let digests, let answer):
      receive(digests: digests, answer: answer, from: peer, now: now, effects: &effects)
    case .symbolsRequest(let request):
      answer(request, to: peer, now: now, effects: &effects)
    case .rangesRequest(let request):
      answer(request, to: peer, now: now, effects: &effects)
    case .want(let want):
      answer(want, to: peer, source: source, now: now, effects: &effects)
    case .symbols(let window):
      receive(window, from: peer, now: now, effects: &effects)
    case .ranges(let reply):
      receive(reply, from: peer, now: now, effects: &effects)
    case .have(let scope, let names):
      receive(offer: names, scope: scope, from: peer, now: now, effects: &effects)
    case .delivery(let delivery):
      receive(delivery, from: peer, now: now, effects: &effects)
    case .redirect(let redirect):
      receive(redirect, from: peer, now: now, effects: &effects)
    case .push, .announce, .graft, .prune, .track, .applied:
      break  // dissemination's and apply tracking's
    }
  }
}

extension SyncMessage {
  /// The scope that a message of anti-entropy is about, where it is about one.
  var scope: Scope? {
    switch self {
    case .symbolsRequest(let request): request.scope
    case .symbols(let window): window.scope
    case .rangesRequest(let request): request.scope
    case .ranges(let reply): reply.scope
    case .have(let scope, _): scope
    case .want(let want): want.scope
    case .delivery(let delivery): delivery.scope
    case .redirect(let redirect): redirect.scope
    case .push, .announce, .graft, .prune, .track, .applied, .digests: nil
    }
  }
}

extension Duration {
  /// Full jitter: uniform between zero and this.
  static func random(upTo limit: Duration, using rng: inout SeededGenerator) -> Duration {
    .nanoseconds(Int64.random(in: 0...max(0, limit.nanoseconds), using: &rng))
  }
}
