internal import Base

extension TunnelControl {
  /// Makes the links what the state says. Idempotent.
  mutating func configure(
    _ configs: [LinkConfig], _ now: Instant, _ effects: inout [TunnelEffect]
  ) {
    var wanted: [LinkID: LinkConfig] = [:]
    for config in configs where wanted[config.id] == nil {
      var config = config
      config.endpoints = Array(config.endpoints.prefix(TunnelLimits.endpoints))
      config.localBlocks = Array(config.localBlocks.prefix(TunnelLimits.blocks))
      config.remoteBlocks = Array(config.remoteBlocks.prefix(TunnelLimits.blocks))
      wanted[config.id] = config
    }
    for (id, number) in numbers.sorted(by: { $0.key < $1.key }) {
      guard let old = links[number]?.config else { continue }
      // Another key or another trust is another far side: nothing of the old one stays.
      if wanted[id].map({ $0.staticKey != old.staticKey || $0.trust != old.trust }) ?? true {
        removeLink(number, "the link was removed or its keys were replaced", &effects)
      }
    }
    for (id, config) in wanted.sorted(by: { $0.key < $1.key }) {
      if let number = numbers[id] {
        update(number, config, now, &effects)
      } else {
        addLink(config, now, &effects)
      }
    }
    effects.append(.tags(tags.keys.sorted()))
    effects.append(.relays(relayEntries))
    tickLinks(now, &effects)
  }

  private mutating func addLink(
    _ config: LinkConfig, _ now: Instant, _ effects: inout [TunnelEffect]
  ) {
    let remote = GatewayName(cluster: config.id.cluster, replica: config.id.replica)
    guard numbers.count < TunnelLimits.links, remote != name else { return }
    let keys = LinkKeys(
      privateKey: staticKey, publicKey: config.staticKey, slice: config.id.slice, local: name,
      remote: remote, crypto: crypto)
    guard let keys, tags[keys.receiveTag] == nil else {
      let reason = "the static key of the far side is not a usable X25519 key"
      effects.append(.event(.handshakeFailed(config.id, reason: reason)))
      return
    }
    let number = links.firstIndex { $0 == nil } ?? links.count
    if number == links.count { links.append(nil) }
    let initiates = name < remote
    links[number] = Link(
      config: config, keys: keys,
      address: RelayAddress(slice: config.id.slice, gateway: remote, crypto),
      initiates: initiates, nextAttempt: initiates ? now : now + timing.initiativeDelay,
      directAt: now)
    numbers[config.id] = number
    tags[keys.receiveTag] = number
    effects.append(.openLink(number, config.id))
  }

  private mutating func update(
    _ number: Int, _ config: LinkConfig, _ now: Instant, _ effects: inout [TunnelEffect]
  ) {
    guard let old = links[number]?.config, old != config else { return }
    links[number]?.config = config
    if old.endpoints != config.endpoints, let link = links[number] {
      // A new address is tried at once, not when the old one's turn comes: by an attempt that is under
      // way, or beside a session that goes through a relay.
      if link.initiating?.phase == .hello { links[number]?.initiating?.helloAt = now }
      links[number]?.directAt = link.initiates ? now : now + timing.initiativeDelay
    }
    guard old.localBlocks != config.localBlocks || old.remoteBlocks != config.remoteBlocks else {
      return
    }
    for case let session? in sessions where session.link == number {
      effects.append(
        .setBlocks(session.id, local: config.localBlocks, remote: config.remoteBlocks))
    }
  }

  private mutating func removeLink(
    _ number: Int, _ reason: String, _ effects: inout [TunnelEffect]
  ) {
    guard let link = links[number] else { return }
    // The goodbye first: the far side may have heard a session that we have not heard yet.
    for case let session? in sessions where session.link == number {
      closeSession(session.id, tell: reason, &effects)
    }
    // Its number may soon be another's: nothing goes through it any more.
    for case let session? in sessions where session.target.relay == number {
      closeSession(session.id, tell: nil, &effects)
    }
    for other in links.indices {
      for attempt in [\Link.initiating, \Link.responding]
      where links[other]?[keyPath: attempt]?.target?.relay == number {
        abandon(attempt, other, &effects)
      }
    }
    abandon(\.initiating, number, &effects)
    abandon(\.responding, number, &effects)
    if active[number] != nil { effects.append(.active(link: number, nil)) }
    active[number] = nil
    tags[link.keys.receiveTag] = nil
    numbers[link.config.id] = nil
    links[number] = nil
  }

