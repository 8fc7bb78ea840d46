internal import Base

// The asking side: sessions from their first question to the last delivery.
extension AntiEntropy {
  mutating func start(
    _ scope: Scope, _ peer: NodeID, remote: SetDigest, now: Instant, effects: inout [SyncEffect]
  ) {
    let key = SyncSession.Key(scope: scope, peer: peer)
    guard let state = scopes[scope], sessions[key] == nil else { return }
    let kind: Reconciliation =
      state.index.count == 0
      ? .full : state.histories[peer]?.preferRanges == true ? .ranges : .sketch
    var session = SyncSession(
      kind: kind, initiated: true, now: now, local: state.index.digest, remote: remote,
      firstRequest: UInt32.random(in: 1...0xffff, using: &rng))
    if kind == .full {
      session.fetch.addTrust()
      session.fetch.add(range: .all)
    }
    sessions[key] = session
    effects.append(.event(.sessionStarted(scope, with: peer, kind)))
    switch kind {
    case .sketch: askSymbols(key, offset: 0, count: SketchPace.firstWindow, now, &effects)
    case .ranges: askRanges(key, now: now, effects: &effects)
    case .full: pump(key, now: now, effects: &effects)
    }
  }

  // MARK: Questions

  mutating func ask(
    _ key: SyncSession.Key, _ message: SyncMessage, attempt: Int, now: Instant,
    effects: inout [SyncEffect]
  ) {
    let deadline = now + timeout(key, options.questionTimeout, attempt: attempt)
    sessions[key]?.question = .init(message: message, deadline: deadline, attempts: attempt)
    sessions[key]?.rounds += 1
    // A datagram was lost, or the path takes none: once more by stream.
    sendInSession(key, message, reliable: attempt > 1, now: now, effects: &effects)
  }

  mutating func sendInSession(
    _ key: SyncSession.Key, _ message: SyncMessage, reliable: Bool = false, now: Instant,
    effects: inout [SyncEffect]
  ) {
    if send(message, to: key.peer, reliable: reliable, now: now, effects: &effects) {
      sessions[key]?.controlBytes += message.encodedSize
    } else {
      // The message is repeated when its time runs out, which is not before the pause is over.
      let wait = budgetWait(message, key.peer, now: now)
      sessions[key]?.pausedUntil = now + wait
    }
  }

  private mutating func askSymbols(
    _ key: SyncSession.Key, offset: Int, count: Int, _ now: Instant, _ effects: inout [SyncEffect]
  ) {
    let request = SymbolsRequest(
      scope: key.scope, offset: offset, count: count, digest: digest(key.scope))
    ask(key, .symbolsRequest(request), attempt: 1, now: now, effects: &effects)
  }

  // MARK: Sketch

  mutating func receive(
    _ window: SymbolsWindow, from peer: NodeID, now: Instant, effects: inout [SyncEffect]
  ) {
    let key = SyncSession.Key(scope: window.scope, peer: peer)
    guard let session = sessions[key],
      case .sketch(var decoder, let local, let remote) = session.stage,
      case .symbolsRequest(let asked)? = session.question?.message, asked.offset == window.offset,
      var index = scopes[key.scope]?.index
    else { return }  // late or repeated
    sessions[key]?.question = nil
    if window.setCount == 0 {
      // It has nothing yet and asks for everything itself.
      return end(key, .done, now: now, effects: &effects)
    }
    if index.digest != local || (remote ?? window.digest) != window.digest {
      return restartSketch(key, estimate: decoder.estimatedDifference, now: now, effects: &effects)
    }
    guard
      let symbols = SymbolCoding.unpack(
        window.packed, offset: window.offset, setCount: window.setCount, limit: asked.count),
      !symbols.isEmpty
    else { return fallBack(key, "malformed symbols", now: now, effects: &effects) }
    let range = decoder.count..<decoder.count + symbols.count
    decoder.append(remote: symbols, local: index.symbols(range))
    scopes[key.scope]?.index = index
    sessions[key]?.stage = .sketch(decoder, local: local, remote: window.digest)
    proceed(key, decoder, setCount: window.setCount, now: now, effects: &effects)
  }

  private mutating func proceed(
    _ key: SyncSession.Key, _ decoder: SketchDecoder, setCount: Int, now: Instant,
    effects: inout [SyncEffect]
  ) {
    let estimate = decoder.estimatedDifference
    switch decoder.status {
    case .decoded where decoder.remoteOnly.isEmpty && decoder.localOnly.isEmpty:
      // The digests differ and the words do not: two IDs with one word.
      fallBack(key, "equal words", now: now, effects: &effects)
    case .decoded:
      finishComparison(
        key, lacking: .words(decoder.remoteOnly.sorted()),
        offering: .words(decoder.localOnly.sorted()), now: now, effects: &effects)
    case .contradictory:
      fallBack(key, "contradictory symbols", now: now, effects: &effects)
    case .undecided:
      guard !SketchPace.isHopeless(estimate: estimate, of: setCount),
        let window = SketchPace.nextWindow(count: decoder.count, estimate: estimate)
      else { return fallBack(key, "too many differences", now: now, effects: &effects) }
      askSymbols(key, offset: decoder.count, count: window, now, &effects)
    }
  }

