internal import Base
internal import FoundationEssentials
internal import Membership

extension EnvelopeCodec {
  /// `nil` for kinds that are not membership's.
  static func membership(
    _ kind: ProtoPeerMessage.OneOf_Kind
  ) throws(WireError) -> Membership.Message? {
    switch kind {
    case .ping(let ping):
      return .ping(
        .init(sequence: ping.sequence, view: ping.view, attachment: try attachment(ping.attachment))
      )
    case .ack(let ack):
      return .ack(
        .init(
          sequence: ack.sequence, view: ack.view, coordinate: try coordinate(ack.coordinate),
          attachment: try attachment(ack.attachment)))
    case .probeRequest(let request):
      return .probeRequest(
        sequence: request.sequence, target: try bytes32(request.target, "probe target"))
    case .relayedAck(let sequence): return .relayedAck(sequence: sequence)
    case .nack(let sequence): return .nack(sequence: sequence)
    case .evidence(let evidence):
      return .evidence(try items(evidence.items, limit: Membership.evidenceLimit))
    case .syncRequest(let request):
      guard request.buckets.count == Membership.bucketCount else { throw .malformed("buckets") }
      return .syncRequest(buckets: request.buckets)
    case .syncSummary(let summary): return .syncSummary(try self.summary(summary))
    case .syncWant(let want):
      guard want.prefixes.count <= Membership.wantLimit else { throw .overLimit("wanted members") }
      return .syncWant(prefixes: want.prefixes)
    case .syncRecords(let records): return .syncRecords(try self.records(records))
    case .syncRedirect(let peers):
      return .syncRedirect(try ids(peers, limit: Membership.redirectLimit, "redirect"))
    default: return nil
    }
  }

  static func kind(_ message: Membership.Message) -> ProtoPeerMessage.OneOf_Kind {
    switch message {
    case .ping(let ping):
      var out = ProtoPing()
      out.sequence = ping.sequence
      out.view = ping.view
      out.attachment = Data(ping.attachment)
      return .ping(out)
    case .ack(let ack):
      var out = ProtoAck()
      out.sequence = ack.sequence
      out.view = ack.view
      out.coordinate = bytes(ack.coordinate)
      out.attachment = Data(ack.attachment)
      return .ack(out)
    case .probeRequest(let sequence, let target):
      var out = ProtoProbeRequest()
      out.sequence = sequence
      out.target = Data(target.bytes)
      return .probeRequest(out)
    case .relayedAck(let sequence): return .relayedAck(sequence)
    case .nack(let sequence): return .nack(sequence)
    case .evidence(let items):
      var out = ProtoEvidence()
      out.items = items.map(proto)
      return .evidence(out)
    case .syncRequest(let buckets):
      var out = ProtoSyncRequest()
      out.buckets = buckets
      return .syncRequest(out)
    case .syncSummary(let summary): return .syncSummary(proto(summary))
    case .syncWant(let prefixes):
      var out = ProtoSyncWant()
      out.prefixes = prefixes
      return .syncWant(out)
    case .syncRecords(let records): return .syncRecords(proto(records))
    case .syncRedirect(let peers):
      return .syncRedirect(data(peers))
    }
  }

  private static func attachment(_ data: Data) throws(WireError) -> [UInt8] {
    guard data.count <= Membership.attachmentLimit else { throw .overLimit("attachment") }
    return [UInt8](data)
  }

  // MARK: Coordinates: x, y, z, height, error; empty is the origin, which says nothing.

  private static func coordinate(_ data: Data) throws(WireError) -> NetworkCoordinate {
    if data.isEmpty { return .origin }
    guard data.count == 10 else { throw .malformed("coordinate") }
    var reader = ByteReader([UInt8](data))
    return try coordinate(&reader)
  }

  private static func coordinate(_ reader: inout ByteReader) throws(WireError) -> NetworkCoordinate
  {
    NetworkCoordinate(
      x: Int16(bitPattern: try reader.u16()), y: Int16(bitPattern: try reader.u16()),
      z: Int16(bitPattern: try reader.u16()), height: try reader.u16(), error: try reader.u16())
  }

  private static func write(_ coordinate: NetworkCoordinate, to writer: inout ByteWriter) {
    writer.u16(UInt16(bitPattern: coordinate.x))
    writer.u16(UInt16(bitPattern: coordinate.y))
    writer.u16(UInt16(bitPattern: coordinate.z))
    writer.u16(coordinate.height)
    writer.u16(coordinate.error)
  }

  private static func bytes(_ coordinate: NetworkCoordinate) -> Data {
    guard coordinate.isKnown else { return Data() }
    var writer = ByteWriter(reserving: 10)
    write(coordinate, to: &writer)
    return Data(writer.bytes)
  }

  // MARK: Evidence

  private static func items(
    _ protos: [ProtoEvidenceItem], limit: Int
  ) throws(WireError) -> [Membership.Evidence] {
    guard protos.count <= limit else { throw .overLimit("evidence") }
    var out: [Membership.Evidence] = []
    out.reserveCapacity(protos.count)
    for item in protos {
      switch item.kind {
      case nil: continue
      case .record(let record): out.append(.record(try self.record(record)))
      case .accusation(let accusation): out.append(.accusation(try self.accusation(accusation)))
      }
    }
    return out
  }

