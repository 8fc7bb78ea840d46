internal import Base

/// Is the far side at another address now, or does somebody forward its packets from there? Both
/// addresses are asked; the session moves only when the new one answers and the old one does not (RFC
/// 9000 sections 8.2 and 9.3.3).
struct PathChallenge: Sendable {
  let place: IPEndpoint
  /// What the two addresses have to say.
  let newToken: [UInt8]
  let oldToken: [UInt8]
  var newAnswered = false
  /// Asked once more half way, should a datagram get lost.
  var repeatAt: Instant?
  let decideAt: Instant

  var deadline: Instant { min(decideAt, repeatAt ?? .distantFuture) }
}

extension TunnelControl {
  /// The newest packet came from another address. One challenge at a time: who forwards packets from
  /// everywhere causes no more than that.
  mutating func challenge(
    _ id: SessionID, at place: IPEndpoint, _ now: Instant, _ effects: inout [TunnelEffect]
  ) {
    guard let session = session(id), session.confirmed, session.closesAt == nil,
      session.challenge == nil, case .address(let known) = session.target, known != place
    else { return }
    let wait = max(session.liveness.probeTimeout * 3, timing.challengeLeast)
    sessions[id.slot]?.challenge = PathChallenge(
      place: place, newToken: crypto.random(SessionMessage.tokenSize),
      oldToken: crypto.random(SessionMessage.tokenSize), repeatAt: now + wait / 2,
      decideAt: now + wait)
    askBoth(id, &effects)
  }

  private func askBoth(_ id: SessionID, _ effects: inout [TunnelEffect]) {
    guard let challenge = session(id)?.challenge else { return }
    effects.append(
      .challenge(
        id, SessionMessage.challenge(token: challenge.newToken).encoded, at: challenge.place))
    effects.append(
      .sendMessage(id, SessionMessage.challenge(token: challenge.oldToken).encoded))
  }

  mutating func answered(_ token: [UInt8], _ id: SessionID, _ now: Instant) {
    guard let challenge = session(id)?.challenge else { return }
    if token == challenge.oldToken {
      sessions[id.slot]?.challenge = nil
    } else if token == challenge.newToken {
      sessions[id.slot]?.challenge?.newAnswered = true
    }
  }

  mutating func tickChallenge(
    _ id: SessionID, _ now: Instant, _ effects: inout [TunnelEffect]
  ) {
    guard let session = session(id), let challenge = session.challenge else { return }
    if let repeatAt = challenge.repeatAt, repeatAt <= now {
      sessions[id.slot]?.challenge?.repeatAt = nil
      askBoth(id, &effects)
    }
    guard challenge.decideAt <= now else { return }
    sessions[id.slot]?.challenge = nil
    guard challenge.newAnswered, let link = links[session.link] else { return }
    let target = TunnelTarget.address(challenge.place)
    sessions[id.slot]?.target = target
    let path = path(of: link, target, now)
    sessions[id.slot]?.path = path
    sessions[id.slot]?.liveness.hurry(now)
    effects.append(.retarget(id, target))
    effects.append(.event(.roamed(link.config.id, to: challenge.place)))
  }
}
