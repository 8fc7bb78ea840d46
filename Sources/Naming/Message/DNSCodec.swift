public import Base

extension DNSMessage {
  /// Reads a message that nobody vouches for: bounded, never traps.
  public init(_ bytes: [UInt8]) throws(WireError) {
    var reader = DNSReader(bytes)
    let id = try reader.u16()
    let flags = try reader.u16()
    let counts = (try reader.u16(), try reader.u16(), try reader.u16(), try reader.u16())
    self.init(id: id, questions: [], isResponse: flags & 0x8000 != 0)
    opcode = UInt8(flags >> 11 & 15)
    isAuthoritative = flags & 0x0400 != 0
    isTruncated = flags & 0x0200 != 0
    recursionDesired = flags & 0x0100 != 0
    recursionAvailable = flags & 0x0080 != 0
    code = UInt8(flags & 15)
    for _ in 0..<counts.0 {
      let name = try reader.name()
      questions.append(
        Question(name: name, type: try reader.u16(), recordClass: try reader.u16()))
    }
    answers = try reader.records(counts.1)
    authority = try reader.records(counts.2)
    for _ in 0..<counts.3 {
      let record = try reader.record()
      if record.type == RecordType.opt {
        guard edns == nil, record.name == .root else { throw .malformed("OPT") }
        edns = try EDNS(record)
      } else {
        additional.append(record)
      }
    }
    guard reader.position == bytes.count else { throw .trailingBytes }
  }

  /// With the upper bits that OPT carries.
  public var extendedCode: UInt16 { UInt16(code) | UInt16(edns?.extendedCode ?? 0) << 4 }

  /// Names are written without compression.
  public func encoded() -> [UInt8] {
    var writer = ByteWriter(reserving: 512)
    writer.u16(id)
    var flags = UInt16(opcode & 15) << 11 | UInt16(code & 15)
    if isResponse { flags |= 0x8000 }
    if isAuthoritative { flags |= 0x0400 }
    if isTruncated { flags |= 0x0200 }
    if recursionDesired { flags |= 0x0100 }
    if recursionAvailable { flags |= 0x0080 }
    writer.u16(flags)
    writer.u16(UInt16(clamping: questions.count))
    writer.u16(UInt16(clamping: answers.count))
    writer.u16(UInt16(clamping: authority.count))
    writer.u16(UInt16(clamping: additional.count + (edns == nil ? 0 : 1)))
    for question in questions {
      writer.raw(question.name.wire)
      writer.u16(question.type)
      writer.u16(question.recordClass)
    }
    for record in answers + authority + additional { record.write(&writer) }
    edns?.write(&writer)
    return writer.bytes
  }
}

/// A reader over a whole message, since names point back into it.
private struct DNSReader {
  let bytes: [UInt8]
  private(set) var position = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func u16() throws(WireError) -> UInt16 {
    let raw = try take(2)
    return UInt16(raw[raw.startIndex]) << 8 | UInt16(raw[raw.startIndex + 1])
  }

  mutating func u32() throws(WireError) -> UInt32 {
    UInt32(try u16()) << 16 | UInt32(try u16())
  }

  mutating func take(_ count: Int) throws(WireError) -> ArraySlice<UInt8> {
    guard count >= 0, bytes.count - position >= count else { throw .truncated }
    defer { position += count }
    return bytes[position..<position + count]
  }

  mutating func name() throws(WireError) -> DomainName {
    let (name, end) = try DomainName.read(bytes, at: position)
    position = end
    return name
  }

  mutating func records(_ count: UInt16) throws(WireError) -> [DNSMessage.Record] {
    guard count <= DNSMessage.recordLimit else { throw .overLimit("records") }
    var out: [DNSMessage.Record] = []
    for _ in 0..<count { out.append(try record()) }
    return out
  }

  mutating func record() throws(WireError) -> DNSMessage.Record {
    let name = try name()
    let (type, recordClass, ttl) = (try u16(), try u16(), try u32())
    let length = Int(try u16())
    let end = position + length
    guard end <= bytes.count else { throw .truncated }
    let data = try recordData(type, end: end)
    guard position == end else { throw .malformed("record length") }
    return DNSMessage.Record(
      name: name, type: type, recordClass: recordClass, ttl: ttl, data: data)
  }

  private mutating func recordData(_ type: UInt16, end: Int) throws(WireError) -> RecordData {
    switch type {
    case RecordType.a, RecordType.aaaa:
      guard let address = IPAddress(bytes: try take(end - position)),
        (address.family == .v4) == (type == RecordType.a)
      else { throw .malformed("address") }
      return .address(address)
    case RecordType.ns, RecordType.ptr:
      return .name(try name())
    case RecordType.srv:
      return .service(
        priority: try u16(), weight: try u16(), port: try u16(), target: try name())
    case RecordType.txt:
      var texts: [[UInt8]] = []
      while position < end { texts.append(Array(try take(Int(try take(1).first ?? 0)))) }
      return .text(texts)
    case RecordType.soa:
      return .authority(
        primary: try name(), mailbox: try name(), serial: try u32(), refresh: try u32(),
        retry: try u32(), expire: try u32(), minimum: try u32())
    default:
      return .other(Array(try take(end - position)))
    }
  }
}

extension DNSMessage.Record {
  fileprivate func write(_ writer: inout ByteWriter) {
    var data = ByteWriter()
    switch self.data {
    case .address(let address): data.raw(address.bytes)
    case .name(let name): data.raw(name.wire)
    case .service(let priority, let weight, let port, let target):
      data.u16(priority)
      data.u16(weight)
      data.u16(port)
      data.raw(target.wire)
    case .text(let texts):
      for text in texts {
        data.u8(UInt8(clamping: text.count))
        data.raw(text.prefix(255))
      }
    case .authority(
      let primary, let mailbox, let serial, let refresh, let retry, let expire, let minimum):
      data.raw(primary.wire + mailbox.wire)
      for number in [serial, refresh, retry, expire, minimum] { data.u32(number) }
    case .other(let bytes): data.raw(bytes.prefix(Int(UInt16.max)))
    }
    writer.raw(name.wire)
    writer.u16(type)
    writer.u16(recordClass)
    writer.u32(ttl)
    writer.block(Array(data.bytes.prefix(Int(UInt16.max))))
  }
}

extension DNSMessage.EDNS {
  /// Set by the reader only: the upper 8 bits of the response code.
  public var extendedCode: UInt8 { upperCode }

  fileprivate init(_ record: DNSMessage.Record) throws(WireError) {
    guard case .other(let bytes) = record.data else { throw .malformed("OPT") }
    self.init(
      payloadBytes: record.recordClass, version: UInt8(truncatingIfNeeded: record.ttl >> 16),
      dnssecOK: record.ttl & 0x8000 != 0)
    upperCode = UInt8(truncatingIfNeeded: record.ttl >> 24)
    var reader = ByteReader(bytes)
    while reader.remaining > 0 {
      let code = try reader.u16()
      options.append(Option(code: code, data: try reader.block(limit: bytes.count, "option")))
    }
  }

  fileprivate func write(_ writer: inout ByteWriter) {
    writer.u8(0)
    writer.u16(RecordType.opt)
    writer.u16(payloadBytes)
    writer.u32(
      UInt32(upperCode) << 24 | UInt32(version) << 16 | (dnssecOK ? 0x8000 : 0))
    var data = ByteWriter()
    for option in options where data.bytes.count + option.data.count < Int(UInt16.max) - 4 {
      data.u16(option.code)
      data.block(option.data)
    }
    writer.block(data.bytes)
  }
}
