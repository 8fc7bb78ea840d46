public import Base
internal import FoundationEssentials
public import Replication
internal import SwiftProtobuf

/// Protobuf bytes of changesets (`Schema/state.proto`), to and from what the cores work on.
public enum ChangesetCodec {
  /// Decodes a `SignedChangeset` message. Checks bounds and form, no signature: that is the state's.
  public static func decode(_ bytes: [UInt8], crypto: Crypto) throws(WireError) -> Changeset {
    guard bytes.count <= Changeset.maximumBytes else { throw .overLimit("changeset bytes") }
    return try changeset(from(bytes, ProtoSignedChangeset.self), crypto: crypto)
  }

  /// Decodes a body and its endorsements as the store keeps them.
  public static func decode(
    body: [UInt8], endorsements: [UInt8], id: Digest
  ) throws(WireError) -> Changeset {
    let signed = try from(endorsements, ProtoSignedChangeset.self)
    return try changeset(body: body, endorsements: signed.endorsements, id: id)
  }

  /// The `SignedChangeset` message: what travels and what `starling sign` writes.
  public static func encode(_ changeset: Changeset) -> [UInt8] {
    serialized(proto(changeset))
  }

  /// The endorsements alone (a `SignedChangeset` without its body), for a column of their own.
  public static func encodeEndorsements(_ changeset: Changeset) -> [UInt8] {
    var signed = ProtoSignedChangeset()
    signed.endorsements = endorsements(changeset)
    return serialized(signed)
  }

  /// Decodes a `ChangesetBatch`; the bound on the whole is the caller's (a frame, a request body).
  public static func decodeBatch(
    _ bytes: [UInt8], maximumCount: Int, crypto: Crypto
  ) throws(WireError) -> [Changeset] {
    let batch = try from(bytes, ProtoChangesetBatch.self)
    guard batch.changesets.count <= maximumCount else { throw .overLimit("changesets in a batch") }
    var out: [Changeset] = []
    out.reserveCapacity(batch.changesets.count)
    for signed in batch.changesets { out.append(try changeset(signed, crypto: crypto)) }
    return out
  }

  public static func encodeBatch(_ changesets: [Changeset]) -> [UInt8] {
    var batch = ProtoChangesetBatch()
    batch.changesets = changesets.map(proto)
    return serialized(batch)
  }

  /// Body bytes and ID for a draft; endorse it with `Changeset.signed(by:)`.
  ///
  /// The draft's own `id` and `body` are ignored.
  public static func seal(_ draft: Changeset, crypto: Crypto) -> Changeset {
    var out = draft
    out.body = serialized(body(draft))
    out.id = crypto.sha256(out.signedBytes)
    return out
  }

  static func proto(_ changeset: Changeset) -> ProtoSignedChangeset {
    var signed = ProtoSignedChangeset()
    signed.body = Data(changeset.body)
    signed.endorsements = endorsements(changeset)
    return signed
  }

  private static func endorsements(_ changeset: Changeset) -> [ProtoEndorsement] {
    changeset.endorsements.map { endorsement in
      var out = ProtoEndorsement()
      if endorsement.key != changeset.author { out.key = Data(endorsement.key.bytes) }
      out.signature = Data(endorsement.signature.bytes)
      return out
    }
  }

  static func changeset(
    _ signed: ProtoSignedChangeset, crypto: Crypto
  ) throws(WireError) -> Changeset {
    guard signed.body.count <= Changeset.maximumBytes else { throw .overLimit("changeset bytes") }
    let body = [UInt8](signed.body)
    return try changeset(
      body: body, endorsements: signed.endorsements,
      id: crypto.sha256(Changeset.signingPrefix + body))
  }

  private static func changeset(
    body: [UInt8], endorsements: [ProtoEndorsement], id: Digest
  ) throws(WireError) -> Changeset {
    let proto = try from(body, ProtoChangesetBody.self)
    let author: PublicKey = try bytes32(proto.author, "author")
    guard !endorsements.isEmpty, endorsements.count <= RootKeys.maximumKeys * 2 else {
      throw .malformed("signatures")
    }
    var out = Changeset(
      id: id, body: body, endorsements: [], formatVersion: Int(proto.formatVersion),
      clusterSet: try bytes32(proto.clusterSet, "cluster set"),
      under: try bytes32(proto.under, "grant it acts under"), author: author,
      time: HybridTime(rawValue: proto.time), message: proto.message)
    for endorsement in endorsements {
      guard let signature = Signature([UInt8](endorsement.signature)) else {
        throw .malformed("signature")
      }
      let key: PublicKey =
        endorsement.key.isEmpty ? author : try bytes32(endorsement.key, "signing key")
      out.endorsements.append(Endorsement(key: key, signature: signature))
    }
    if !proto.scope.isEmpty {
      guard let scope = Scope(proto.scope) else { throw .malformed("scope") }
      out.scope = scope
    }
    try readContent(proto, into: &out)
    return out
  }

  private static func readContent(
    _ proto: ProtoChangesetBody, into out: inout Changeset
  ) throws(WireError) {
    guard proto.writes.count <= Changeset.maximumWrites else { throw .overLimit("writes") }
    out.writes.reserveCapacity(proto.writes.count)
    for write in proto.writes { out.writes.append(try Write(write)) }
    guard proto.floors.count <= Changeset.maximumWrites else { throw .overLimit("floors") }
    for floor in proto.floors {
      out.floors.append(
        Floor(
          grant: try bytes32(floor.grant, "floor's grant"),
          time: HybridTime(rawValue: floor.time), keep: try digests(floor.keep, "keep list")))
    }
    if proto.hasGrant { out.grant = try Grant(proto.grant) }
    if proto.hasRootChange {
      out.rootChange = RootChange(
        root: try RootKeys(proto.rootChange.root),
        keep: try digests(proto.rootChange.keep, "keep list"))
    }
  }

  private static func body(_ changeset: Changeset) -> ProtoChangesetBody {
    var proto = ProtoChangesetBody()
    proto.formatVersion = UInt32(changeset.formatVersion)
    proto.clusterSet = Data(changeset.clusterSet.bytes)
    if changeset.scope != .clusterset { proto.scope = changeset.scope.description }
    proto.under = Data(changeset.under.bytes)
    proto.author = Data(changeset.author.bytes)
    proto.time = changeset.time.rawValue
    proto.writes = changeset.writes.map(\.proto)
    if let grant = changeset.grant { proto.grant = grant.proto }
    proto.floors = changeset.floors.map { floor in
      var out = ProtoFloor()
      out.grant = Data(floor.grant.bytes)
      out.time = floor.time.rawValue
      out.keep = data(floor.keep)
      return out
    }
    if let change = changeset.rootChange {
      proto.rootChange.root = change.root.proto
      proto.rootChange.keep = data(change.keep)
    }
    proto.message = changeset.message
    return proto
  }
}

/// Parses one message; the library's own limits bound nesting and sizes.
func from<M: Message>(_ bytes: [UInt8], _ type: M.Type) throws(WireError) -> M {
  do {
    return try M(serializedBytes: bytes)
  } catch {
    throw .malformed("not a \(M.protoMessageName) message")
  }
}

/// Serializing our own messages cannot fail: they have no required fields and no `Any`.
func serialized(_ message: some Message) -> [UInt8] {
  (try? message.serializedBytes()) ?? []
}
