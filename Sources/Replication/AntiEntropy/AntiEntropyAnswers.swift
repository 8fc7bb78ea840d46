internal import Base

// The answering side: nothing is remembered but budgets and who streams a whole set.
extension AntiEntropy {
  /// A whole set counts as streamed until nobody asked for so long.
  static let fullSyncIdle = Duration.seconds(10)

  // MARK: Budget

  /// Sends within the peer's budget for control messages; whether it did. By datagram where it fits.
  @discardableResult
  mutating func send(
    _ message: SyncMessage, to peer: NodeID, reliable: Bool = false, now: Instant,
    effects: inout [SyncEffect]
  ) -> Bool {
    let size = message.encodedSize
    openBudget(peer, now)
    guard budgets[peer]?.control.take(size, now: now) == true else {
      effects.append(.event(.overBudget(peer)))
      return false
    }
    effects.append(
      .send(to: peer, message, reliable: reliable || size > SyncLimits.datagramBytes))
    return true
  }

  mutating func budgetWait(_ message: SyncMessage, _ peer: NodeID, now: Instant) -> Duration {
    let wait = budgets[peer]?.control.wait(for: message.encodedSize, now: now) ?? .zero
    return max(wait, .milliseconds(100)) + .random(upTo: options.jitter, using: &rng)
  }

  private mutating func openBudget(_ peer: NodeID, _ now: Instant) {
    guard budgets[peer] == nil else { return }
    budgets[peer] = Budgets(
      control: ByteBudget(options.controlBudget, now: now),
      delivery: ByteBudget(options.deliveryBudget, now: now))
  }

  private mutating func refer(
    _ scope: Scope, _ peer: NodeID, to others: [NodeID], retry: Duration, now: Instant,
    effects: inout [SyncEffect]
  ) {
    let milliseconds = UInt32(clamping: Int64(retry.milliseconds))
    let redirect = Redirect(scope: scope, peers: others, retryMilliseconds: milliseconds)
    // A few bytes that spare many: not against the budget, which may be what is spent.
    effects.append(.send(to: peer, .redirect(redirect), reliable: false))
  }

  // MARK: Comparing

  mutating func answer(
    _ request: SymbolsRequest, to peer: NodeID, now: Instant, effects: inout [SyncEffect]
  ) {
    guard let ours = scopes[request.scope]?.index.digest else { return }
    guard ours != request.digest else {
      observe(ours, of: request.scope, from: peer, now: now, effects: &effects)
      let equal = [ScopeDigest(scope: request.scope, digest: ours)]
      send(.digests(equal, answer: false), to: peer, now: now, effects: &effects)
      return
    }
    guard
      leaveInitiative(request.scope, to: peer, remote: request.digest, now: now, effects: &effects)
    else { return }
    let window = request.offset..<request.offset + request.count
    guard let symbols = scopes[request.scope]?.index.symbols(window) else { return }
    let setCount = count(request.scope)
    let reply = SymbolsWindow(
      scope: request.scope, offset: request.offset, digest: ours, setCount: setCount,
      packed: SymbolCoding.pack(symbols, offset: request.offset, setCount: setCount))
    sendOrRefer(.symbols(reply), request.scope, to: peer, now: now, effects: &effects)
  }

  mutating func answer(
    _ request: RangesRequest, to peer: NodeID, now: Instant, effects: inout [SyncEffect]
  ) {
    guard let index = scopes[request.scope]?.index else { return }
    guard leaveInitiative(request.scope, to: peer, remote: nil, now: now, effects: &effects) else {
      return
    }
    let contents = request.ranges.map { range in
      RangeContent(range: range, content: content(of: range, in: index.trie))
    }
    let reply = RangesReply(scope: request.scope, ranges: contents)
    sendOrRefer(.ranges(reply), request.scope, to: peer, now: now, effects: &effects)
  }

  private func content(of range: RangePrefix, in trie: IDTrie) -> RangeContent.Content {
    guard trie.summary(of: range).count > SyncLimits.rangeIDs,
      range.nibbles < RangePrefix.maximumNibbles
    else { return .ids(trie.ids(in: range, limit: SyncLimits.ids)) }
    return .parts(
      (0..<16).compactMap { digit in
        guard let part = range.child(digit) else { return nil }
        let summary = trie.summary(of: part)
        guard summary.count > 0 else { return nil }
        return .init(digit: digit, count: summary.count, digest: summary.digest)
      })
  }

  private mutating func sendOrRefer(
    _ message: SyncMessage, _ scope: Scope, to peer: NodeID, now: Instant,
    effects: inout [SyncEffect]
  ) {
    if send(message, to: peer, now: now, effects: &effects) {
      let key = SyncSession.Key(scope: scope, peer: peer)
      sessions[key]?.controlBytes += message.encodedSize
    } else {
      let wait = budgetWait(message, peer, now: now)
      refer(scope, peer, to: [], retry: wait, now: now, effects: &effects)
    }
  }

