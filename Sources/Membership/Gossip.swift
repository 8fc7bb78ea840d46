import Base

extension Membership {
  // MARK: Receiving

  mutating func receive(
    _ messages: [Message], from sender: NodeID, now: Instant, _ effects: inout [Effect]
  ) {
    guard let slot = table.slot(of: sender) else {
      effects.append(.event(.rejected(from: sender, .senderNotAdmitted)))
      return
    }
    table[slot].heard = now
    for message in messages { receive(message, from: sender, slot, now: now, &effects) }
  }

  private mutating func receive(
    _ message: Message, from sender: NodeID, _ slot: Int32, now: Instant,
    _ effects: inout [Effect]
  ) {
    switch message {
    case .ping(let ping):
      answer(ping, from: sender, slot, &effects)
      compare(view: ping.view, with: slot, now: now, &effects)
      deliver(ping.attachment, from: sender, &effects)
    case .ack(let ack):
      receive(ack: ack, from: slot, now: now, &effects)
      compare(view: ack.view, with: slot, now: now, &effects)
      learn(hints: ack.attachment, from: sender, &effects)
    case .probeRequest(let sequence, let target):
      receive(probeRequest: sequence, of: target, from: sender, now: now, &effects)
    case .relayedAck(let sequence):
      receive(relayedAck: sequence, from: slot, now: now, &effects)
    case .nack(let sequence):
      receive(nack: sequence, from: slot)
    case .evidence(let evidence):
      guard evidence.count <= Self.evidenceLimit else {
        effects.append(.event(.rejected(from: sender, .overLimit)))
        return
      }
      for item in evidence { apply(item, from: sender, now: now, &effects) }
    case .syncRequest, .syncSummary, .syncWant, .syncRecords, .syncRedirect:
      receive(sync: message, from: sender, slot, now: now, &effects)
    }
  }

  private mutating func answer(
    _ ping: Ping, from sender: NodeID, _ slot: Int32, _ effects: inout [Effect]
  ) {
    guard !isLeaving else { return }
    var messages: [Message] = []
    var evidence: [Evidence] = []
    // It may not know us, or hold us dead: then it needs our word.
    if table[slot].record == nil || table[slot].state == .dead {
      evidence.append(.record(record))
      evidence += proof(against: slot)
    }
    if !broadcasts.isEmpty {
      let used = evidence.reduce(0) { $0 + $1.size }
      evidence += takeBroadcasts(bytes: Self.datagramEvidenceBytes - used, copies: 1)
    }
    if !evidence.isEmpty { messages.append(.evidence(evidence)) }
    messages.append(
      .ack(
        Ack(
          sequence: ping.sequence, view: table.view, coordinate: coordinate,
          attachment: hints())))
    effects.append(.send(to: sender, messages))
  }

  private func deliver(
    _ attachment: [UInt8], from sender: NodeID, _ effects: inout [Effect]
  ) {
    guard !attachment.isEmpty else { return }
    let fits = attachment.count <= Self.attachmentLimit
    effects.append(
      .event(
        fits ? .attachment(from: sender, attachment) : .rejected(from: sender, .overLimit)))
  }

  /// Proof of life from outside this protocol.
  mutating func hear(_ sender: NodeID, now: Instant, _ effects: inout [Effect]) {
    guard let slot = table.slot(of: sender) else { return }
    table[slot].heard = now
    if !table[slot].state.isPresent { startProbe(of: slot, .contact, now, &effects) }
  }

  // MARK: Sending

  /// - Parameter weight: multiplies how often it is passed on.
  mutating func broadcast(
    _ evidence: Evidence, urgent: Bool, weight: Double = 1, now: Instant
  ) {
    guard table.presentCount > 0 || isLeaving else { return }
    // ceil(log2(members + 1)): a whole number of bits.
    let bits = Int.bitWidth - (table.presentCount + 1).leadingZeroBitCount
    // Where much happens at once, most is learnt by comparing views; passing it all on costs more.
    let crowding = broadcasts.count > Broadcasts.crowd && weight <= 1 ? 0.34 : 1
    let times = Double(bits) * configuration.retransmitFactor * weight * crowding
    broadcasts.add(evidence, transmissions: max(configuration.gossipFanout, Int(times)))
    // A breath's pause lets what arrives together leave together.
    let delay: Duration = urgent ? .milliseconds(10) : configuration.gossipInterval
    gossipDue = min(gossipDue, now + delay)
  }

  /// One round: the same datagram to a few random members.
  mutating func gossip(_ now: Instant, _ effects: inout [Effect]) {
    let targets = table.sample(configuration.gossipFanout, suspects: true, using: &rng)
    let evidence = takeBroadcasts(
      bytes: Self.datagramEvidenceBytes, copies: max(targets.count, 1))
    if !evidence.isEmpty {
      for target in targets {
        effects.append(.send(to: table.id(target), [.evidence(evidence)]))
      }
    }
    gossipDue = broadcasts.isEmpty ? .distantFuture : now + configuration.gossipInterval
  }

  mutating func takeBroadcasts(bytes: Int, copies: Int) -> [Evidence] {
    let (table, own) = (table, record)
    return broadcasts.take(bytes: bytes, copies: copies) { evidence in
      switch evidence {
      case .record(let record):
        if record === own { return true }
        guard let slot = table.slot(of: record.subject) else { return false }
        return table[slot].record === record
      case .accusation(let accusation):
        // About members that are not admitted here others may know more.
        guard let slot = table.slot(of: accusation.subject) else { return true }
        let accuser = accusation.accuser
        return table[slot].caseIndex >= 0
          && table[slot].record?.incarnation == accusation.incarnation
          && (accuser == own.subject || table.slot(of: accuser) != nil)
      }
    }
  }

  // MARK: State

  mutating func setState(
    _ slot: Int32, _ state: MemberState, record: MemberRecord?, now: Instant,
    _ effects: inout [Effect]
  ) {
    let old = table[slot].state
    table.change(slot, to: state, record: record, now: now)
    if old != state {
      effects.append(.event(.state(table.id(slot), from: old, to: state)))
    }
  }
}
