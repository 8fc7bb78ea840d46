public import Base

/// All that a peer holds of a ClusterSet, and what it comes to: which changesets count, the compared
/// set of each scope, and the registers.
///
/// A pure function of the changesets held: neither the order of arrival nor who relayed them matters,
/// nor the local clock, except that it delays what comes from the future or too fast. Two states with
/// equal compared sets show equal registers. `state.md` has the rules, `state_model.py` beside it is
/// their executable specification.
///
/// After a restart from an old backup a peer knows less of its own writes than others do. Counters come
/// from register contexts (`write(_:_:scope:author:)`), so a peer that lets anti-entropy finish before
/// it writes has learned them; one that cannot wait makes a dot twice, which shows as a conflict of its
/// own register until it writes again, and is never lost silently.
public struct ReplicatedState: Sendable {
  public let genesis: Genesis
  public let limits: StateLimits
  /// Slices that this cluster is no member of are not held; `nil`: all are.
  public let cluster: String?
  let crypto: Crypto
  var engine: CountingEngine
  var index = RegisterIndex()
  var waiting = WaitingSet()
  /// What does not count, by the time since when.
  private var idle = SortedBuckets<IdleSlot>()
  private var raised: Set<StateAlarm> = []
  private var isLoading = false
  /// Put aside because a consumer failed on them. They still count, so that peers agree.
  public internal(set) var quarantined: [Digest: String] = [:]
  /// The greatest HLC of what is held: a peer's own clock starts above it.
  public private(set) var latestTime = HybridTime.zero
  /// When `release` has something to do; `nil`: never, as things are.
  public private(set) var nextDeadline: Instant?

  public init(
    genesis: Genesis, crypto: Crypto, cluster: String? = nil, limits: StateLimits = StateLimits()
  ) {
    self.init(
      genesis: genesis, crypto: crypto, cluster: cluster, limits: limits,
      authority: StandardAuthority(defaultQuota: limits.quota), rules: CountingRules())
  }

  init(
    genesis: Genesis, crypto: Crypto, cluster: String?, limits: StateLimits,
    authority: any Authority, rules: CountingRules
  ) {
    self.genesis = genesis
    self.crypto = crypto
    self.cluster = cluster
    self.limits = limits
    engine = CountingEngine(genesis: genesis, authority: authority, rules: rules)
  }

  private struct IdleSlot: Comparable, Sendable {
    var since: UInt64
    var slot: Slot

    static func < (a: IdleSlot, b: IdleSlot) -> Bool {
      a.since == b.since ? a.slot < b.slot : a.since < b.since
    }
  }

  // MARK: Taking changesets

  /// Verifies one changeset and takes it in. Whatever comes of it, nothing held is lost by it but what
  /// it supersedes.
  ///
  /// - Parameter verified: it comes from the own store, where it was accepted once: its signatures, its
  ///   time and its author's quota are not looked at again.
  public mutating func ingest(
    _ changeset: Changeset, now: Now, verified: Bool = false, changes: inout StateChanges
  ) -> IngestOutcome {
    let outcome = admit(changeset, now: now, isTrusted: verified, changes: &changes)
    if engine.hasDepartures { leaveScopes(&changes) }
    schedule(now)
    return outcome
  }

  /// Takes what the store has, in any order, without bounds on what waits for its grant meanwhile.
  public mutating func load(
    _ changesets: some Collection<Changeset>, now: Now, changes: inout StateChanges
  ) {
    // Halfway something may look superseded by what turns out to be void: nothing goes before the end.
    isLoading = true
    // Trust first: then what hangs under it needs no waiting, and is judged once. Three passes, since
    // lists of the rest would be most of the memory that a start needs for a moment.
    for pass in 0..<3 {
      for changeset in changesets where changeset.loadingPass == pass {
        _ = admit(changeset, now: now, isTrusted: true, changes: &changes)
      }
    }
    isLoading = false
    for slot in index.takeSpent(&engine) { forget(slot, &changes) }
    waiting.trim(limits)
    leaveScopes(&changes)
    schedule(now)
  }

  /// Takes what waited for its time, forgets what has not counted for long, and what belongs to slices
  /// that the local cluster has left.
  public mutating func release(now: Now, changes: inout StateChanges) {
    for entry in waiting.take(dueBy: now.wallMilliseconds) {
      let outcome = judge(entry.changeset, now: now, isTrusted: false, changes: &changes)
      changes.settled.append((entry.changeset.id, outcome))
    }
    forgetIdle(now, &changes)
    leaveScopes(&changes)
    schedule(now)
  }

