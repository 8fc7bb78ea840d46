internal import Base

/// Probes in the tunnel: is the far side there, how far away is it, how many get lost.
///
/// A probe goes every 300 ms. While an answer is overdue they come faster, and the far side is dead
/// once three intervals have passed since the last probe that was answered: within a second on any
/// path below 50 ms, and never for a few lost packets. Long before that it is suspect: flows that have
/// another way take it, and TCP's second retransmission, 600 ms after the first loss (RFC 6298), finds
/// it.
struct Liveness: Sendable {
  /// Probes that loss is counted over, and that an answer may still match.
  static let history: UInt64 = 128

  private enum Outcome: UInt8 { case unanswered, answered }

  private let timing: TunnelTiming
  private var nextNumber: UInt64 = 0
  private var sentAt = [Instant](repeating: .zero, count: Int(history))
  private var outcomes = [Outcome](repeating: .unanswered, count: Int(history))
  private(set) var nextProbe: Instant
  /// When the answer to the newest probe is overdue.
  private var overdueAt: Instant?
  /// Probes in a row whose answer was overdue.
  private var missed = 0
  /// When the newest answered probe was sent.
  private var answeredSentAt: Instant
  private var newestAnswered: UInt64?
  private(set) var smoothed: Duration?
  private var variation: Duration = .zero
  private(set) var jitter: Duration = .zero
  private var lastSample: Duration?
  /// It answers. Neither alive nor dead: it had no time to answer yet.
  private(set) var alive = false
  private(set) var dead = false

  init(timing: TunnelTiming, now: Instant) {
    self.timing = timing
    nextProbe = now
    answeredSentAt = now
  }

  /// Probe timeout as in RFC 9002 section 6.2.1, without the delay of acknowledgements.
  var probeTimeout: Duration {
    guard let smoothed else { return timing.retransmitAfter }
    return smoothed + max(variation * 4, .milliseconds(10))
  }

  /// Share of the probes that had time to be answered and were not, 0 to 1.
  func loss(_ now: Instant) -> Double? {
    var (answered, lost) = (0.0, 0.0)
    let first = nextNumber > Self.history ? nextNumber - Self.history : 0
    for number in first..<nextNumber {
      let slot = Int(number % Self.history)
      if outcomes[slot] == .answered {
        answered += 1
      } else if now - sentAt[slot] > probeTimeout * 2 {
        lost += 1
      }
    }
    return answered + lost > 0 ? lost / (answered + lost) : nil
  }

  private var deadAt: Instant {
    let margin = max(.milliseconds(50), probeTimeout)
    return answeredSentAt + timing.probeInterval * timing.missedProbes + margin
  }

  var deadline: Instant {
    dead ? nextProbe : min(nextProbe, min(deadAt, overdueAt ?? .distantFuture))
  }

  /// It answered and does not now: worse than any other way, better than none.
  var suspect: Bool { alive && missed >= timing.missedProbes }

  /// The number of a probe to send, if one is due; and whether the far side just died.
  mutating func tick(_ now: Instant) -> (probe: UInt64?, died: Bool) {
    var died = false
    if !dead, now >= deadAt {
      alive = false
      dead = true
      died = true
    }
    if let overdue = overdueAt, overdue <= now {
      missed += 1
      overdueAt = nil
      nextProbe = min(nextProbe, now)
    }
    guard now >= nextProbe else { return (nil, died) }
    let number = nextNumber
    nextNumber += 1
    let slot = Int(number % Self.history)
    sentAt[slot] = now
    outcomes[slot] = .unanswered
    overdueAt = alive ? now + max(timing.fastProbeInterval, probeTimeout) : nil
    nextProbe = now + timing.probeInterval
    return (number, died)
  }

  /// Looks again soon, for example while a session waits to be heard.
  mutating func hurry(_ now: Instant) {
    nextProbe = min(nextProbe, now + timing.fastProbeInterval)
  }

  /// Something authentic was heard for the first time: the wait for an answer begins. Where the
  /// session before was alive this one is too: a rotation is no outage.
  mutating func begin(_ now: Instant, alive: Bool) {
    self.alive = self.alive || alive
    dead = false
    answeredSentAt = max(answeredSentAt, now)
  }

  /// An answer came; true where the far side just came to life.
  mutating func answered(_ number: UInt64, now: Instant) -> Bool {
    guard number < nextNumber, nextNumber - number <= Self.history else { return false }
    let slot = Int(number % Self.history)
    guard outcomes[slot] == .unanswered else { return false }
    outcomes[slot] = .answered
    if number >= newestAnswered ?? 0 {
      newestAnswered = number
      missed = 0
      if number + 1 == nextNumber { overdueAt = nil }
      answeredSentAt = max(answeredSentAt, sentAt[slot])
    }
    sample(now - sentAt[slot])
    // An answer to a very old probe says nothing of now.
    guard !alive, now < deadAt else { return false }
    alive = true
    dead = false
    return true
  }

  /// RFC 6298 section 2 for the mean and its variation, RFC 3550 section 6.4.1 for jitter.
  private mutating func sample(_ time: Duration) {
    if let smoothed {
      let difference = time > smoothed ? time - smoothed : smoothed - time
      variation = variation * 3 / 4 + difference / 4
      self.smoothed = smoothed * 7 / 8 + time / 8
    } else {
      smoothed = time
      variation = time / 2
    }
    if let lastSample {
      let difference = time > lastSample ? time - lastSample : lastSample - time
      jitter += (difference - jitter) / 16
    }
    lastSample = time
  }
}