  /// A set changed between two windows, which therefore do not fit together: once more, in one window.
  private mutating func restartSketch(
    _ key: SyncSession.Key, estimate: Int, now: Instant, effects: inout [SyncEffect]
  ) {
    guard let restarts = sessions[key]?.restarts, restarts < 3 else {
      return fallBack(key, "sets keep changing", now: now, effects: &effects)
    }
    sessions[key]?.restarts += 1
    let ours = digest(key.scope)
    sessions[key]?.stage = .sketch(SketchDecoder(), local: ours, remote: nil)
    let count = min(SyncLimits.windowSymbols, SketchPace.firstWindow + estimate * 3 / 2)
    askSymbols(key, offset: 0, count: count, now, &effects)
  }

  // MARK: Ranges

  private mutating func fallBack(
    _ key: SyncSession.Key, _ reason: String, now: Instant, effects: inout [SyncEffect]
  ) {
    effects.append(.event(.fellBack(key.scope, with: key.peer, reason)))
    sessions[key]?.kind = .ranges
    sessions[key]?.stage = .ranges(frontier: [.all], asked: [])
    askRanges(key, now: now, effects: &effects)
  }

  private mutating func askRanges(
    _ key: SyncSession.Key, now: Instant, effects: inout [SyncEffect]
  ) {
    guard case .ranges(var frontier, let left) = sessions[key]?.stage, left.isEmpty else { return }
    let batch = Array(frontier.prefix(SyncLimits.ranges)).sorted()
    guard !batch.isEmpty else {
      sessions[key]?.stage = .transfer
      sessions[key]?.question = nil
      return pump(key, now: now, effects: &effects)
    }
    frontier.removeFirst(batch.count)
    sessions[key]?.stage = .ranges(frontier: frontier, asked: batch)
    let request = RangesRequest(scope: key.scope, ranges: batch)
    ask(key, .rangesRequest(request), attempt: 1, now: now, effects: &effects)
  }

  mutating func receive(
    _ reply: RangesReply, from peer: NodeID, now: Instant, effects: inout [SyncEffect]
  ) {
    let key = SyncSession.Key(scope: reply.scope, peer: peer)
    guard case .ranges(var frontier, let asked) = sessions[key]?.stage,
      let index = scopes[key.scope]?.index, !reply.ranges.isEmpty,
      reply.ranges.allSatisfy({ asked.contains($0.range) })
    else { return }
    var comparison = RangeComparison(index: index)
    for range in reply.ranges { comparison.compare(range) }
    frontier.append(contentsOf: comparison.differing.prefix(Self.frontierLimit - frontier.count))
    // What was asked and not answered is left to the next session.
    sessions[key]?.stage = .ranges(frontier: frontier, asked: [])
    for range in comparison.lackedRanges { sessions[key]?.fetch.add(range: range) }
    sessions[key]?.lacked += comparison.lackedInRanges
    want(.ids(comparison.lacked), key, now: now)
    offer(.ids(comparison.offered), key, now: now, effects: &effects)
    askRanges(key, now: now, effects: &effects)
    pump(key, now: now, effects: &effects)
  }

  static let frontierLimit = 16_384

  // MARK: Transfer

  private mutating func finishComparison(
    _ key: SyncSession.Key, lacking: Names, offering: Names, now: Instant,
    effects: inout [SyncEffect]
  ) {
    sessions[key]?.stage = .transfer
    want(lacking, key, now: now)
    offer(offering, key, now: now, effects: &effects)
    pump(key, now: now, effects: &effects)
  }

  private mutating func want(_ names: Names, _ key: SyncSession.Key, now: Instant) {
    let until = now + options.deliveryTimeout * 2
    switch names {
    case .words(let words):
      let claimed = scopes[key.scope]?.claim(words, until: until, now: now) ?? []
      sessions[key]?.fetch.add(words: claimed)
    case .ids(let ids):
      let claimed = Set(
        scopes[key.scope]?.claim(ids.map(\.words.0), until: until, now: now) ?? [])
      sessions[key]?.fetch.add(ids: ids.filter { claimed.contains($0.words.0) })
    }
    sessions[key]?.lacked += names.count
  }

