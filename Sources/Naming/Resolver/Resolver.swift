public import Base

/// Answers DNS queries from an immutable table: an authoritative server without its sockets.
///
/// A value: make one from each new table, hand copies to as many threads as there are. Answering a
/// query for an address allocates nothing.
public struct Resolver: Sendable {
  public let table: NamingTable

  public enum Transport: Hashable, Sendable {
    case udp, tcp
  }

  /// What became of a query: for counting.
  public struct Outcome: Hashable, Sendable {
    /// Bytes of the reply; 0: send nothing.
    public var length: Int
    public var code: ResponseCode
    public var isTruncated: Bool

    static let silence = Outcome(length: 0, code: .formatError, isTruncated: false)
  }

  /// A reply buffer has at least this size; over TCP 65,535 lets every answer be whole.
  public static let minimumBufferBytes = 512
  /// How many addresses of a service without one of its own are answered at a time, in turn.
  public static let sampleLimit = 8

  public init(_ table: NamingTable) {
    self.table = table
  }

  /// Answers one message. What is no query at all (a response, a stump of a header) gets no reply.
  ///
  /// - Parameters:
  ///   - source: where the query came from.
  ///   - out: at least `minimumBufferBytes`.
  public func answer(
    _ query: borrowing Span<UInt8>, from source: IPAddress, over transport: Transport,
    into out: inout MutableSpan<UInt8>
  ) -> Outcome {
    guard query.count >= DNSMessage.headerBytes, out.count >= Self.minimumBufferBytes,
      query[2] & 0x80 == 0
    else { return .silence }
    guard query[2] & 0x78 == 0 else { return fail(query, .notImplemented, &out) }
    guard Query.u16(query, 4) == 1,
      let question = Query(query, clientOption: table.clientOption)
    else { return fail(query, .formatError, &out) }
    return answer(question, query, from: source, over: transport, into: &out)
  }

  /// The header alone: there is no question that could be trusted to be one.
  private func fail(
    _ query: borrowing Span<UInt8>, _ code: ResponseCode, _ out: inout MutableSpan<UInt8>
  ) -> Outcome {
    let reply = Reply(position: DNSMessage.headerBytes, limit: out.count)
    let length = reply.finish(
      query, questions: 0, code: code, isAuthoritative: false, edns: false, &out)
    return Outcome(length: length, code: code, isTruncated: false)
  }

  private func answer(
    _ question: Query, _ query: borrowing Span<UInt8>, from source: IPAddress,
    over transport: Transport, into out: inout MutableSpan<UInt8>
  ) -> Outcome {
    for index in DNSMessage.headerBytes..<question.questionEnd { out[index] = query[index] }
    var limit = out.count
    if transport == .udp {
      let offered = question.edns?.payloadBytes ?? Reply.plainUDPBytes
      limit = min(limit, max(Reply.plainUDPBytes, min(offered, Reply.payloadBytes)))
    }
    if question.edns != nil { limit -= Reply.optBytes }
    var reply = Reply(position: question.questionEnd, limit: min(limit, 65_535 - Reply.optBytes))
    var code: ResponseCode
    var isAuthoritative = false
    if let edns = question.edns, edns.version != 0 {
      code = .badVersion
    } else if question.recordClass != 1 && question.recordClass != 255 {
      code = .refused
    } else if question.type == RecordType.axfr || question.type == RecordType.ixfr {
      code = .refused
    } else {
      let client = question.client.flatMap { isForwarder(source) ? $0 : nil } ?? source
      code = resolve(question, query, view: table.clients.slices(of: client), &reply, &out)
      isAuthoritative = code != .refused
    }
    let length = reply.finish(
      query, questions: 1, code: code, isAuthoritative: isAuthoritative,
      edns: question.edns != nil, &out)
    return Outcome(length: length, code: code, isTruncated: reply.isTruncated)
  }

  private func isForwarder(_ source: IPAddress) -> Bool {
    table.forwarders.contains { $0.contains(source) }
  }

  // MARK: Finding

  private func resolve(
    _ question: Query, _ query: borrowing Span<UInt8>, view: NameTable.Slab,
    _ reply: inout Reply, _ out: inout MutableSpan<UInt8>
  ) -> ResponseCode {
    for zone in table.zones {
      let suffix = question.nameEnd - Int(zone.name.count)
      guard suffix >= Query.nameStart, isSuffix(zone, query, suffix),
        let hash = relativeHash(query, until: suffix)
      else { continue }
      var answer = ZoneAnswer(
        table: table, zone: zone, suffix: suffix, question: question, rotation: rotation(query))
      if suffix == Query.nameStart {
        answer.apex(&reply, &out)
        return .noError
      }
      // Two slices may have a service of one name; the first by the slice's name answers, and
      // `svc.ns.slice` tells them apart.
      for run in view.range {
        let slice = table.slices[table.clients.slices[run]]
        let names = slice.table(of: hash)
        let node = names.find(hash, query, Query.nameStart, suffix, zone.kind)
        if node >= 0 {
          answer.records(of: node, in: names, ttl: slice.ttl, &reply, &out)
          return .noError
        }
      }
      let node = table.common.find(hash, query, Query.nameStart, suffix, zone.kind)
      if node >= 0 {
        answer.records(of: node, in: table.common, ttl: table.negativeTTL, &reply, &out)
        return .noError
      }
      answer.authority(&reply, &out)
      return .nameError
    }
    return resolveOutside(question, query, view: view, &reply, &out)
  }

  @inline(__always)
  private func isSuffix(
    _ zone: NamingTable.Zone, _ query: borrowing Span<UInt8>, _ start: Int
  ) -> Bool {
    let base = Int(zone.name.start)
    for offset in 0..<Int(zone.name.count)
    where table.zoneBytes[base + offset] != DomainName.lower(query[start + offset]) {
      return false
    }
    return true
  }

  /// The hash of the name up to `end`; `nil` where no label begins there.
  @inline(__always)
  private func relativeHash(_ query: borrowing Span<UInt8>, until end: Int) -> UInt64? {
    var hash = NameTable.seed
    var position = Query.nameStart
    while position < end {
      let next = position + 1 + Int(query[position])
      guard next <= end else { return nil }
      for index in position..<next { hash = NameTable.hash(hash, DomainName.lower(query[index])) }
      position = next
    }
    return position == end ? hash : nil
  }

  /// Where to begin among several answers: from the query's id, so that one query has one answer.
  private func rotation(_ query: borrowing Span<UInt8>) -> Int {
    Int((UInt32(Query.u16(query, 0)) &* 0x9e37_79b1) >> 16)
  }

  /// Names that are in no zone of ours: aliases and addresses of slices.
  private func resolveOutside(
    _ question: Query, _ query: borrowing Span<UInt8>, view: NameTable.Slab,
    _ reply: inout Reply, _ out: inout MutableSpan<UInt8>
  ) -> ResponseCode {
    let end = question.nameEnd - 1
    if let hash = relativeHash(query, until: end) {
      for run in view.range {
        let slice = table.slices[table.clients.slices[run]]
        let names = slice.table(of: hash)
        let node = names.find(hash, query, Query.nameStart, end, .absolute)
        guard node >= 0 else { continue }
        let zone = NamingTable.Zone(name: NameTable.Slab(), kind: .absolute)
        var answer = ZoneAnswer(
          table: table, zone: zone, suffix: Query.nameStart, question: question,
          rotation: rotation(query))
        answer.records(of: node, in: names, ttl: slice.ttl, &reply, &out)
        return .noError
      }
    }
    return resolveReverse(question, query, view: view, &reply, &out)
  }
}
