internal import Base

/// A query as far as the server needs it, read in place. Names stay where they are.
struct Query {
  /// Behind the question's name, its root label included.
  var nameEnd: Int
  var type: UInt16
  var recordClass: UInt16
  var edns: EDNS?
  /// What an option says about the client, for the resolver to believe or not.
  var client: IPAddress?

  struct EDNS {
    var payloadBytes: Int
    var version: UInt8
  }

  /// Behind the question: what a reply copies.
  var questionEnd: Int { nameEnd + 4 }

  static let nameStart = DNSMessage.headerBytes
  /// More records than this beside the question are no query that we answer.
  static let recordLimit = 16

  static func u16(_ bytes: borrowing Span<UInt8>, _ at: Int) -> Int {
    Int(bytes[at]) << 8 | Int(bytes[at + 1])
  }

  /// `nil` where it is not well formed; then there is no question to copy either. The caller has
  /// checked that the header is there and says one question.
  init?(_ bytes: borrowing Span<UInt8>, clientOption: UInt16) {
    guard let end = Self.plainName(bytes, Self.nameStart), end + 4 <= bytes.count else {
      return nil
    }
    nameEnd = end
    type = UInt16(Self.u16(bytes, end))
    recordClass = UInt16(Self.u16(bytes, end + 2))
    let records = Self.u16(bytes, 6) + Self.u16(bytes, 8) + Self.u16(bytes, 10)
    if records == 0 { return }
    guard records <= Self.recordLimit else { return nil }
    var position = end + 4
    for _ in 0..<records {
      guard let next = readRecord(bytes, position, clientOption) else { return nil }
      position = next
    }
  }

  /// The end of a name without compression: a question's, which is the first one of its message.
  private static func plainName(_ bytes: borrowing Span<UInt8>, _ start: Int) -> Int? {
    var position = start
    while position < bytes.count {
      let length = Int(bytes[position])
      if length == 0 {
        let end = position + 1
        return end - start <= DomainName.maximumBytes ? end : nil
      }
      guard length <= DomainName.maximumLabelBytes else { return nil }
      position += 1 + length
    }
    return nil
  }

  /// The end of a name that nobody looks at: it ends at its first pointer.
  private static func skippedName(_ bytes: borrowing Span<UInt8>, _ start: Int) -> Int? {
    var position = start
    while position < bytes.count {
      let length = Int(bytes[position])
      if length == 0 { return position + 1 }
      if length >= 0xc0 { return position + 2 }
      guard length <= DomainName.maximumLabelBytes else { return nil }
      position += 1 + length
    }
    return nil
  }

  private mutating func readRecord(
    _ bytes: borrowing Span<UInt8>, _ start: Int, _ clientOption: UInt16
  ) -> Int? {
    guard let end = Self.skippedName(bytes, start), end + 10 <= bytes.count else { return nil }
    let dataEnd = end + 10 + Self.u16(bytes, end + 8)
    guard dataEnd <= bytes.count else { return nil }
    guard Self.u16(bytes, end) == Int(RecordType.opt) else { return dataEnd }
    // One OPT, at the root (RFC 6891 section 6.1.1).
    guard edns == nil, bytes[start] == 0 else { return nil }
    edns = EDNS(payloadBytes: Self.u16(bytes, end + 2), version: bytes[end + 5])
    var position = end + 10
    while position < dataEnd {
      guard position + 4 <= dataEnd else { return nil }
      let code = UInt16(Self.u16(bytes, position))
      let optionEnd = position + 4 + Self.u16(bytes, position + 2)
      guard optionEnd <= dataEnd else { return nil }
      if code == clientOption { client = Self.address(bytes, position + 4, optionEnd) }
      position = optionEnd
    }
    return dataEnd
  }

  private static func address(
    _ bytes: borrowing Span<UInt8>, _ start: Int, _ end: Int
  ) -> IPAddress? {
    var value: UInt128 = 0
    guard end - start == 4 || end - start == 16 else { return nil }
    for index in start..<end { value = value << 8 | UInt128(bytes[index]) }
    return end - start == 4
      ? IPAddress(v4: UInt32(truncatingIfNeeded: value)) : IPAddress(v6: value)
  }
}
