internal import Base

/// The epochs of one session: when the next one is proposed, which keys are installed when, and
/// when the old ones go, so that no packet is lost by a rekey (`tunnel.md`, epoch rekey).
///
/// Receive keys are {e−1, e, e+1}. The session's initiator proposes; the responder installs receive
/// e+1 and accepts; the initiator installs receive e+1, then sends with it; the responder follows at
/// the first authentic packet of e+1. Each switch sends an empty packet, repeated until the far side
/// is heard under the new epoch, so that one-way traffic cannot stall it.
struct EpochMachine: Sendable {
  enum Action: Hashable, Sendable {
    case installReceive(epoch: UInt64, secret: [UInt8])
    /// Installs and switches in one step.
    case installSend(epoch: UInt64, secret: [UInt8])
    case removeReceive(epoch: UInt64)
    case send(SessionMessage)
    /// The hard stop was reached.
    case halt
  }

  private enum Phase: Sendable {
    case steady
    /// Initiator: waits for the responder's share.
    case proposing(pair: TunnelCrypto.KeyPair)
    /// Responder: can receive the next epoch; switches when it hears it.
    case prepared(proposal: [UInt8], share: [UInt8], secret: [UInt8])
    /// Initiator: sends under the new epoch, has not heard it yet.
    case confirming
  }

  private let role: TLSRole
  private let timing: TunnelTiming
  /// The epoch that we send with.
  private(set) var epoch: UInt64 = 0
  private var secret: [UInt8]
  private var phase = Phase.steady
  private(set) var startedAt: Instant
  private var rekeyAt: Instant
  private var halted = false
  private var resendAt: Instant?
  private var resendDelay: Duration = .zero
  private var previousGoesAt: Instant?
  /// Someone wants the next epoch as soon as the spacing allows.
  private var wanted = false
  private(set) var rekeys: UInt64 = 0

  init(
    role: TLSRole, secret: [UInt8], timing: TunnelTiming, now: Instant,
    rng: inout SeededGenerator
  ) {
    self.role = role
    self.timing = timing
    self.secret = secret
    startedAt = now
    rekeyAt = now
    rekeyAt = nextRekey(now, &rng)
  }

  /// The initiator's time comes first; the responder asks only when it did not act.
  private func nextRekey(_ now: Instant, _ rng: inout SeededGenerator) -> Instant {
    let jitter = Int64.random(in: 0...max(1, timing.rekeyJitter.nanoseconds), using: &rng)
    let extra = role == .client ? Duration.zero : timing.rekeyJitter
    return now + (timing.rekeyAfter + extra - .nanoseconds(jitter))
  }

  var deadline: Instant {
    var soonest = halted ? Instant.distantFuture : startedAt + timing.hardStopAfter
    if let resendAt { soonest = min(soonest, resendAt) }
    if let previousGoesAt { soonest = min(soonest, previousGoesAt) }
    if case .steady = phase, resendAt == nil {
      soonest = min(soonest, max(wanted ? .zero : rekeyAt, startedAt + timing.epochSpacing))
    }
    return soonest
  }

  /// Asks for the next epoch: forced, or because a key is worn.
  mutating func want() {
    wanted = true
  }

  mutating func tick(
    _ now: Instant, probeTimeout: Duration, crypto: TunnelCrypto, actions: inout [Action]
  ) {
    if let due = previousGoesAt, due <= now {
      previousGoesAt = nil
      actions.append(.removeReceive(epoch: epoch - 1))
    }
    if !halted, now >= startedAt + timing.hardStopAfter {
      halted = true
      actions.append(.halt)
    }
    switch phase {
    case .steady:
      let due = max(wanted ? .zero : rekeyAt, startedAt + timing.epochSpacing)
      guard now >= due, resendAt.map({ $0 <= now }) ?? true else { return }
      if role == .client {
        phase = .proposing(pair: crypto.makeKeyPair())
        resendDelay = probeTimeout
      } else {
        resendDelay = resendAt == nil ? probeTimeout : resendDelay
      }
      repeatMessage(now, &actions)
    case .proposing, .confirming:
      if let resendAt, resendAt <= now { repeatMessage(now, &actions) }
    case .prepared:
      break
    }
  }

