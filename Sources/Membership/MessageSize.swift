/// Bytes that a message takes as one entry of an envelope, as `Wire/Schema/peer.proto` lays it out.
/// A test in WireTests holds it to the codec.
extension Membership.Message {
  public var encodedSize: Int {
    switch self {
    case .ping(let ping): entry(ping.encodedSize)
    case .ack(let ack): entry(ack.encodedSize)
    case .probeRequest(let sequence, _): entry(number(sequence) + field(32))
    // A oneof's number is there even when it is zero.
    case .relayedAck(let sequence), .nack(let sequence):
      field(1 + varint(UInt64(sequence)))
    case .evidence(let items): entry(items.reduce(0) { $0 + field($1.encodedSize) })
    case .syncRequest(let buckets): entry(bytes(4 * buckets.count))
    case .syncSummary(let summary):
      entry(fixed64(summary.buckets) + bytes(21 * summary.members.count))
    case .syncWant(let prefixes): entry(bytes(8 * prefixes.count))
    case .syncRecords(let records):
      entry(
        records.evidence.reduce(0) { $0 + field($1.encodedSize) }
          + bytes(18 * records.coordinates.count))
    case .syncRedirect(let others): field(field(32 * others.count))
    }
  }

  /// An embedded message within the oneof, within the envelope.
  private func entry(_ content: Int) -> Int { field(field(content)) }
}

extension Membership.Ping {
  fileprivate var encodedSize: Int {
    number(sequence) + (view == 0 ? 0 : 5) + bytes(attachment.count)
  }
}

extension Membership.Ack {
  fileprivate var encodedSize: Int {
    number(sequence) + (view == 0 ? 0 : 5) + (coordinate.isKnown ? bytes(10) : 0)
      + bytes(attachment.count)
  }
}

extension Membership.Evidence {
  fileprivate var encodedSize: Int {
    switch self {
    case .record(let record):
      field(
        field(32) + field(record.incarnation.encodedSize) + (record.presence == .alive ? 0 : 2)
          + record.addresses.reduce(0) { $0 + field($1.utf8.count) } + field(64))
    case .accusation(let accusation):
      field(field(32) + field(accusation.incarnation.encodedSize) + field(32) + field(64))
    }
  }
}

extension Incarnation {
  fileprivate var encodedSize: Int {
    (bootEpoch == 0 ? 0 : 1 + varint(bootEpoch)) + number(counter)
  }
}

/// A length-delimited field that is always there: tag, length, content.
private func field(_ content: Int) -> Int { 1 + varint(UInt64(content)) + content }

/// A bytes field; an empty one is left out.
private func bytes(_ count: Int) -> Int { count == 0 ? 0 : field(count) }

/// A varint field; a zero is left out.
private func number(_ value: UInt32) -> Int { value == 0 ? 0 : 1 + varint(UInt64(value)) }

private func fixed64(_ value: UInt64) -> Int { value == 0 ? 0 : 9 }

private func varint(_ value: UInt64) -> Int {
  (max(1, UInt64.bitWidth - value.leadingZeroBitCount) + 6) / 7
}
