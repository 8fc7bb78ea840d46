internal import Base

/// Carries the TLS flights of one handshake over datagrams that get lost, reordered and repeated:
/// a byte stream each way with a cumulative acknowledgement, resent with a growing delay.
/// Everything in it is bounded by `TunnelLimits`.
struct FlightStream: Sendable {
  private struct Piece {
    var offset: Int
    var bytes: [UInt8]
  }

  // What we send.
  private var outgoing: [UInt8] = []
  private var acknowledged = 0
  /// Bytes sent at least once.
  private var sent = 0
  private var delay: Duration
  private let delayMost: Duration
  private var resendAt: Instant?
  private var sentAt: Instant?
  /// Least time between two sendings that the far side asks for.
  private static let hurryAfter: Duration = .milliseconds(50)

  // What we receive.
  private(set) var received = 0
  private var pending: [Piece] = []
  /// The far side sent something since our last acknowledgement.
  private var owesAcknowledgement = false

  init(timing: TunnelTiming, roundTripTime: Duration?) {
    delayMost = timing.retransmitMost
    delay = min(
      delayMost, roundTripTime.map { max($0 * 2, .milliseconds(50)) } ?? timing.retransmitAfter)
  }

  /// When `datagrams` must be asked again; `nil` while nothing waits for an acknowledgement.
  var deadline: Instant? { resendAt }

  /// All that was written has arrived.
  var isDelivered: Bool { acknowledged == outgoing.count }

  /// Queues bytes for the far side; false where the handshake's bound is reached.
  mutating func write(_ bytes: [UInt8]) -> Bool {
    guard outgoing.count + bytes.count <= TunnelLimits.flightBytes else { return false }
    outgoing += bytes
    return true
  }

  /// Takes a piece from the far side; gives the bytes that are now in order.
  mutating func receive(
    offset: Int, bytes: [UInt8], acknowledged theirs: Int, now: Instant
  ) -> [UInt8] {
    if theirs > acknowledged, theirs <= sent {
      acknowledged = theirs
      resendAt = isDelivered ? nil : now + delay
    }
    guard !bytes.isEmpty else { return [] }
    owesAcknowledgement = true
    guard offset + bytes.count > received, offset + bytes.count <= TunnelLimits.flightBytes else {
      return []
    }
    if offset > received {
      // Ahead of a gap: kept, once, while there is room.
      if pending.count < TunnelLimits.pendingFragments,
        !pending.contains(where: { $0.offset == offset })
      {
        pending.append(Piece(offset: offset, bytes: bytes))
      }
      return []
    }
    var ready = Array(bytes[(received - offset)...])
    received += ready.count
    while let index = pending.firstIndex(where: { $0.offset <= received }) {
      let piece = pending.remove(at: index)
      guard piece.offset + piece.bytes.count > received else { continue }
      let tail = piece.bytes[(received - piece.offset)...]
      ready += tail
      received += tail.count
    }
    return ready
  }

  /// The far side may wait for what was sent: it goes again, or, where all of that has arrived, an
  /// acknowledgement does.
  mutating func hurry(_ now: Instant) {
    guard let sentAt, sentAt + Self.hurryAfter <= now else { return }
    if isDelivered { owesAcknowledgement = true } else { resendAt = now }
  }

  /// What to send now: what was not sent yet, all that is unacknowledged when its time has come, or
  /// an acknowledgement alone.
  mutating func datagrams(now: Instant) -> [(offset: Int, bytes: [UInt8])] {
    var from = sent
    if let due = resendAt, due <= now {
      from = acknowledged
      delay = min(delay * 2, delayMost)
    }
    var pieces: [(offset: Int, bytes: [UInt8])] = []
    while from < outgoing.count {
      let end = min(from + TunnelLimits.fragment, outgoing.count)
      pieces.append((from, Array(outgoing[from..<end])))
      from = end
    }
    if !pieces.isEmpty {
      sent = outgoing.count
      resendAt = now + delay
    } else if owesAcknowledgement {
      pieces.append((sent, []))
    }
    owesAcknowledgement = false
    if !pieces.isEmpty { sentAt = now }
    return pieces
  }
}