  private mutating func admit(
    _ changeset: Changeset, now: Now, isTrusted: Bool, changes: inout StateChanges
  ) -> IngestOutcome {
    if engine.slots[changeset.id] != nil { return .duplicate }
    if let entry = waiting[changeset.id] {
      switch entry.reason {
      case .grant(let grant): return .pending(missing: grant)
      case .time(let milliseconds, let why): return .held(untilMilliseconds: milliseconds, why)
      }
    }
    if changeset.formatVersion != 1 {
      return .refused(.unsupportedFormat(changeset.formatVersion))
    }
    if changeset.clusterSet != genesis.id {
      return .refused(.otherClusterSet(changeset.clusterSet))
    }
    if !isTrusted, let what = changeset.malformation { return .refused(.malformed(what)) }
    return judge(changeset, now: now, isTrusted: isTrusted, isVerified: false, changes: &changes)
  }

  /// - Parameter isVerified: its author's signature was found good before.
  private mutating func judge(
    _ changeset: Changeset, now: Now, isTrusted: Bool, isVerified: Bool = true,
    changes: inout StateChanges
  ) -> IngestOutcome {
    guard let parent = engine.nodes[changeset.under] else {
      if !isTrusted && !isVerified && validSigners(changeset, among: nil).isEmpty {
        return .refused(.badSignature)
      }
      waiting.insert(
        changeset, .grant(changeset.under), isTrusted: isTrusted, limits: limits)
      return .pending(missing: changeset.under)
    }
    var changeset = changeset
    if !isTrusted, let refusal = authenticate(&changeset, parent, isVerified: isVerified) {
      return .refused(refusal)
    }
    if let refusal = authorise(changeset, parent) { return .refused(refusal) }
    if !isTrusted {
      if let outcome = delay(changeset, parent, now) { return outcome }
      if let refusal = exceeds(changeset, parent, &changes) { return .refused(refusal) }
    }
    guard let scope = index.number(changeset.scope, engine: &engine) else {
      return .refused(.scopeNotHeld(changeset.scope))
    }
    return take(changeset, scope, parent, isStored: isTrusted, now: now, changes: &changes)
  }

  private func authorise(_ changeset: Changeset, _ parent: GrantIndex) -> Refusal? {
    let root = engine.grants[Int(parent)].root
    let grant = engine.grants[Int(parent)].grant
    guard root?.keys.contains(changeset.author) ?? (grant.subject == changeset.author) else {
      return .unauthorised(.notTheSubject(grant: changeset.under))
    }
    if let why = engine.authority.objection(to: changeset, under: grant, isRoot: root != nil) {
      return .unauthorised(why)
    }
    if !isHeld(changeset.scope) { return .scopeNotHeld(changeset.scope) }
    return nil
  }

  /// It counts or not from now on; what waited for the grant that it makes follows.
  private mutating func take(
    _ changeset: Changeset, _ scope: ScopeNumber, _ parent: GrantIndex, isStored: Bool, now: Now,
    changes: inout StateChanges
  ) -> IngestOutcome {
    let slot = engine.insert(changeset, scope: scope, parent: parent)
    if isStored { engine.held[Int(slot)].status.insert(.stored) }
    latestTime = max(latestTime, changeset.time)
    settle(now, &changes)
    guard engine.slots[changeset.id] == slot else {
      return .superseded
    }
    if !isStored {
      engine.held[Int(slot)].status.insert(.stored)
      changes.toStore.append(changeset)
    }
    let outcome = outcome(slot)
    if !changeset.floors.isEmpty { changes.touchesTrust = true }
    if changeset.grant != nil || changeset.rootChange != nil {
      for entry in waiting.take(grant: changeset.id) {
        let outcome = judge(
          entry.changeset, now: now, isTrusted: entry.isTrusted, changes: &changes)
        changes.settled.append((entry.changeset.id, outcome))
      }
    }
    return outcome
  }

  func outcome(_ slot: Slot) -> IngestOutcome {
    engine.reason(slot, scopes: index.scopes.map(\.scope)).map { .notCounting($0) } ?? .accepted
  }

  /// Brings everything into line with what is held.
  private mutating func settle(_ now: Now, _ changes: inout StateChanges) {
    engine.settle()
    var touched: [Slot] = []
    index.follow(&engine, touched: &touched, changes: &changes)
    for slot in touched { noteIdle(slot, now) }
    for grant in engine.takeGrantChanges() {
      changes.touchesTrust = true
      let node = engine.grants[Int(grant)]
      changes.grants.append(GrantChange(id: node.id, live: node.isLive))
    }
    if !limits.dropsSuperseded {
      index.forgetSpent()
    } else if !isLoading {
      for slot in index.takeSpent(&engine) { forget(slot, &changes) }
    }
    if !touched.isEmpty { raiseAlarms(touched, &changes) }
  }

  // MARK: Forgetting

