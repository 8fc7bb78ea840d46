import Base

/// Signed evidence about members: judged once, then passed on. It only moves forward: a newer
/// incarnation beats all that is said of older ones, and within one incarnation `left` and `dead`
/// beat `alive`.
extension Membership {
  /// Evidence kept for members that the signed state may admit in a moment.
  static let heldLimit = 128

  /// How evidence came: passed on from member to member, or by comparing views.
  enum Channel {
    case gossip
    case sync
  }

  /// Returns whether it was new.
  @discardableResult
  mutating func apply(
    _ evidence: Evidence, from sender: NodeID, by channel: Channel = .gossip, now: Instant,
    _ effects: inout [Effect]
  ) -> Bool {
    switch evidence {
    case .record(let record): apply(record, from: sender, now: now, &effects)
    case .accusation(let accusation):
      apply(accusation, from: sender, by: channel, now: now, &effects)
    }
  }

  private func reject(
    _ reason: Rejection, from sender: NodeID, _ effects: inout [Effect]
  ) -> Bool {
    effects.append(.event(.rejected(from: sender, reason)))
    return false
  }

  // MARK: Records

  private mutating func apply(
    _ new: MemberRecord, from sender: NodeID, now: Instant, _ effects: inout [Effect]
  ) -> Bool {
    if new.subject == id { return meet(ownRecord: new, from: sender, now: now, &effects) }
    guard let slot = table.slot(of: new.subject) else {
      hold(.record(new))
      return reject(.unknownSubject, from: sender, &effects)
    }
    let isFirst = table[slot].record == nil
    if let known = table[slot].record {
      if new.incarnation == known.incarnation { return false }
      guard new.incarnation > known.incarnation else {
        correct(sender, about: slot, now: now, &effects)
        return reject(.stale, from: sender, &effects)
      }
    }
    let key = table.peer(slot).key
    guard new.isSigned(by: key, clusterSet: identity.clusterSet, crypto: crypto) else {
      return reject(.badSignature, from: sender, &effects)
    }
    accept(new, of: slot, now: now, &effects)
    if isFirst, sender == new.subject, new.presence == .alive {
      // It may not know us either; it answers only if our record is its first of us.
      effects.append(.send(to: sender, [.evidence([.record(record)])]))
    }
    return true
  }

  private mutating func accept(
    _ new: MemberRecord, of slot: Int32, now: Instant, _ effects: inout [Effect]
  ) {
    let old = table[slot].state
    let accusers = accusations(against: slot).map(\.accuser)
    closeCase(of: slot)
    var state: MemberState = new.presence == .left ? .left : .alive
    if state == .alive, old == .suspect || old == .dead || old == .degraded {
      state = dampen(slot, after: old, accusers: accusers, now: now)
    }
    setState(slot, state, record: new, now: now, &effects)
    sync.changed(now)
    broadcast(
      .record(new), urgent: old == .suspect || old == .dead || state == .left, now: now)
    if !held.isEmpty { retryHeld(about: new.subject, now: now, &effects) }
  }

  /// Somebody knows a newer word of ours than we do: our disk was restored from a backup.
  private mutating func meet(
    ownRecord new: MemberRecord, from sender: NodeID, now: Instant, _ effects: inout [Effect]
  ) -> Bool {
    guard new.incarnation > record.incarnation else {
      if new.incarnation == record.incarnation { return false }
      correct(sender, withOwnRecordAt: now, &effects)
      return reject(.stale, from: sender, &effects)
    }
    let key = identity.signer.publicKey
    guard new.isSigned(by: key, clusterSet: identity.clusterSet, crypto: crypto) else {
      return reject(.badSignature, from: sender, &effects)
    }
    if new.incarnation.bootEpoch > identity.bootEpoch {
      effects.append(.persistBootEpoch(new.incarnation.bootEpoch))
    }
    renew(above: new.incarnation, now: now)
    return true
  }

  // MARK: Accusations

  private mutating func apply(
    _ accusation: Accusation, from sender: NodeID, by channel: Channel, now: Instant,
    _ effects: inout [Effect]
  ) -> Bool {
    guard accusation.accuser != accusation.subject else {
      return reject(.accusesItself, from: sender, &effects)
    }
    if accusation.subject == id {
      return answer(accusation, from: sender, now: now, &effects)
    }
    guard let key = key(of: accusation.accuser) else {
      hold(.accusation(accusation))
      return reject(.unknownAccuser, from: sender, &effects)
    }
    guard let slot = table.slot(of: accusation.subject) else {
      return relay(unknown: accusation, key: key, from: sender, now: now, &effects)
    }
    guard let known = table[slot].record, accusation.incarnation <= known.incarnation else {
      hold(.accusation(accusation))
      return reject(.unknownIncarnation, from: sender, &effects)
    }
    guard accusation.incarnation == known.incarnation, table[slot].state != .left else {
      correct(sender, about: slot, now: now, &effects)
      return reject(.stale, from: sender, &effects)
    }
    let earlier = accusations(against: slot)
    guard earlier.count < configuration.accusersForMinimum,
      !earlier.contains(where: { $0.accuser == accusation.accuser })
    else { return false }
    guard
      accusation.isSigned(by: key, clusterSet: identity.clusterSet, crypto: crypto)
    else { return reject(.badSignature, from: sender, &effects) }
    if channel == .sync {
      return learn(accusation, of: slot, now: now, &effects)
    }
    guard spendBudget(of: accusation.accuser, now: now) else {
      return reject(.tooBusy, from: sender, &effects)
    }
    suspect(slot, because: accusation, now: now, &effects)
    return true
  }