  /// Drops an attempt, and a session that came of it and was never heard.
  mutating func abandon(
    _ attempt: WritableKeyPath<Link, Handshake?>, _ number: Int,
    _ effects: inout [TunnelEffect]
  ) {
    guard let handshake = links[number]?[keyPath: attempt] else { return }
    links[number]?[keyPath: attempt] = nil
    // A renewal that did not come through is still wanted.
    if handshake.renews { links[number]?.wantsRenewal = true }
    if isOpen(handshake.session) {
      closeSession(handshake.session, tell: nil, &effects)
    } else if handshake.holdsSlot {
      releaseSlot(handshake.session)
    }
  }

  /// Whether a link has reason to make a new session.
  func needsHandshake(_ link: Link, _ now: Instant) -> Bool {
    needsSession(link, now) || wantsDirect(link, now)
  }

  /// Without counting that a relayed link should be a direct one.
  func needsSession(_ link: Link, _ now: Instant) -> Bool {
    guard link.responding.map({ Self.isRefused($0) }) ?? true else { return false }
    guard !link.wantsRenewal, let session = session(link.active) else { return true }
    return session.liveness.dead || session.handshakeDueAt(timing) <= now
      || session.epochs.epoch >= TunnelLimits.epochs
  }

  static func isRefused(_ handshake: Handshake) -> Bool {
    if case .refused = handshake.phase { true } else { false }
  }

  /// Begins, repeats and gives up handshakes.
  mutating func tickLinks(_ now: Instant, _ effects: inout [TunnelEffect]) {
    for number in links.indices {
      tickAttempt(\.initiating, number, now, &effects)
      tickAttempt(\.responding, number, now, &effects)
      if let link = links[number], link.directAt + timing.directFor <= now {
        let next = now + jittered(timing.directEvery)
        links[number]?.directAt = next
      }
      guard let link = links[number] else { continue }
      if link.initiating == nil {
        if now >= link.nextAttempt, needsHandshake(link, now) { initiate(number, now, &effects) }
      } else if link.initiating?.phase == .hello, !needsHandshake(link, now) {
        abandon(\.initiating, number, &effects)
      }
    }
  }

  private mutating func tickAttempt(
    _ attempt: WritableKeyPath<Link, Handshake?>, _ number: Int, _ now: Instant,
    _ effects: inout [TunnelEffect]
  ) {
    guard let link = links[number], var handshake = link[keyPath: attempt] else { return }
    if let deadline = handshake.deadline, deadline <= now {
      if Self.isRefused(handshake) {
        abandon(attempt, number, &effects)
      } else {
        let seconds = (now - handshake.startedAt).components.seconds
        fail(attempt, number, "no answer within \(seconds) s", tell: false, now, &effects)
      }
      return
    }
    if handshake.phase == .hello {
      guard handshake.helloAt <= now else { return }
      sayHello(&handshake, number, link, now, &effects)
    } else if let due = handshake.stream.deadline, due <= now {
      send(&handshake, link, now, &effects)
    }
    links[number]?[keyPath: attempt] = handshake
  }

  mutating func initiate(
    _ number: Int, _ now: Instant, _ effects: inout [TunnelEffect]
  ) {
    guard let link = links[number],
      !link.config.endpoints.isEmpty || !relays(for: number).isEmpty, let id = allocateSession()
    else {
      // The other side has to begin, or a relay has to come.
      links[number]?.nextAttempt = now + timing.relayAfter
      return
    }
    var handshake = Handshake(
      initiating: id, keys: link.keys,
      roundTripTime: session(link.active)?.liveness.smoothed, timing: timing, now: now,
      crypto: crypto)
    sayHello(&handshake, number, link, now, &effects)
    links[number]?.initiating = handshake
  }

  /// To every endpoint, and after a while through relays: the first that answers is used.
  private mutating func sayHello(
    _ handshake: inout Handshake, _ number: Int, _ link: Link, _ now: Instant,
    _ effects: inout [TunnelEffect]
  ) {
    var targets = link.config.endpoints.map { TunnelTarget.address($0) }
    let isRelayed = session(link.active)?.target.relay != nil
    if needsSession(link, now), isRelayed || now >= handshake.startedAt + timing.relayAfter {
      targets += relays(for: number).map { .relay(link: $0, addressee: link.address) }
    }
    for target in targets {
      effects.append(.send(handshake.seal(.hello, keys: link.keys, crypto: crypto), to: target))
    }
    handshake.hellos += 1
    handshake.helloAt = now + jittered(handshake.helloInterval)
    handshake.helloInterval = min(handshake.helloInterval * 2, timing.helloIntervalMost)
  }

  /// Within a quarter around it, so that gateways that failed together do not try together.
  mutating func jittered(_ delay: Duration) -> Duration {
    let quarter = max(1, delay.nanoseconds / 4)
    return delay + .nanoseconds(Int64.random(in: -quarter...quarter, using: &rng))
  }
}
