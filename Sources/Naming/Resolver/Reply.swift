/// Writes a reply into the caller's buffer. Records that do not fit are left out whole and the
/// reply is marked truncated (RFC 2181 section 9).
struct Reply {
  private(set) var position: Int
  private let limit: Int
  private(set) var isTruncated = false
  private var isFull = false
  private var answers = 0
  private var authority = 0

  static let opaqueRecordBytes = 10
  static let optBytes = 11
  /// Offered by us and the most that we send over UDP: no fragmentation (DNS Flag Day 2020).
  static let payloadBytes = 1232
  static let plainUDPBytes = 512

  /// Behind what was copied from the query.
  init(position: Int, limit: Int) {
    self.position = position
    self.limit = limit
  }

  mutating func u8(_ value: UInt8, _ out: inout MutableSpan<UInt8>) {
    guard position < limit else {
      isFull = true
      return
    }
    out[position] = value
    position += 1
  }

  mutating func u16(_ value: UInt16, _ out: inout MutableSpan<UInt8>) {
    guard position + 2 <= limit else {
      isFull = true
      return
    }
    out[position] = UInt8(truncatingIfNeeded: value >> 8)
    out[position + 1] = UInt8(truncatingIfNeeded: value)
    position += 2
  }

  mutating func u32(_ value: UInt32, _ out: inout MutableSpan<UInt8>) {
    guard position + 4 <= limit else {
      isFull = true
      return
    }
    out[position] = UInt8(truncatingIfNeeded: value >> 24)
    out[position + 1] = UInt8(truncatingIfNeeded: value >> 16)
    out[position + 2] = UInt8(truncatingIfNeeded: value >> 8)
    out[position + 3] = UInt8(truncatingIfNeeded: value)
    position += 4
  }

  mutating func raw(_ bytes: [UInt8], _ range: Range<Int>, _ out: inout MutableSpan<UInt8>) {
    guard position + range.count <= limit else {
      isFull = true
      return
    }
    for index in range {
      out[position] = bytes[index]
      position += 1
    }
  }

  /// One A record whose owner is the question's name.
  mutating func address(v4 value: UInt32, ttl: UInt32, _ out: inout MutableSpan<UInt8>) {
    guard position + 16 <= limit else {
      isTruncated = true
      return
    }
    head(RecordType.a, ttl, 4, &out)
    u32(value, &out)
    answers += 1
  }

  mutating func address(v6 value: UInt128, ttl: UInt32, _ out: inout MutableSpan<UInt8>) {
    guard position + 28 <= limit else {
      isTruncated = true
      return
    }
    head(RecordType.aaaa, ttl, 16, &out)
    for shift in stride(from: 96, through: 0, by: -32) {
      u32(UInt32(truncatingIfNeeded: value >> UInt128(shift)), &out)
    }
    answers += 1
  }

  private mutating func head(
    _ type: UInt16, _ ttl: UInt32, _ length: UInt16, _ out: inout MutableSpan<UInt8>
  ) {
    u16(0xc000 | UInt16(Query.nameStart), &out)
    u16(type, &out)
    u16(1, &out)
    u32(ttl, &out)
    u16(length, &out)
  }

  enum Section {
    case answer, authority
  }

  /// A record of any type; `owner`: offset of its name in the message. All of it or nothing.
  mutating func record(
    _ type: UInt16, ttl: UInt32, owner: Int = Query.nameStart, in section: Section = .answer,
    _ out: inout MutableSpan<UInt8>, _ data: (inout Reply, inout MutableSpan<UInt8>) -> Void
  ) {
    guard !isTruncated else { return }
    let start = position
    u16(0xc000 | UInt16(truncatingIfNeeded: owner), &out)
    u16(type, &out)
    u16(1, &out)
    u32(ttl, &out)
    let length = position
    u16(0, &out)
    data(&self, &out)
    if isFull {
      position = start
      isFull = false
      isTruncated = true
      return
    }
    let bytes = position - length - 2
    out[length] = UInt8(truncatingIfNeeded: bytes >> 8)
    out[length + 1] = UInt8(truncatingIfNeeded: bytes)
    switch section {
    case .answer: answers += 1
    case .authority: authority += 1
    }
  }

  /// Writes OPT, for which room was left beyond the limit, and the header.
  ///
  /// - Returns: the length of the reply.
  func finish(
    _ query: borrowing Span<UInt8>, questions: UInt8, code: ResponseCode, isAuthoritative: Bool,
    edns: Bool, _ out: inout MutableSpan<UInt8>
  ) -> Int {
    var end = position
    if edns {
      let opt: (UInt8, UInt8) = (UInt8(Self.payloadBytes >> 8), UInt8(Self.payloadBytes & 255))
      out[end] = 0
      out[end + 1] = 0
      out[end + 2] = UInt8(RecordType.opt)
      out[end + 3] = opt.0
      out[end + 4] = opt.1
      out[end + 5] = UInt8(truncatingIfNeeded: code.rawValue >> 4)
      for offset in 6..<Self.optBytes { out[end + offset] = 0 }
      end += Self.optBytes
    }
    out[0] = query[0]
    out[1] = query[1]
    // QR, the opcode and RD as asked; AA and TC. RA stays 0: we do not recurse.
    out[2] = 0x80 | query[2] & 0x79 | (isAuthoritative ? 0x04 : 0) | (isTruncated ? 0x02 : 0)
    out[3] = UInt8(truncatingIfNeeded: code.rawValue & 15)
    out[4] = 0
    out[5] = questions
    out[6] = UInt8(truncatingIfNeeded: answers >> 8)
    out[7] = UInt8(truncatingIfNeeded: answers)
    out[8] = 0
    out[9] = UInt8(truncatingIfNeeded: authority)
    out[10] = 0
    out[11] = edns ? 1 : 0
    return end
  }
}