  /// A peer compares with us: one of two sessions is enough. Of two under way the smaller ID's stays.
  ///
  /// - Returns: whether to answer. Not where our first question has crossed the peer's and stays: the
  ///   peer is about to yield. Had ours been lost, it would not, and its next question is answered.
  private mutating func leaveInitiative(
    _ scope: Scope, to peer: NodeID, remote: SetDigest?, now: Instant,
    effects: inout [SyncEffect]
  ) -> Bool {
    let key = SyncSession.Key(scope: scope, peer: peer)
    let wait = Duration.seconds(1) + roundTrip(scope, peer) * 2
    if let session = sessions[key] {
      guard session.initiated, session.isComparing else { return true }
      guard peer < local else { return session.rounds > 1 }
      end(key, .yielded, now: now, effects: &effects)
      if let known = remote ?? session.remote {
        note(known, of: scope, peer, dueIn: wait, now: now)
      }
    } else if scopes[scope]?.mismatches[peer] != nil {
      postpone(scope, peer, until: now + wait)
    } else if let remote, count(scope) == 0 {
      // It has something, we have nothing: it leaves it to us to ask for it.
      note(remote, of: scope, peer, dueIn: .zero, now: now)
    }
    return true
  }

  private mutating func postpone(_ scope: Scope, _ peer: NodeID, until instant: Instant) {
    guard let due = scopes[scope]?.mismatches[peer]?.due else { return }
    scopes[scope]?.mismatches[peer]?.due = max(due, instant)
  }

  // MARK: Delivering

  mutating func answer(
    _ want: Want, to peer: NodeID, source: some SyncSource, now: Instant,
    effects: inout [SyncEffect]
  ) {
    guard let index = scopes[want.scope]?.index else { return }
    // It is fetching what differs: asking it the same meanwhile would offer it all of that again.
    postpone(want.scope, peer, until: now + .seconds(1) + roundTrip(want.scope, peer) * 2)
    guard admitFullSync(want, peer, now: now) else {
      let others = members(of: want.scope, otherThan: peer)
      refer(want.scope, peer, to: others, retry: .seconds(5), now: now, effects: &effects)
      return
    }
    let delivery = Shelf(index: index, source: source).delivery(for: want)
    let message = SyncMessage.delivery(delivery)
    let size = message.encodedSize
    openBudget(peer, now)
    guard budgets[peer]?.delivery.take(size, now: now) == true else {
      effects.append(.event(.overBudget(peer)))
      let wait = budgets[peer]?.delivery.wait(for: size, now: now) ?? .seconds(1)
      refer(want.scope, peer, to: [], retry: wait, now: now, effects: &effects)
      return
    }
    effects.append(.send(to: peer, message, reliable: size > SyncLimits.datagramBytes))
  }

  private mutating func admitFullSync(_ want: Want, _ peer: NodeID, now: Instant) -> Bool {
    switch want.part {
    case .names: return true
    case .range(let range, _): if range.nibbles > 1 { return true }
    case .trust: break
    }
    if fullSyncs[peer] == nil {
      fullSyncs = fullSyncs.filter { now - $0.value < Self.fullSyncIdle }
      guard fullSyncs.count < options.fullSyncs else { return false }
    }
    fullSyncs[peer] = now
    return true
  }

  /// Three others to ask, drawn anew each time so that a crowd spreads out.
  private mutating func members(of scope: Scope, otherThan peer: NodeID) -> [NodeID] {
    let members =
      scopes[scope]?.members.map(\.id).filter { $0 != peer && fullSyncs[$0] == nil } ?? []
    return members.shuffled(using: &rng).prefix(3).sorted()
  }
}

/// Takes changesets from the shelf for a `Want`, within the bounds of a message.
private struct Shelf<Source: SyncSource> {
  let index: ScopeIndex
  let source: Source

  /// IDs looked up for one message at most, found or not.
  private static var lookups: Int { 1_024 }

  func delivery(for want: Want) -> Delivery {
    var batch = Batch()
    switch want.part {
    case .names(let names):
      let served = serve(names, into: &batch)
      return delivery(want, batch, served: served, remaining: names.count - served)
    case .range(let range, let after):
      for id in index.trie.ids(in: range, after: after, limit: Self.lookups) {
        guard let changeset = source.changeset(id) else { continue }
        guard batch.add(changeset) else { break }
      }
      let last = batch.changesets.last?.id
      let remaining = last.map { index.trie.count(in: range, after: $0) } ?? 0
      return delivery(want, batch, served: batch.changesets.count, remaining: remaining)
    case .trust(let from):
      let ids = source.trust(in: want.scope)
      var served = 0
      for id in ids.dropFirst(from).prefix(Self.lookups) {
        if let changeset = source.changeset(id), !batch.add(changeset) { break }
        served += 1
      }
      return delivery(want, batch, served: served, remaining: max(0, ids.count - from - served))
    }
  }

  private func serve(_ names: Names, into batch: inout Batch) -> Int {
    switch names {
    case .words(let words):
      for (i, word) in words.enumerated() {
        for id in index.ids(word: word) {
          if let changeset = source.changeset(id), !batch.add(changeset) { return i }
        }
      }
    case .ids(let ids):
      for (i, id) in ids.enumerated() where index.trie.contains(id) {
        if let changeset = source.changeset(id), !batch.add(changeset) { return i }
      }
    }
    return names.count
  }

  private func delivery(
    _ want: Want, _ batch: Batch, served: Int, remaining: Int
  ) -> Delivery {
    Delivery(
      scope: want.scope, request: want.request, changesets: batch.changesets, served: served,
      remaining: remaining)
  }

  struct Batch {
    var changesets: [Changeset] = []
    var bytes = 0

    /// Whether there was room; the first always has.
    mutating func add(_ changeset: Changeset) -> Bool {
      let size = changeset.encodedSize
      guard
        changesets.isEmpty
          || changesets.count < SyncLimits.changesets && bytes + size <= SyncLimits.changesetBytes
      else { return false }
      changesets.append(changeset)
      bytes += size
      return true
    }
  }
}
