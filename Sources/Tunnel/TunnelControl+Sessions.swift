internal import Base

extension TunnelControl {
  /// TLS is finished: keys of epoch 0, and a session that waits to be heard. False where TLS gives
  /// no keying material.
  mutating func openSession(
    _ handshake: Handshake, _ number: Int, _ peer: TLSPeer, _ now: Instant,
    _ effects: inout [TunnelEffect]
  ) -> Bool {
    guard let link = links[number], let remoteIndex = handshake.remoteSession,
      let target = handshake.target
    else { return false }
    let remote = GatewayName(cluster: link.config.id.cluster, replica: link.config.id.replica)
    let client = handshake.role == .client
    let context = KeySchedule.context(
      slice: link.config.id.slice, initiator: client ? name : remote,
      responder: client ? remote : name,
      initiatorIndex: client ? handshake.session.index : remoteIndex,
      responderIndex: client ? remoteIndex : handshake.session.index)
    guard let secret = handshake.tls?.export(KeySchedule.exporterLabel, context, 32) else {
      return false
    }
    let lifetime = timing.sessionLifetime
    let session = Session(
      id: handshake.session, link: number, role: handshake.role, target: target,
      receiveLanes: handshake.remoteLanes, sendLanes: sendLanes, peer: peer,
      begunAt: handshake.startedAt, createdAt: now,
      epochs: EpochMachine(
        role: handshake.role, secret: secret, timing: timing, now: now, rng: &rng),
      liveness: Liveness(timing: timing, now: now),
      path: path(of: link, target, now),
      renewAt: now + jittered(lifetime * 7 / 8))
    sessions[session.id.slot] = session
    effects.append(
      .open(
        SessionOpening(
          id: session.id, remoteIndex: remoteIndex, link: number, slice: link.config.id.slice,
          receiveLanes: session.receiveLanes, sendLanes: session.sendLanes, target: target,
          localBlocks: link.config.localBlocks, remoteBlocks: link.config.remoteBlocks)))
    apply(
      [.installReceive(epoch: 0, secret: secret), .installSend(epoch: 0, secret: secret)],
      session.id, &effects)
    return true
  }

  /// What is known of the link's path, or nothing.
  func path(of link: Link, _ target: TunnelTarget, _ now: Instant) -> PathSearch {
    var ceiling = link.config.mtu + PacketHeader.overhead
    if let relay = target.relay.flatMap({ links[$0] }).flatMap({ session($0.active) }) {
      ceiling = min(ceiling, relay.path.limit - RelayAddress.overhead)
    }
    if let active = session(link.active), active.target == target, active.path.ceiling == ceiling {
      return active.path
    }
    return PathSearch(ceiling: ceiling, timing: timing, now: now)
  }

  /// The first authentic packet of an epoch.
  mutating func heard(
    _ id: SessionID, _ epoch: UInt64, _ now: Instant, _ effects: inout [TunnelEffect]
  ) {
    guard let session = session(id) else { return }
    var actions: [EpochMachine.Action] = []
    sessions[id.slot]?.epochs.heard(
      epoch, now: now, probeTimeout: session.liveness.probeTimeout, rng: &rng, actions: &actions)
    apply(actions, id, &effects)
    if !session.confirmed { confirm(session, now, &effects) }
  }

  /// Both sides hold the session's keys: it may carry traffic.
  private mutating func confirm(
    _ session: Session, _ now: Instant, _ effects: inout [TunnelEffect]
  ) {
    sessions[session.id.slot]?.confirmed = true
    guard let link = links[session.link] else { return }
    let alive = self.session(link.active)?.liveness.alive ?? false
    sessions[session.id.slot]?.liveness.begin(now, alive: alive)
    if link.initiating?.session == session.id { links[session.link]?.initiating = nil }
    if link.responding?.session == session.id { links[session.link]?.responding = nil }
    links[session.link]?.handshakes += 1
    links[session.link]?.failures = 0
    links[session.link]?.lastError = nil
    effects.append(.event(.established(link.config.id)))
    if let active = self.session(link.active), prefers(active, over: session, link) {
      retire(session.id, now)
      return
    }
    if let active = link.active { retire(active, now) }
    links[session.link]?.active = session.id
    limitSessions(session.link, &effects)
  }

  /// The newer session wins, unless both come of handshakes that crossed: then the one that the
  /// smaller name initiated does, so that both sides keep the same.
  private func prefers(
    _ active: Session, over session: Session, _ link: Link
  ) -> Bool {
    guard active.role != session.role, active.liveness.alive,
      session.begunAt < active.createdAt
    else { return false }
    return (active.role == .client) == link.initiates
  }

  private mutating func retire(_ id: SessionID, _ now: Instant) {
    guard isOpen(id) else { return }
    sessions[id.slot]?.closesAt = now + timing.sessionOverlap
  }

  private mutating func limitSessions(_ number: Int, _ effects: inout [TunnelEffect]) {
    let own = sessions.compactMap { $0 }.filter { $0.link == number }
    guard own.count > TunnelLimits.sessionsPerLink else { return }
    let draining = own.filter { $0.closesAt != nil }.min {
      ($0.createdAt, $0.id) < ($1.createdAt, $1.id)
    }
    if let draining { closeSession(draining.id, tell: nil, &effects) }
  }