  /// Another view holds against a member what ours does not: a partition has healed, or we are new
  /// here. The member itself is told, so that it refutes; passing it on to everyone, for half of the
  /// members at once, would drown the refutations.
  private mutating func learn(
    _ accusation: Accusation, of slot: Int32, now: Instant, _ effects: inout [Effect]
  ) -> Bool {
    let isFirst = table[slot].caseIndex < 0
    if isFirst {
      // One that we could not tell is left for the next comparison; one of which we first heard in
      // the same breath is likely gone.
      let isTold = forwards.take(now: now)
      guard isTold || table[slot].since == now else { return false }
      if isTold {
        effects.append(.send(to: accusation.subject, [.evidence([.accusation(accusation)])]))
      }
    }
    suspect(slot, because: accusation, quietly: true, now: now, &effects)
    return true
  }

  /// We are accused: a valid accusation of what we are now is refuted at once.
  private mutating func answer(
    _ accusation: Accusation, from sender: NodeID, now: Instant, _ effects: inout [Effect]
  ) -> Bool {
    guard accusation.incarnation <= record.incarnation else {
      return reject(.unknownIncarnation, from: sender, &effects)
    }
    guard accusation.incarnation == record.incarnation else {
      // Refuted already: it did not get there. This is no news and no fault of the sender.
      correct(sender, withOwnRecordAt: now, &effects)
      return false
    }
    guard !isLeaving else { return false }
    guard let key = key(of: accusation.accuser) else {
      return reject(.unknownAccuser, from: sender, &effects)
    }
    guard accusation.isSigned(by: key, clusterSet: identity.clusterSet, crypto: crypto) else {
      return reject(.badSignature, from: sender, &effects)
    }
    renew(now: now)
    worsenLocalHealth(&effects)
    effects.append(.event(.refuted(by: accusation.accuser, record.incarnation)))
    for member in accusation.accuser == sender ? [sender] : [sender, accusation.accuser] {
      effects.append(.send(to: member, [.evidence([.record(record)])]))
    }
    return true
  }

  func key(of member: NodeID) -> PublicKey? {
    if member == id { return identity.signer.publicKey }
    guard let slot = table.slot(of: member) else { return nil }
    return table.peer(slot).key
  }

  /// How many accusations of one accuser count: an honest one probes about one member a second, and
  /// a few more to confirm; a liar is stopped here from keeping everyone busy.
  private mutating func spendBudget(of accuser: NodeID, now: Instant) -> Bool {
    if accuser == id { return true }
    return accusationBudgets[accuser, default: RateLimit(burst: 64, perSecond: 8)].take(now: now)
  }

  // MARK: What cannot be judged yet

  private mutating func hold(_ evidence: Evidence) {
    let isThere = held.contains { other in
      switch (evidence, other) {
      case (.record(let a), .record(let b)):
        a === b || (a.subject == b.subject && a.incarnation == b.incarnation)
      case (.accusation(let a), .accusation(let b)):
        a === b || (a.subject == b.subject && a.accuser == b.accuser)
      default: false
      }
    }
    guard !isThere else { return }
    if held.count >= Self.heldLimit { held.removeFirst() }
    held.append(evidence)
  }

  /// Others may know the member: an accusation with a good signature goes on, though we cannot use
  /// it yet.
  private mutating func relay(
    unknown accusation: Accusation, key: PublicKey, from sender: NodeID, now: Instant,
    _ effects: inout [Effect]
  ) -> Bool {
    let before = held.count
    hold(.accusation(accusation))
    if held.count > before, spendBudget(of: accusation.accuser, now: now),
      accusation.isSigned(by: key, clusterSet: identity.clusterSet, crypto: crypto)
    {
      broadcast(.accusation(accusation), urgent: false, weight: 0.34, now: now)
    }
    return reject(.unknownSubject, from: sender, &effects)
  }

  /// Judges again what may have become judgeable.
  mutating func retryHeld(
    about subject: NodeID? = nil, now: Instant, _ effects: inout [Effect]
  ) {
    let waiting = held
    held.removeAll()
    for evidence in waiting {
      let isDue =
        subject.map { $0 == evidence.subject } ?? (table.slot(of: evidence.subject) != nil)
      if isDue { apply(evidence, from: id, now: now, &effects) } else { held.append(evidence) }
    }
  }

  // MARK: Corrections

  /// Sends what we know to a member that knows less, so that nobody acts on what is refuted.
  private mutating func correct(
    _ sender: NodeID, about slot: Int32, now: Instant, _ effects: inout [Effect]
  ) {
    guard sender != id, let known = table[slot].record, corrections.take(now: now) else { return }
    effects.append(.send(to: sender, [.evidence([.record(known)])]))
  }

  private mutating func correct(
    _ sender: NodeID, withOwnRecordAt now: Instant, _ effects: inout [Effect]
  ) {
    guard sender != id, corrections.take(now: now) else { return }
    effects.append(.send(to: sender, [.evidence([.record(record)])]))
  }
}