  /// Sends what the phase repeats until it is answered, each time later than before.
  private mutating func repeatMessage(_ now: Instant, _ actions: inout [Action]) {
    switch phase {
    case .steady: actions.append(.send(.ask(epoch: epoch + 1)))
    case .proposing(let pair):
      actions.append(.send(.propose(epoch: epoch + 1, share: pair.publicKey)))
    case .confirming: actions.append(.send(.nothing))
    case .prepared: return
    }
    resendAt = now + resendDelay
    resendDelay = min(resendDelay * 2, .seconds(1))
  }

  /// Responder: the initiator proposes.
  mutating func proposed(
    _ proposedEpoch: UInt64, share: [UInt8], crypto: TunnelCrypto, actions: inout [Action]
  ) {
    guard role == .server, proposedEpoch == epoch + 1 else { return }
    if case .prepared(let proposal, let ours, _) = phase {
      // The acceptance got lost; another share for the same epoch is not authentic progress.
      if proposal == share { actions.append(.send(.accept(epoch: proposedEpoch, share: ours))) }
      return
    }
    let pair = crypto.makeKeyPair()
    guard let shared = crypto.agree(pair.privateKey, share) else { return }
    let next = KeySchedule.next(
      secret, shared: shared, epoch: proposedEpoch, initiatorShare: share,
      responderShare: pair.publicKey, crypto: crypto)
    phase = .prepared(proposal: share, share: pair.publicKey, secret: next)
    resendAt = nil
    actions.append(.installReceive(epoch: proposedEpoch, secret: next))
    actions.append(.send(.accept(epoch: proposedEpoch, share: pair.publicKey)))
  }

  /// Initiator: the responder can receive the next epoch.
  mutating func accepted(
    _ acceptedEpoch: UInt64, share: [UInt8], now: Instant, probeTimeout: Duration,
    crypto: TunnelCrypto, rng: inout SeededGenerator, actions: inout [Action]
  ) {
    guard role == .client, acceptedEpoch == epoch + 1, case .proposing(let pair) = phase,
      let shared = crypto.agree(pair.privateKey, share)
    else { return }
    let next = KeySchedule.next(
      secret, shared: shared, epoch: acceptedEpoch, initiatorShare: pair.publicKey,
      responderShare: share, crypto: crypto)
    actions.append(.installReceive(epoch: acceptedEpoch, secret: next))
    phase = .confirming
    switchOver(to: next, now, probeTimeout, &rng, &actions)
    resendDelay = probeTimeout
    repeatMessage(now, &actions)
  }

  /// The first authentic packet came under an epoch.
  mutating func heard(
    _ heardEpoch: UInt64, now: Instant, probeTimeout: Duration, rng: inout SeededGenerator,
    actions: inout [Action]
  ) {
    switch phase {
    case .prepared(_, _, let next) where heardEpoch == epoch + 1:
      phase = .steady
      switchOver(to: next, now, probeTimeout, &rng, &actions)
      actions.append(.send(.nothing))
    case .confirming where heardEpoch == epoch:
      phase = .steady
      resendAt = nil
    default:
      break
    }
  }

  /// Initiator: the responder would like to go on.
  mutating func asked(for askedEpoch: UInt64) {
    if role == .client, askedEpoch == epoch + 1 { wanted = true }
  }

  /// Sends with the next secret from here on; the secret before it is forgotten.
  private mutating func switchOver(
    to next: [UInt8], _ now: Instant, _ probeTimeout: Duration, _ rng: inout SeededGenerator,
    _ actions: inout [Action]
  ) {
    if previousGoesAt != nil { actions.append(.removeReceive(epoch: epoch - 1)) }
    epoch += 1
    secret = next
    rekeys += 1
    wanted = false
    halted = false
    startedAt = now
    rekeyAt = nextRekey(now, &rng)
    let grace = max(timing.previousEpochLeast, probeTimeout * 3)
    previousGoesAt = now + min(grace, timing.previousEpochMost)
    actions.append(.installSend(epoch: epoch, secret: next))
  }
}