  /// A session message, already opened and new.
  mutating func receive(
    _ bytes: [UInt8], on id: SessionID, _ now: Instant, _ effects: inout [TunnelEffect]
  ) {
    guard let session = session(id) else { return }
    guard let message = try? SessionMessage(decoding: bytes) else {
      effects.append(.event(.refusedDatagram(.malformed)))
      return
    }
    var actions: [EpochMachine.Action] = []
    let timeout = session.liveness.probeTimeout
    switch message {
    case .nothing:
      break
    case .probe(let number):
      let answer = SessionMessage.answer(number: number, observed: session.target.endpoint)
      effects.append(.sendMessage(id, answer.encoded))
    case .answer(let number, _) where number >= PathSearch.numbers:
      _ = sessions[id.slot]?.path.answered(number, now: now)
    case .answer(let number, let observed):
      sessions[id.slot]?.observed = observed
      let revived = sessions[id.slot]?.liveness.answered(number, now: now) ?? false
      if revived, links[session.link]?.active == id { links[session.link]?.lastError = nil }
    case .propose(let epoch, let share):
      sessions[id.slot]?.epochs.proposed(epoch, share: share, crypto: crypto, actions: &actions)
    case .accept(let epoch, let share):
      sessions[id.slot]?.epochs.accepted(
        epoch, share: share, now: now, probeTimeout: timeout, crypto: crypto, rng: &rng,
        actions: &actions)
    case .ask(let epoch):
      sessions[id.slot]?.epochs.asked(for: epoch)
    case .challenge(let token):
      effects.append(.sendMessage(id, SessionMessage.response(token: token).encoded))
    case .response(let token):
      answered(token, id, now)
    case .close(let reason):
      closed(session, reason, now, &effects)
      return
    }
    apply(actions, id, &effects)
    tickSession(id, now, &effects)
  }

  /// The far side ended the session.
  private mutating func closed(
    _ session: Session, _ reason: String, _ now: Instant, _ effects: inout [TunnelEffect]
  ) {
    let wasActive = links[session.link]?.active == session.id
    closeSession(session.id, tell: nil, &effects)
    guard wasActive, let link = links[session.link] else { return }
    links[session.link]?.lastError = "the far side closed: \(reason)"
    links[session.link]?.nextAttempt =
      now + (link.initiates ? timing.retryAfter : timing.initiativeDelay * 2)
  }

  /// Ends a session at once. What was draining may carry traffic again.
  mutating func closeSession(
    _ id: SessionID, tell reason: String?, _ effects: inout [TunnelEffect]
  ) {
    guard let session = session(id) else { return }
    if let reason { effects.append(.sendMessage(id, SessionMessage.close(reason).encoded)) }
    effects.append(.close(id))
    sessions[id.slot] = nil
    releaseSlot(id)
    // An attempt that it came of holds the slot no longer.
    for attempt in [\Link.initiating, \Link.responding]
    where links[session.link]?[keyPath: attempt]?.session == id {
      links[session.link]?[keyPath: attempt]?.holdsSlot = false
    }
    guard links[session.link]?.active == id else { return }
    let other = sessions.compactMap { $0 }.last { $0.link == session.link && $0.confirmed }
    links[session.link]?.active = other?.id
    if let other { sessions[other.id.slot]?.closesAt = nil }
  }

  /// Epochs, probes and ends of every session.
  mutating func tickSessions(_ now: Instant, _ effects: inout [TunnelEffect]) {
    for slot in sessions.indices {
      guard let id = sessions[slot]?.id else { continue }
      tickSession(id, now, &effects)
    }
  }

  mutating func tickSession(
    _ id: SessionID, _ now: Instant, _ effects: inout [TunnelEffect]
  ) {
    guard let session = session(id) else { return }
    if let closesAt = session.closesAt {
      if closesAt <= now { closeSession(id, tell: "another session took over", &effects) }
      return
    }
    guard let probe = sessions[id.slot]?.liveness.tick(now) else { return }
    if let number = probe.probe {
      effects.append(.sendMessage(id, SessionMessage.probe(number: number).encoded))
      if !session.confirmed { sessions[id.slot]?.liveness.hurry(now) }
    }
    if probe.died, let link = links[session.link], link.active == id {
      links[session.link]?.lastError = "the far side stopped answering probes"
      // Its next session is made at once, by the side whose turn it is.
      links[session.link]?.nextAttempt = link.initiates ? now : now + timing.initiativeDelay
    }
    guard session.confirmed else { return }
    tickChallenge(id, now, &effects)
    var actions: [EpochMachine.Action] = []
    sessions[id.slot]?.epochs.tick(
      now, probeTimeout: session.liveness.probeTimeout, crypto: crypto, actions: &actions)
    apply(actions, id, &effects)
    let path = sessions[id.slot]?.path.tick(
      now, probeTimeout: session.liveness.probeTimeout,
      answers: session.liveness.alive && !session.liveness.suspect)
    if let path {
      let message = SessionMessage.padded(probe: path.number, datagram: path.size)
      effects.append(.sendMessage(id, message))
    }
  }

  /// Turns decisions about epochs into keys and messages.
  private mutating func apply(
    _ actions: [EpochMachine.Action], _ id: SessionID, _ effects: inout [TunnelEffect]
  ) {
    guard let session = session(id) else { return }
    for action in actions {
      switch action {
      case .installReceive(let epoch, let secret):
        let keys = KeySchedule.lanes(
          secret, sender: session.role.peer, lanes: session.receiveLanes, crypto: crypto)
        effects.append(.installReceive(id, epoch: epoch, keys))
      case .installSend(let epoch, let secret):
        let keys = KeySchedule.lanes(
          secret, sender: session.role, lanes: session.sendLanes, crypto: crypto)
        effects.append(.installSend(id, epoch: epoch, keys))
        guard epoch > 0, let link = links[session.link] else { continue }
        links[session.link]?.rekeys += 1
        effects.append(.event(.rekeyed(link.config.id, epoch: epoch)))
      case .removeReceive(let epoch):
        effects.append(.removeReceive(id, epoch: epoch))
      case .send(let message):
        effects.append(.sendMessage(id, message.encoded))
      case .halt:
        effects.append(.halt(id))
      }
    }
  }
}
