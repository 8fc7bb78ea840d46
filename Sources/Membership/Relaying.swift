import Base

/// A ping that we send on behalf of another member (SWIM §3.1).
///
/// A relay may lie that the target answered; that holds up one prober's probe, and others probe the
/// target too. A signature by the target would cost 64 bytes and two operations on every one.
struct Relay: Sendable {
  static let limit = 64

  var origin: NodeID
  var originSequence: UInt32
  /// Of our own ping; low three bits zero.
  var sequence: UInt32
  var target: Int32
  /// When to say that it did not answer; `distantFuture` once said.
  var nackDue: Instant
  /// Late answers are passed on until then.
  var expires: Instant
}

extension Membership {
  mutating func receive(
    probeRequest originSequence: UInt32, of target: NodeID, from origin: NodeID, now: Instant,
    _ effects: inout [Effect]
  ) {
    guard let slot = table.slot(of: target) else {
      effects.append(.event(.rejected(from: origin, .unknownSubject)))
      return
    }
    guard relays.count < Relay.limit else {
      effects.append(.event(.rejected(from: origin, .tooBusy)))
      return
    }
    sequence &+= 8
    let timeout = probeTimeout(of: slot)
    relays.append(
      Relay(
        origin: origin, originSequence: originSequence, sequence: sequence, target: slot,
        nackDue: now + timeout, expires: now + timeout + .seconds(1)))
    relaysDue = min(relaysDue, now + timeout)
    ping(slot, sequence: sequence, now, &effects)
  }

  /// Passes an answer on to whoever asked; `false` where it answers no relayed ping.
  mutating func finishRelay(
    sequence: UInt32, target: Int32, now: Instant, _ effects: inout [Effect]
  ) -> Bool {
    let match = relays.firstIndex { $0.sequence == sequence && $0.target == target }
    guard let match else { return false }
    let relay = relays.remove(at: match)
    effects.append(.send(to: relay.origin, [.relayedAck(sequence: relay.originSequence)]))
    return true
  }

  mutating func expireRelays(_ now: Instant, _ effects: inout [Effect]) {
    relays.removeAll { $0.expires <= now }
    for i in relays.indices where relays[i].nackDue <= now {
      relays[i].nackDue = .distantFuture
      effects.append(
        .send(to: relays[i].origin, [.nack(sequence: relays[i].originSequence)]))
    }
    relaysDue = relays.reduce(.distantFuture) { min($0, min($1.nackDue, $1.expires)) }
  }
}