  private mutating func noteIdle(_ slot: Slot, _ now: Now) {
    let entry = engine.held[Int(slot)]
    guard engine.slots[entry.box.changeset.id] == slot else { return }
    let isIdle = entry.status.isDisjoint(with: [.counts, .evidence])
    if isIdle, entry.idleSince == 0 {
      let since = max(now.wallMilliseconds, 1)
      engine.held[Int(slot)].idleSince = since
      idle.insert(IdleSlot(since: since, slot: slot))
    } else if !isIdle, entry.idleSince != 0 {
      idle.remove(IdleSlot(since: entry.idleSince, slot: slot))
      engine.held[Int(slot)].idleSince = 0
    }
  }

  private mutating func forgetIdle(_ now: Now, _ changes: inout StateChanges) {
    let surplus = idle.count - limits.notCounting
    var old: [IdleSlot] = []
    idle.forEach {
      let isOver = $0.since + limits.graceMilliseconds <= now.wallMilliseconds
      guard isOver || old.count < surplus else { return false }
      old.append($0)
      return true
    }
    // Newest first: what hangs under a grant goes before the grant.
    for entry in old.reversed() { forget(entry.slot, &changes) }
  }

  /// Lets go of what nobody compares, unless something hangs under it that has to go first.
  private mutating func forget(_ slot: Slot, _ changes: inout StateChanges) {
    let entry = engine.held[Int(slot)]
    let id = entry.box.changeset.id
    guard engine.remove(slot) else { return }
    if entry.idleSince != 0 { idle.remove(IdleSlot(since: entry.idleSince, slot: slot)) }
    quarantined[id] = nil
    if entry.status.contains(.stored) { changes.toForget.append(id) }
  }

  /// Forgets the scopes of slices that the local cluster has left: their content is not its business.
  private mutating func leaveScopes(_ changes: inout StateChanges) {
    engine.hasDepartures = false
    guard cluster != nil else { return }
    let left = index.scopes.indices.filter {
      (index.scopes[$0].count > 0 || !index.scopes[$0].records.isEmpty)
        && !isHeld(index.scopes[$0].scope)
    }
    guard !left.isEmpty else { return }
    let numbers = Set(left.map { ScopeNumber($0) })
    for slot in engine.slots.values.sorted()
    where numbers.contains(engine.held[Int(slot)].scope) {
      index.withdraw(slot, &engine, changes: &changes)
      forget(slot, &changes)
    }
  }

  /// Whether changesets of a scope are held here.
  public func isHeld(_ scope: Scope) -> Bool {
    guard let cluster, case .slice(let slice) = scope else { return true }
    return members(of: slice).contains(cluster)
  }

  private mutating func schedule(_ now: Now) {
    var due = waiting.earliestMilliseconds
    if idle.count > limits.notCounting { due = now.wallMilliseconds }
    idle.forEach {
      let end = $0.since + limits.graceMilliseconds
      due = min(due ?? end, end)
      return false
    }
    nextDeadline = due.map { due in
      let wait = due > now.wallMilliseconds ? due - now.wallMilliseconds : 0
      return now.instant + .milliseconds(Int64(clamping: wait))
    }
  }

  // MARK: Alarms

  private mutating func raiseAlarms(_ touched: [Slot], _ changes: inout StateChanges) {
    for slot in touched {
      let entry = engine.held[Int(slot)]
      if entry.status.contains(.evidence) || entry.status.contains(.isRootChange),
        let alarm = alarm(of: entry.parent)
      {
        raise(alarm, &changes)
      }
    }
  }

  func alarm(of grant: GrantIndex) -> StateAlarm? {
    let rivals = engine.livingEnrolments(of: grant)
    let id = engine.grants[Int(grant)].id
    if rivals.count > 1, engine.grants[Int(grant)].isLive {
      return .rivalEnrolments(token: id, enrolments: rivals.map { engine.changeset($0).id })
    }
    if let loser = engine.losingSuccessors(of: grant).first {
      let winner = engine.changeset(engine.grants[Int(grant)].successor).id
      return .rivalRoots(version: id, winner: winner, loser: engine.changeset(loser).id)
    }
    return nil
  }

  /// Each once, while it is remembered.
  mutating func raise(_ alarm: StateAlarm, _ changes: inout StateChanges) {
    if raised.count >= StateLimits.raisedAlarms { raised.removeAll() }
    if raised.insert(alarm).inserted { changes.alarms.append(alarm) }
  }
}

extension Changeset {
  /// Trust, then what decides which scopes are held, then the rest.
  fileprivate var loadingPass: Int {
    if grant != nil || writes.isEmpty { return 0 }
    return scope == .clusterset ? 1 : 2
  }
}
