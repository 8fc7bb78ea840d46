public import Base

// When to compare, and when to stop: mismatches, random checks, timeouts, back-off.
extension AntiEntropy {
  // MARK: Digests

  mutating func receive(
    digests: [ScopeDigest], answer: Bool, from peer: NodeID, now: Instant,
    effects: inout [SyncEffect]
  ) {
    var differing: [ScopeDigest] = []
    for entry in digests.prefix(SyncLimits.digests) {
      guard let state = scopes[entry.scope], state.isMember(peer) else { continue }
      let ours = state.index.digest
      if observe(entry.digest, of: entry.scope, from: peer, now: now, effects: &effects) {
        differing.append(ScopeDigest(scope: entry.scope, digest: ours))
      }
    }
    if answer, !differing.isEmpty {
      send(.digests(differing, answer: false), to: peer, now: now, effects: &effects)
    }
  }

  /// Whether a peer's set equals ours and nothing is remembered that this would change.
  public func agrees(with peer: NodeID, on digest: SetDigest, in scope: Scope) -> Bool {
    guard let state = scopes[scope] else { return true }
    return digest == state.index.digest && state.mismatches[peer] == nil
      && state.histories[peer] == nil
      && (sessions.isEmpty || sessions[SyncSession.Key(scope: scope, peer: peer)] == nil)
  }

  /// Notes what a peer's digest is; whether it differs.
  @discardableResult
  mutating func observe(
    _ remote: SetDigest, of scope: Scope, from peer: NodeID, now: Instant,
    effects: inout [SyncEffect]
  ) -> Bool {
    guard let state = scopes[scope] else { return false }
    if remote == state.index.digest {
      scopes[scope]?.mismatches[peer] = nil
      scopes[scope]?.histories[peer] = nil
      let key = SyncSession.Key(scope: scope, peer: peer)
      if sessions[key]?.isComparing == true { end(key, .done, now: now, effects: &effects) }
      return false
    }
    if var known = state.mismatches[peer] {
      known.remote = remote
      scopes[scope]?.mismatches[peer] = known
    } else {
      // Nothing to lose by asking at once where we have nothing.
      let wait: Duration = state.index.count == 0 ? .zero : options.grace + roundTrip(scope, peer)
      note(remote, of: scope, peer, dueIn: wait, now: now)
    }
    return true
  }

  mutating func note(
    _ remote: SetDigest, of scope: Scope, _ peer: NodeID, dueIn wait: Duration, now: Instant
  ) {
    guard let state = scopes[scope], state.isMember(peer),
      state.mismatches[peer] != nil || state.mismatches.count < ScopeState.mismatchLimit
    else { return }
    let due = now + wait + .random(upTo: options.jitter, using: &rng)
    scopes[scope]?.mismatches[peer] = .init(since: now, due: due, remote: remote)
  }

  func roundTrip(_ scope: Scope, _ peer: NodeID) -> Duration {
    let known = scopes[scope]?.members.roundTrip(peer) ?? .milliseconds(100)
    return min(max(known, .zero), .seconds(5))
  }

  /// Members of a scope, of all that come, that are told our digests at once.
  private static let greeted = 16

  mutating func greet(_ peer: NodeID, now: Instant, effects: inout [SyncEffect]) {
    // Of many that come at once a few are greeted; the pings of the others carry digests too.
    let shared = scopeOrder.filter { scope in
      guard let state = scopes[scope], state.isMember(peer) else { return false }
      return Int.random(in: 0..<max(state.members.count, 1), using: &rng) < Self.greeted
    }
    for start in stride(from: 0, to: shared.count, by: 16) {
      let digests = shared[start..<min(start + 16, shared.count)].map {
        ScopeDigest(scope: $0, digest: digest($0))
      }
      send(.digests(digests, answer: true), to: peer, now: now, effects: &effects)
    }
  }

  // MARK: Time

  var earliestDeadline: Instant? {
    var earliest = scopes.values.map(\.nextCheck).min()
    func consider(_ instant: Instant?) {
      if let instant { earliest = min(earliest ?? instant, instant) }
    }
    for session in sessions.values {
      consider(session.started + limit(of: session))
      if let paused = session.pausedUntil {
        consider(paused)
      } else {
        consider(session.question?.deadline)
        consider(session.fetch.nextDeadline)
      }
    }
    if hasRoom {
      for (scope, state) in scopes where !isInitiating(scope) {
        for (peer, mismatch) in state.mismatches {
          consider(max(mismatch.due, state.histories[peer]?.notBefore ?? mismatch.due))
        }
      }
    }
    return earliest
  }

  private var hasRoom: Bool { sessions.values.count(where: \.initiated) < options.sessions }

  /// One session in a scope at a time: what it brings would disturb another's sketch. A peer that
  /// leaves a question unanswered does not keep others from being asked.
  private func isInitiating(_ scope: Scope) -> Bool {
    sessions.contains { key, session in
      key.scope == scope && session.initiated && !session.isUnanswered
    }
  }

  private func limit(of session: SyncSession) -> Duration {
    session.kind == .full ? options.fullSessionLimit : options.sessionLimit
  }

