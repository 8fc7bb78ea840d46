internal import Base

/// Writes what a name of one zone has.
struct ZoneAnswer {
  let table: NamingTable
  let zone: NamingTable.Zone
  /// Offset of the zone's name within the question.
  let suffix: Int
  let question: Query
  let rotation: Int

  private var type: UInt16 { question.type }

  mutating func records(
    of node: Int, in names: NameTable, ttl: UInt32, _ reply: inout Reply,
    _ out: inout MutableSpan<UInt8>
  ) {
    let found = names.nodes[node]
    var answered = false
    if type == RecordType.a || type == RecordType.any, !found.v4.isEmpty {
      let (first, count) = turn(found.v4, isSampled: found.isSampled)
      for step in 0..<count {
        let index = (first + step) % Int(found.v4.count)
        reply.address(v4: names.v4[Int(found.v4.start) + index], ttl: ttl, &out)
      }
      answered = true
    }
    if type == RecordType.aaaa || type == RecordType.any, !found.v6.isEmpty {
      let (first, count) = turn(found.v6, isSampled: found.isSampled)
      for step in 0..<count {
        let index = (first + step) % Int(found.v6.count)
        reply.address(v6: names.v6[Int(found.v6.start) + index], ttl: ttl, &out)
      }
      answered = true
    }
    // Targets are relative to a zone, so an alias outside of all zones has addresses only.
    if type == RecordType.srv || type == RecordType.any, !found.services.isEmpty,
      zone.kind != .absolute
    {
      services(found.services, names, ttl, &reply, &out)
      answered = true
    }
    if type == RecordType.txt || type == RecordType.any, !found.text.isEmpty {
      reply.record(RecordType.txt, ttl: ttl, &out) { reply, out in
        reply.u8(UInt8(clamping: found.text.count), &out)
        reply.raw(names.bytes, found.text.range, &out)
      }
      answered = true
    }
    if !answered { authority(&reply, &out) }
  }

  /// The first of the answers, and how many.
  private func turn(_ run: NameTable.Slab, isSampled: Bool) -> (first: Int, count: Int) {
    let count = Int(run.count)
    return (rotation % count, isSampled ? min(count, Resolver.sampleLimit) : count)
  }

  private func services(
    _ run: NameTable.Slab, _ names: NameTable, _ ttl: UInt32, _ reply: inout Reply,
    _ out: inout MutableSpan<UInt8>
  ) {
    for step in 0..<Int(run.count) {
      let index = Int(run.start) + (rotation + step) % Int(run.count)
      let service = names.services[index]
      reply.record(RecordType.srv, ttl: ttl, &out) { reply, out in
        reply.u16(0, &out)
        reply.u16(100, &out)
        reply.u16(service.port, &out)
        // Not compressed: RFC 2782.
        reply.raw(names.bytes, service.target.range, &out)
        reply.raw(table.zoneBytes, zone.name.range, &out)
      }
    }
  }

  /// The zone's own name: SOA and NS, and nothing else.
  mutating func apex(_ reply: inout Reply, _ out: inout MutableSpan<UInt8>) {
    switch type {
    case RecordType.soa, RecordType.any:
      authority(in: .answer, &reply, &out)
    case RecordType.ns:
      reply.record(RecordType.ns, ttl: table.negativeTTL, &out) { reply, out in
        server(&reply, &out)
      }
    default:
      authority(&reply, &out)
    }
  }

  /// SOA beside a negative answer (RFC 2308): how long it may be believed.
  func authority(
    in section: Reply.Section = .authority, _ reply: inout Reply, _ out: inout MutableSpan<UInt8>
  ) {
    reply.record(RecordType.soa, ttl: table.negativeTTL, owner: suffix, in: section, &out) {
      reply, out in
      server(&reply, &out)
      reply.raw(Self.mailbox, Self.mailbox.indices, &out)
      zonePointer(&reply, &out)
      reply.u32(table.serial, &out)
      for seconds: UInt32 in [7200, 1800, 86_400] { reply.u32(seconds, &out) }
      reply.u32(table.negativeTTL, &out)
    }
  }

  private static let mailbox: [UInt8] = [10] + Array("hostmaster".utf8)
  private static let serverLabels: [UInt8] = [2] + Array("ns".utf8) + [3] + Array("dns".utf8)

  /// `ns.dns.<zone>`.
  private func server(_ reply: inout Reply, _ out: inout MutableSpan<UInt8>) {
    reply.raw(Self.serverLabels, Self.serverLabels.indices, &out)
    zonePointer(&reply, &out)
  }

  private func zonePointer(_ reply: inout Reply, _ out: inout MutableSpan<UInt8>) {
    reply.u16(0xc000 | UInt16(truncatingIfNeeded: suffix), &out)
  }
}
