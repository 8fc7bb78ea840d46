import Base

/// What is held against one incarnation of a member, while it is suspect or dead.
struct Case: Sendable {
  var slot: Int32
  /// By distinct accusers.
  var accusations: [Accusation]
  var opened: Instant
  /// When to act next; `distantFuture` once the member is dead.
  var due: Instant
  /// Times that others were asked whether they know better.
  var inquiries = 0
}

extension Membership {
  /// In which others are asked, before anything is concluded, whether they know better.
  static let inquiryLimit = 2

  func accusations(against slot: Int32) -> [Accusation] {
    let index = table[slot].caseIndex
    return index < 0 ? [] : cases[Int(index)].accusations
  }

  /// What a member has to hear to refute; one valid accusation does.
  func proof(against slot: Int32) -> [Evidence] {
    accusations(against: slot).prefix(1).map { .accusation($0) }
  }

  // MARK: Accusing

  /// Signs and spreads an accusation of a member that did not answer.
  mutating func accuse(_ slot: Int32, _ now: Instant, _ effects: inout [Effect]) {
    guard let subject = table[slot].record else { return }
    let earlier = accusations(against: slot)
    guard earlier.count < configuration.accusersForMinimum,
      !earlier.contains(where: { $0.accuser == id })
    else { return }
    let accusation = Accusation(
      subject: subject.subject, incarnation: subject.incarnation, accuser: id,
      clusterSet: identity.clusterSet, signer: identity.signer)
    suspect(slot, because: accusation, now: now, &effects)
    // Those who will confirm or refute hear it first.
    let message = [Message.evidence([.accusation(accusation)])]
    effects.append(.send(to: subject.subject, message))
    if earlier.isEmpty {
      for confirmer in confirmers(of: slot) {
        effects.append(.send(to: table.id(confirmer), message))
      }
    }
  }

  /// Takes a valid, new accusation into account.
  mutating func suspect(
    _ slot: Int32, because accusation: Accusation, quietly: Bool = false, now: Instant,
    _ effects: inout [Effect]
  ) {
    if table[slot].state == .dead {
      // Kept only as proof for those who come late.
      let index = Int(table[slot].caseIndex)
      if cases[index].accusations.count < configuration.accuserThreshold {
        cases[index].accusations.append(accusation)
      }
      return
    }
    let isFirst = table[slot].caseIndex < 0
    if isFirst {
      table[slot].caseIndex = Int32(cases.count)
      cases.append(Case(slot: slot, accusations: [accusation], opened: now, due: now))
      setState(slot, .suspect, record: nil, now: now, &effects)
    } else {
      cases[Int(table[slot].caseIndex)].accusations.append(accusation)
    }
    let index = Int(table[slot].caseIndex)
    schedule(index)
    effects.append(
      .event(.accused(accusation.subject, accusers: cases[index].accusations.count)))
    if quietly { return }
    broadcast(.accusation(accusation), urgent: true, now: now)
    if isFirst, accusation.accuser != id, isConfirmer(of: slot) {
      startProbe(of: slot, .confirmation, now, &effects)
    }
  }

  // MARK: Judging

  /// Lifeguard's §IV.B, with the number of *distinct signed accusers* for confirmations: the maximum
  /// while they are fewer than the threshold, then shrinking to the minimum.
  private func patience(_ index: Int) -> Duration {
    let (low, high) = (configuration.suspicionMinimum, configuration.suspicionMaximum)
    let slot = cases[index].slot
    // Those who could accuse: everyone present but the suspects, and ourselves.
    let able = table.count(.alive) + table.count(.degraded) + 1
    let needed = min(configuration.accuserThreshold, able)
    // Among few, two thirds of them: one more that is slow or gone must not hold up the rest.
    let enough = max(needed, min(configuration.accusersForMinimum, (able * 2 + 2) / 3))
    let count = cases[index].accusations.count
    if count < needed || isDegraded(slot) { return high }
    if count >= enough { return low }
    // The paper's logarithms as harmonic sums: the same shape (0.48 and 0.43 at 2 of 5).
    let share = harmonic(count - 1) / harmonic(enough - 1)
    return high - .microseconds(Int64((high - low).milliseconds * 1000 * share))
  }

  private func harmonic(_ n: Int) -> Double {
    (1..<max(n + 1, 1)).reduce(0) { $0 + 1 / Double($1) }
  }

  private mutating func schedule(_ index: Int) {
    let end = cases[index].opened + patience(index)
    let length = end - cases[index].opened
    // After a quarter and three quarters others are asked.
    switch cases[index].inquiries {
    case 0: cases[index].due = cases[index].opened + length / 4
    case 1: cases[index].due = cases[index].opened + length * 3 / 4
    default: cases[index].due = end
    }
    casesDue = min(casesDue, cases[index].due)
  }

