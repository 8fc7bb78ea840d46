internal import Base
internal import Membership
internal import NIOCore
internal import Peer
internal import Synchronization
internal import Wire

/// Saying who this peer is to those who may not know it.
extension PeerEngine {
  /// Whoever calls says who it is: the other side may not know it yet, and for sure not all of it
  /// while this one has learned nothing.
  func introduceSelf(on stream: StreamID, to identity: StreamIdentity) {
    guard identity == .unadmitted || !heardOf(identity) || bound.value.peer.isBare else { return }
    sendIntroduction(on: stream, to: identity.node)
  }

  private func heardOf(_ identity: StreamIdentity) -> Bool {
    guard let node = identity.node else { return false }
    return bound.value.peer.membership.state(of: node).isPresent
  }

  /// A member whose cluster's record is not known here is nobody on a stream, though its datagrams are
  /// heard: so is whoever lost its state and comes back by its key. It answers an introduction with the
  /// record.
  func introduceToUnvouched(_ node: NodeID) {
    let now = WallClock.now.instant
    guard trust.withLock({ $0[node].map { $0.authority == nil } }) == true,
      now >= bound.value.nextIntroduction, let address = addresses(of: node).first
    else { return }
    bound.value.nextIntroduction = now + Self.introductionInterval
    transports.withLock { $0 }?.streams.contact(address, joining: true)
  }

  /// Each leaves a stranger's connection to the other side for a while, of which it takes few.
  private static let introductionInterval: Duration = .seconds(10)

  /// Says who this peer is, once on each stream: the other side answers with its own introduction.
  func sendIntroduction(on stream: StreamID, to node: NodeID?) {
    let proof = bound.value.peer.introduction(to: node)
    guard !proof.isEmpty, bound.value.introducedOn.insert(stream).inserted else { return }
    let bytes = EnvelopeCodec.encode([.introduce(proof)])
    metrics.sent(frameBytes: bytes.count)
    transports.withLock { $0 }?.streams.send(bytes, on: stream)
  }
}
