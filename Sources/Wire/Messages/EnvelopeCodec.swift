public import Base
internal import FoundationEssentials
internal import Membership
public import Peer
internal import Replication

/// Protobuf bytes of what one datagram or one frame holds (`Schema/peer.proto`).
public enum EnvelopeCodec {
  /// Messages in one envelope; a sender never needs more.
  public static let maximumMessages = 64

  public static func encode(_ messages: [PeerMessage]) -> [UInt8] {
    var envelope = ProtoEnvelope()
    envelope.messages = messages.map(proto)
    return serialized(envelope)
  }

  /// Messages of a kind that this release does not know are left out.
  ///
  /// Throws for the whole envelope when one message is malformed: a sender that breaks the format
  /// is not believed in part.
  public static func decode(_ bytes: [UInt8], crypto: Crypto) throws(WireError) -> [PeerMessage] {
    let envelope = try from(bytes, ProtoEnvelope.self)
    guard envelope.messages.count <= maximumMessages else { throw .overLimit("messages") }
    var out: [PeerMessage] = []
    out.reserveCapacity(envelope.messages.count)
    for proto in envelope.messages {
      if let message = try message(proto, crypto: crypto) { out.append(message) }
    }
    return out
  }

  private static func message(
    _ proto: ProtoPeerMessage, crypto: Crypto
  ) throws(WireError) -> PeerMessage? {
    switch proto.kind {
    case nil: return nil
    case .streamPing(let nonce): return .streamPing(nonce)
    case .streamPong(let nonce): return .streamPong(nonce)
    case .introduce(let batch):
      return .introduce(
        try changesets(batch.changesets, limit: PeerMessage.introductionLimit, crypto: crypto))
    case .refused(let reason): return .refused(String(reason.prefix(512)))
    case .some(let kind):
      if let message = try membership(kind) { return .membership(message) }
      return try sync(kind, crypto: crypto).map(PeerMessage.sync)
    }
  }

  private static func proto(_ message: PeerMessage) -> ProtoPeerMessage {
    var out = ProtoPeerMessage()
    switch message {
    case .membership(let message): out.kind = kind(message)
    case .sync(let message): out.kind = kind(message)
    case .streamPing(let nonce): out.streamPing = nonce
    case .streamPong(let nonce): out.streamPong = nonce
    case .introduce(let changesets): out.introduce.changesets = changesets.map(ChangesetCodec.proto)
    case .refused(let reason): out.refused = reason
    }
    return out
  }

  static func changesets(
    _ protos: [ProtoSignedChangeset], limit: Int, crypto: Crypto
  ) throws(WireError) -> [Changeset] {
    guard protos.count <= limit else { throw .overLimit("changesets") }
    var out: [Changeset] = []
    out.reserveCapacity(protos.count)
    for proto in protos { out.append(try ChangesetCodec.changeset(proto, crypto: crypto)) }
    return out
  }

  /// IDs one after the other, in the order they were sent.
  static func ids(_ data: Data, limit: Int, _ field: String) throws(WireError) -> [Digest] {
    guard data.count.isMultiple(of: 32) else { throw .malformed(field) }
    guard data.count / 32 <= limit else { throw .overLimit(field) }
    var reader = ByteReader([UInt8](data))
    var out: [Digest] = []
    out.reserveCapacity(data.count / 32)
    while reader.remaining > 0 { out.append(try reader.bytes32(Digest.self)) }
    return out
  }
}