  private static func record(_ proto: ProtoMemberRecord) throws(WireError) -> MemberRecord {
    guard proto.presence <= 1,
      let presence = MemberRecord.Presence(rawValue: UInt8(proto.presence)),
      let signature = Signature([UInt8](proto.signature))
    else { throw .malformed("member record") }
    return try MemberRecord(
      subject: try bytes32(proto.subject, "member"), incarnation: incarnation(proto.incarnation),
      presence: presence, addresses: proto.addresses, signature: signature)
  }

  private static func accusation(_ proto: ProtoAccusation) throws(WireError) -> Accusation {
    guard let signature = Signature([UInt8](proto.signature)) else {
      throw .malformed("accusation")
    }
    return Accusation(
      subject: try bytes32(proto.subject, "accused"), incarnation: incarnation(proto.incarnation),
      accuser: try bytes32(proto.accuser, "accuser"), signature: signature)
  }

  private static func incarnation(_ proto: ProtoIncarnation) -> Incarnation {
    Incarnation(bootEpoch: proto.bootEpoch, counter: proto.counter)
  }

  private static func proto(_ incarnation: Incarnation) -> ProtoIncarnation {
    var out = ProtoIncarnation()
    out.bootEpoch = incarnation.bootEpoch
    out.counter = incarnation.counter
    return out
  }

  private static func proto(_ evidence: Membership.Evidence) -> ProtoEvidenceItem {
    var out = ProtoEvidenceItem()
    switch evidence {
    case .record(let record):
      out.record.subject = Data(record.subject.bytes)
      out.record.incarnation = proto(record.incarnation)
      out.record.presence = UInt32(record.presence.rawValue)
      out.record.addresses = record.addresses
      out.record.signature = Data(record.signature.bytes)
    case .accusation(let accusation):
      out.accusation.subject = Data(accusation.subject.bytes)
      out.accusation.incarnation = proto(accusation.incarnation)
      out.accusation.accuser = Data(accusation.accuser.bytes)
      out.accusation.signature = Data(accusation.signature.bytes)
    }
    return out
  }

  // MARK: Full synchronisation

  private static func summary(
    _ proto: ProtoSyncSummary
  ) throws(WireError) -> Membership.SyncSummary {
    let size = 21
    guard proto.members.count.isMultiple(of: size) else { throw .malformed("summary") }
    guard proto.members.count / size <= Membership.summaryLimit else { throw .overLimit("summary") }
    var reader = ByteReader([UInt8](proto.members))
    var members: [Membership.SyncSummary.Entry] = []
    members.reserveCapacity(proto.members.count / size)
    while reader.remaining > 0 {
      let prefix = try reader.u64()
      let incarnation = Incarnation(bootEpoch: try reader.u64(), counter: try reader.u32())
      guard let standing = Membership.SyncSummary.Standing(rawValue: try reader.u8()) else {
        throw .malformed("standing")
      }
      members.append(.init(prefix: prefix, incarnation: incarnation, standing: standing))
    }
    return Membership.SyncSummary(buckets: proto.buckets, members: members)
  }

  private static func proto(_ summary: Membership.SyncSummary) -> ProtoSyncSummary {
    var writer = ByteWriter(reserving: summary.members.count * 21)
    for member in summary.members {
      writer.u64(member.prefix)
      writer.u64(member.incarnation.bootEpoch)
      writer.u32(member.incarnation.counter)
      writer.u8(member.standing.rawValue)
    }
    var out = ProtoSyncSummary()
    out.buckets = summary.buckets
    out.members = Data(writer.bytes)
    return out
  }

  private static func records(
    _ proto: ProtoSyncRecords
  ) throws(WireError) -> Membership.SyncRecords {
    let size = 18
    guard proto.coordinates.count.isMultiple(of: size) else { throw .malformed("coordinates") }
    guard proto.coordinates.count / size <= Membership.syncEvidenceLimit else {
      throw .overLimit("coordinates")
    }
    var reader = ByteReader([UInt8](proto.coordinates))
    var hints: [Membership.SyncRecords.Hint] = []
    while reader.remaining > 0 {
      hints.append(.init(prefix: try reader.u64(), coordinate: try coordinate(&reader)))
    }
    return Membership.SyncRecords(
      evidence: try items(proto.evidence, limit: Membership.syncEvidenceLimit), coordinates: hints)
  }

  private static func proto(_ records: Membership.SyncRecords) -> ProtoSyncRecords {
    var writer = ByteWriter(reserving: records.coordinates.count * 18)
    for hint in records.coordinates {
      writer.u64(hint.prefix)
      write(hint.coordinate, to: &writer)
    }
    var out = ProtoSyncRecords()
    out.evidence = records.evidence.map(proto)
    out.coordinates = Data(writer.bytes)
    return out
  }
}