  private mutating func offer(
    _ names: Names, _ key: SyncSession.Key, now: Instant, effects: inout [SyncEffect]
  ) {
    let room = max(0, options.offered - (sessions[key]?.offered ?? 0))
    for batch in names.batches(of: SyncLimits.names, upTo: room) {
      let message = SyncMessage.have(key.scope, batch)
      // Not repeated: what is lost of it, the next session finds.
      guard send(message, to: key.peer, reliable: true, now: now, effects: &effects) else { return }
      sessions[key]?.controlBytes += message.encodedSize
      sessions[key]?.offered += batch.count
    }
  }

  /// The other side found, or says, that it has these and we do not.
  mutating func receive(
    offer names: Names, scope: Scope, from peer: NodeID, now: Instant, effects: inout [SyncEffect]
  ) {
    guard let index = scopes[scope]?.index else { return }
    let lacked: Names =
      switch names {
      case .words(let words): .words(Set(words).filter { index.ids(word: $0).isEmpty }.sorted())
      case .ids(let ids): .ids(Set(ids).filter { !index.trie.contains($0) }.sorted())
      }
    guard lacked.count > 0 else { return }
    let key = SyncSession.Key(scope: scope, peer: peer)
    if sessions[key] == nil {
      guard sessions.values.count(where: { !$0.initiated }) < options.answeringSessions else {
        return
      }
      var session = SyncSession(
        kind: .sketch, initiated: false, now: now, local: index.digest, remote: nil,
        firstRequest: UInt32.random(in: 1...0xffff, using: &rng))
      session.stage = .transfer
      session.controlBytes = SyncMessage.have(scope, names).encodedSize
      sessions[key] = session
    }
    want(lacked, key, now: now)
    pump(key, now: now, effects: &effects)
  }

  /// Asks for as much as may be under way; ends the session where nothing is left.
  mutating func pump(_ key: SyncSession.Key, now: Instant, effects: inout [SyncEffect]) {
    guard sessions[key] != nil else { return }
    while sessions[key]?.pausedUntil == nil {
      let deadline = now + timeout(key, options.deliveryTimeout, attempt: 1)
      guard let (number, part) = sessions[key]?.fetch.next(deadline: deadline) else { break }
      sessions[key]?.rounds += 1
      let want = Want(scope: key.scope, request: number, part: part)
      sendInSession(key, .want(want), now: now, effects: &effects)
    }
    if let session = sessions[key], !session.isComparing, session.fetch.isEmpty {
      end(key, .done, now: now, effects: &effects)
    }
  }

  mutating func receive(
    _ delivery: Delivery, from peer: NodeID, now: Instant, effects: inout [SyncEffect]
  ) {
    let key = SyncSession.Key(scope: delivery.scope, peer: peer)
    guard let asked = sessions[key]?.fetch.take(delivery) else {
      effects.append(.event(.refused("delivery that nobody asked for", from: peer)))
      return
    }
    let patience = now + timeout(key, options.deliveryTimeout, attempt: 1)
    sessions[key]?.fetch.extend(until: patience)
    let wanted = asked.filter { $0.scope == key.scope }
    for changeset in wanted { scopes[key.scope]?.release(changeset.id.words.0) }
    if sessions[key]?.kind == .full { sessions[key]?.lacked += wanted.count }
    sessions[key]?.changesetBytes += delivery.changesets.reduce(0) { $0 + $1.encodedSize }
    if !wanted.isEmpty {
      let few = (sessions[key]?.lacked ?? 0) <= options.announcedDifferences
      effects.append(.deliver(wanted, from: peer, few ? .reconciled : .bulk))
    }
    pump(key, now: now, effects: &effects)
  }

  mutating func receive(
    _ redirect: Redirect, from peer: NodeID, now: Instant, effects: inout [SyncEffect]
  ) {
    let key = SyncSession.Key(scope: redirect.scope, peer: peer)
    guard let session = sessions[key] else { return }
    let retry = now + min(.milliseconds(Int64(redirect.retryMilliseconds)), .seconds(30))
    let others = redirect.peers.filter { scopes[key.scope]?.isMember($0) == true && $0 != peer }
    guard let other = others.randomElement(using: &rng), let remote = session.remote else {
      // No one else to ask: the same question again, later.
      sessions[key]?.pausedUntil = retry
      sessions[key]?.fetch.postpone(until: retry)
      sessions[key]?.question?.deadline = retry
      return
    }
    end(key, .redirected, now: now, effects: &effects)
    note(remote, of: key.scope, other, dueIn: .zero, now: now)
  }
}

extension Names {
  /// In lists of at most `size`, `limit` names in all.
  func batches(of size: Int, upTo limit: Int) -> [Names] {
    stride(from: 0, to: min(count, limit), by: size).map { start in
      let end = min(start + size, count, limit)
      return switch self {
      case .words(let words): .words(Array(words[start..<end]))
      case .ids(let ids): .ids(Array(ids[start..<end]))
      }
    }
  }
}
