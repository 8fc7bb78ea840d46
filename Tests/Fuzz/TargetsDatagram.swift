import Base
import Runtime
import Wire

/// Sealed datagrams, with the real cryptography: mutated ones, and mutated messages that an admitted
/// peer sealed as it should.
func datagramTarget() -> FuzzTarget {
  let link = SealedLink()
  return FuzzTarget(name: "datagram", corpus: link.recorded + Envelopes.all) { link.take($0) }
}

/// Two peers with an established session.
private final class SealedLink {
  private var sender: SealedSessions
  private var receiver: SealedSessions
  private var now = Instant.zero
  private(set) var recorded: [[UInt8]] = []

  private let hostile = IPEndpoint(IPAddress(v4: 0x0a00_0009), port: 9)
  private let honest = IPEndpoint(IPAddress(v4: 0x0a00_0001), port: 7_946)

  init() {
    let (a, b) = (Samples.admin, Samples.peer)
    sender = SealedSessions(me: a.nodeID, crypto: .sodium(a), rng: SeededGenerator(seed: 1))
    receiver = SealedSessions(me: b.nodeID, crypto: .sodium(b), rng: SeededGenerator(seed: 2))
    sender.setPeers([(b.nodeID, b.publicKey)], now: now)
    receiver.setPeers([(a.nodeID, a.publicKey)], now: now)
    var out: [OutgoingDatagram] = []
    sender.seal([1, 2, 3], to: b.nodeID, at: honest, now: now, into: &out)
    var toReceiver = true
    while !out.isEmpty {
      let sent = out.map(\.bytes)
      out = []
      for datagram in sent {
        if toReceiver {
          recorded.append(datagram)
          _ = receiver.open(datagram, from: honest, now: now, into: &out)
        } else {
          _ = sender.open(datagram, from: honest, now: now, into: &out)
        }
      }
      toReceiver.toggle()
    }
    receiver.seal([4], to: a.nodeID, at: honest, now: now, into: &out)
    for datagram in out { _ = sender.open(datagram.bytes, from: honest, now: now, into: &out) }
    out = []
    sender.seal([5, 6], to: b.nodeID, at: honest, now: now, into: &out)
    recorded += out.map(\.bytes)
  }

  func take(_ input: [UInt8]) {
    // As fast as a source may send what does not open.
    now = now + .milliseconds(2)
    var out: [OutgoingDatagram] = []
    _ = receiver.open(input, from: hostile, now: now, into: &out)
    guard !input.isEmpty, input.count <= SealedFormat.maximumMessage else { return }
    out = []
    let isSealed = sender.seal(
      input, to: Samples.peer.nodeID, at: honest, now: now, into: &out)
    precondition(isSealed && out.count == 1, "an established session seals at once")
    var replies: [OutgoingDatagram] = []
    let opened = receiver.open(out[0].bytes, from: honest, now: now, into: &replies)
    guard case .message(Samples.admin.nodeID, let message) = opened, message == input else {
      preconditionFailure("what was sealed did not open: \(opened)")
    }
    _ = try? EnvelopeCodec.decode(message, crypto: Samples.crypto)
  }
}