  mutating func judgeCases(_ now: Instant, _ effects: inout [Effect]) {
    for index in cases.indices where cases[index].due <= now {
      let slot = cases[index].slot
      let end = cases[index].opened + patience(index)
      if cases[index].inquiries < Self.inquiryLimit {
        cases[index].inquiries += 1
        inquire(index, &effects)
        confirmByChance(index, now, &effects)
        schedule(index)
      } else if now < end {
        cases[index].due = end
      } else if table[slot].heard > cases[index].opened {
        // It speaks to us, so it is not gone, whatever became of its refutation: a member with
        // losses, to be used last. Silence for as long as the maximum is what evicts it.
        markDegraded(slot, now: now)
        cases[index].opened = table[slot].heard
        cases[index].inquiries = 0
        schedule(index)
      } else {
        condemn(index, now, &effects)
      }
    }
    casesDue = cases.reduce(.distantFuture) { min($0, $1.due) }
  }

  /// Shows the accusation to a few others: whoever knows a newer incarnation answers with it.
  private mutating func inquire(_ index: Int, _ effects: inout [Effect]) {
    let evidence = cases[index].accusations.prefix(1).map { Evidence.accusation($0) }
    let slot = cases[index].slot
    for other in table.sample(configuration.gossipFanout, except: slot, using: &rng) {
      effects.append(.send(to: table.id(other), [.evidence(evidence)]))
    }
  }

  /// The ring neighbours were too few, perhaps down with it: a few random members step in.
  private mutating func confirmByChance(
    _ index: Int, _ now: Instant, _ effects: inout [Effect]
  ) {
    guard cases[index].accusations.count < configuration.accuserThreshold else { return }
    let volunteers = 2 * configuration.accuserThreshold
    guard Int.random(in: 0..<max(table.presentCount, 1), using: &rng) < volunteers else { return }
    startProbe(of: cases[index].slot, .confirmation, now, &effects)
  }

  private mutating func condemn(_ index: Int, _ now: Instant, _ effects: inout [Effect]) {
    cases[index].due = .distantFuture
    let kept = max(configuration.accuserThreshold, 1)
    if cases[index].accusations.count > kept {
      cases[index].accusations.removeLast(cases[index].accusations.count - kept)
    }
    let slot = cases[index].slot
    setState(slot, .dead, record: nil, now: now, &effects)
    probes.removeAll { $0.slot == slot && $0.purpose != .contact }
    sync.changed(now)
  }

  /// Forgets what was held against a member.
  mutating func closeCase(of slot: Int32) {
    let index = Int(table[slot].caseIndex)
    guard index >= 0 else { return }
    table[slot].caseIndex = -1
    let last = cases.removeLast()
    if index < cases.count {
      cases[index] = last
      table[last.slot].caseIndex = Int32(index)
    }
  }

  /// Takes back what members said that are none any more: the accused do not know them either and
  /// would refute nothing of it.
  mutating func withdraw(
    accusationsBy expelled: [NodeID], now: Instant, _ effects: inout [Effect]
  ) {
    for slot in cases.map(\.slot) {
      let index = Int(table[slot].caseIndex)
      let before = cases[index].accusations.count
      cases[index].accusations.removeAll { expelled.contains($0.accuser) }
      if cases[index].accusations.count == before { continue }
      let isDead = table[slot].state == .dead
      if !cases[index].accusations.isEmpty {
        if !isDead { schedule(index) }
      } else if isDead, let record = table[slot].record {
        // We did not hear of it either; and if it is there, our word it can refute.
        let own = Accusation(
          subject: record.subject, incarnation: record.incarnation, accuser: id,
          clusterSet: identity.clusterSet, signer: identity.signer)
        cases[index].accusations = [own]
      } else {
        closeCase(of: slot)
        setState(slot, isDegraded(slot) ? .degraded : .alive, record: nil, now: now, &effects)
      }
    }
  }

  // MARK: Confirmers

  /// The present members next to a suspect in the ring, on either side. The ring is one of hashes,
  /// so they are in different places and no single lost link speaks through all of them.
  private func confirmers(of slot: Int32) -> [Int32] {
    let position = table.ringPosition(of: table.id(slot))
    var out: [Int32] = []
    for direction in [1, -1] {
      var found = 0
      var at = position
      for _ in 0..<min(table.count - 1, 64) where found < configuration.confirmersPerSide {
        at = (at + direction + table.count) % table.count
        let other = table.ring[at]
        guard other != slot, table[other].state.isPresent, table[other].state != .suspect else {
          continue
        }
        found += 1
        if !out.contains(other) { out.append(other) }
      }
    }
    return out
  }

  /// Whether we are one of them: fewer than enough present members lie between, on either side.
  private func isConfirmer(of slot: Int32) -> Bool {
    guard configuration.confirmersPerSide > 0 else { return false }
    // The ring without us; we are between `own - 1` and `own`.
    let own = table.ringPosition(of: id)
    return [1, -1].contains { direction in
      var between = 0
      var at = direction > 0 ? own : own - 1
      for _ in 0..<min(table.count, 64) {
        let other = table.ring[(at + table.count) % table.count]
        if other == slot { return true }
        if table[other].state.isPresent, table[other].state != .suspect { between += 1 }
        if between >= configuration.confirmersPerSide { return false }
        at += direction
        if at >= table.count { at -= table.count }
        if at < 0 { at += table.count }
      }
      return false
    }
  }
}