  mutating func advance(now: Instant, effects: inout [SyncEffect]) {
    for key in sessions.keys.sorted() { advance(key, now: now, effects: &effects) }
    for scope in scopeOrder {
      if let due = scopes[scope]?.nextCheck, due <= now {
        check(scope, now: now, effects: &effects)
      }
      while hasRoom, !isInitiating(scope), let peer = duePeer(scope, now) {
        startIfStillDiffering(scope, peer, now: now, effects: &effects)
      }
    }
  }

  /// One of the peers whose mismatch is due: any, so that a crowd does not ask the same one.
  private mutating func duePeer(_ scope: Scope, _ now: Instant) -> NodeID? {
    guard let state = scopes[scope], !state.mismatches.isEmpty else { return nil }
    let due = state.mismatches.filter { peer, mismatch in
      mismatch.due <= now && (state.histories[peer]?.notBefore ?? now) <= now
    }
    return due.keys.sorted().randomElement(using: &rng)
  }

  private mutating func startIfStillDiffering(
    _ scope: Scope, _ peer: NodeID, now: Instant, effects: inout [SyncEffect]
  ) {
    guard let state = scopes[scope], let mismatch = state.mismatches[peer] else { return }
    if state.index.digest == mismatch.remote {
      scopes[scope]?.mismatches[peer] = nil
    } else if state.index.count > 0, now - state.lastChange < options.grace,
      now - mismatch.since < options.deferral
    {
      scopes[scope]?.mismatches[peer]?.due = state.lastChange + options.grace
    } else {
      scopes[scope]?.mismatches[peer] = nil
      start(scope, peer, remote: mismatch.remote, now: now, effects: &effects)
    }
  }

  /// Every 10 s, digests with one random member, whether or not anything seems to differ.
  private mutating func check(_ scope: Scope, now: Instant, effects: inout [SyncEffect]) {
    // Spread between 3/4 and 5/4 of the interval, so that checks of a fleet do not fall together.
    let half = options.checkInterval / 2
    let wait = options.checkInterval - half / 2 + .random(upTo: half, using: &rng)
    scopes[scope]?.nextCheck = now + wait
    scopes[scope]?.expireRequested(now)
    fullSyncs = fullSyncs.filter { now - $0.value < Self.fullSyncIdle }
    budgets = budgets.filter { entry in
      var budget = entry.value
      return !budget.isFull(now: now)
    }
    guard let peer = scopes[scope]?.members.random(using: &rng) else { return }
    let digests = [ScopeDigest(scope: scope, digest: digest(scope))]
    send(.digests(digests, answer: true), to: peer, now: now, effects: &effects)
  }

  private mutating func advance(
    _ key: SyncSession.Key, now: Instant, effects: inout [SyncEffect]
  ) {
    guard let session = sessions[key] else { return }
    if now - session.started >= limit(of: session) {
      return end(key, .gaveUp, now: now, effects: &effects)
    }
    if let paused = session.pausedUntil {
      guard paused <= now else { return }
      sessions[key]?.pausedUntil = nil
    }
    if let question = session.question, question.deadline <= now {
      guard question.attempts < options.attempts else {
        return end(key, .timedOut, now: now, effects: &effects)
      }
      ask(key, question.message, attempt: question.attempts + 1, now: now, effects: &effects)
    }
    for number in session.fetch.overdue(now) {
      let attempts = session.fetch.attempts(number)
      guard attempts < options.attempts else {
        return end(key, .timedOut, now: now, effects: &effects)
      }
      let deadline = now + timeout(key, options.deliveryTimeout, attempt: attempts + 1)
      if let part = sessions[key]?.fetch.retry(number, deadline: deadline) {
        let want = Want(scope: key.scope, request: number, part: part)
        sendInSession(key, .want(want), reliable: true, now: now, effects: &effects)
      }
    }
    pump(key, now: now, effects: &effects)
  }

  /// Doubles with each attempt, with jitter.
  mutating func timeout(
    _ key: SyncSession.Key, _ base: Duration, attempt: Int
  ) -> Duration {
    let patient = max(base, roundTrip(key.scope, key.peer) * 4)
    let doubled = patient * (1 << min(max(0, attempt - 1), 2))
    return doubled + .random(upTo: doubled / 4, using: &rng)
  }

  // MARK: Ends

  mutating func end(
    _ key: SyncSession.Key, _ outcome: SessionReport.Outcome, now: Instant,
    effects: inout [SyncEffect]
  ) {
    guard let session = sessions.removeValue(forKey: key) else { return }
    effects.append(.event(.sessionEnded(session.report(key, outcome, now: now))))
    guard session.initiated, outcome != .peerGone, let state = scopes[key.scope] else { return }
    var history =
      state.histories[key.peer] ?? .init(local: session.local, remote: nil, notBefore: now)
    let repeated = history.local == session.local && history.remote == session.remote
    switch outcome {
    case .done:
      // Nothing came of it twice over: the sketch does not see what differs, or the state refuses it.
      history.attempts = repeated ? history.attempts + 1 : 0
      history.preferRanges = repeated
    case .yielded: break
    default: history.attempts += 1
    }
    history.local = session.local
    history.remote = session.remote
    // Full jitter, after a moment for what was fetched to be taken in.
    let backOff = Duration.seconds(1 << min(history.attempts, 8))
    let settle = options.grace + roundTrip(key.scope, key.peer)
    history.notBefore =
      now + settle
      + (history.attempts == 0 ? .zero : .random(upTo: backOff, using: &rng))
    scopes[key.scope]?.histories[key.peer] = history
  }
}
