internal import Base

extension Resolver {
  /// PTR for addresses of the client's slices. Not the hot path: it builds the name.
  func resolveReverse(
    _ question: Query, _ query: borrowing Span<UInt8>, view: NameTable.Slab,
    _ reply: inout Reply, _ out: inout MutableSpan<UInt8>
  ) -> ResponseCode {
    var wire: [UInt8] = []
    for index in Query.nameStart..<question.nameEnd { wire.append(query[index]) }
    guard let name = try? DomainName.read(wire, at: 0).name, let asked = name.reversePrefix
    else { return .refused }
    for run in view.range {
      let names = table.slices[table.clients.slices[run]]
      guard let cidr = names.cidr, cidr.contains(asked) else { continue }
      // The zone is the part of the name that lies within the slice: cut at a label.
      let step = asked.network.family == .v4 ? 8 : 4
      let zoneLabels = (cidr.length + step - 1) / step + 2
      let skipped = name.labels.dropLast(zoneLabels).reduce(0) { $0 + 1 + $1.utf8.count }
      let answer = ZoneAnswer(
        table: table, zone: NamingTable.Zone(name: NameTable.Slab(), kind: .absolute),
        suffix: Query.nameStart + skipped, question: question, rotation: 0)
      guard asked.length == asked.network.family.bits else {
        // A name between: it exists if any address under it does; saying so is always safe.
        answer.authority(&reply, &out)
        return .noError
      }
      guard let target = names.name(of: asked.network),
        let zone = table.zones.last(where: { $0.kind == .slice })
      else {
        answer.authority(&reply, &out)
        return .nameError
      }
      guard question.type == RecordType.ptr || question.type == RecordType.any else {
        answer.authority(&reply, &out)
        return .noError
      }
      reply.record(RecordType.ptr, ttl: names.ttl, &out) { reply, out in
        reply.raw(target, target.indices, &out)
        reply.raw(table.zoneBytes, zone.name.range, &out)
      }
      return .noError
    }
    return .refused
  }
}
