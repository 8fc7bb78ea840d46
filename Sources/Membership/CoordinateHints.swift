import Base

/// Where other members are, told on top of acks: without it a member knows a place only of those that
/// it has probed, a thousand seconds for a thousand members, and overlays are chosen by guesses.
///
/// Form: 8 bytes of id and 10 of coordinate, one after the other. Hints are good for choosing, never for
/// judging, so nothing proves them.
enum CoordinateHints {
  static let size = 18
  static let limit = 6

  /// Few where the fleet is small: all are probed often enough.
  static func count(members: Int) -> Int { min(limit, members / 100) }

  static func write(_ hint: Membership.SyncRecords.Hint, to writer: inout ByteWriter) {
    writer.u64(hint.prefix)
    writer.u16(UInt16(bitPattern: hint.coordinate.x))
    writer.u16(UInt16(bitPattern: hint.coordinate.y))
    writer.u16(UInt16(bitPattern: hint.coordinate.z))
    writer.u16(hint.coordinate.height)
    writer.u16(hint.coordinate.error)
  }

  static func read(_ bytes: [UInt8]) throws(WireError) -> [Membership.SyncRecords.Hint] {
    guard bytes.count.isMultiple(of: size), bytes.count <= limit * size else {
      throw .malformed("coordinates")
    }
    var reader = ByteReader(bytes)
    var out: [Membership.SyncRecords.Hint] = []
    while reader.remaining > 0 {
      let prefix = try reader.u64()
      let coordinate = NetworkCoordinate(
        x: Int16(bitPattern: try reader.u16()), y: Int16(bitPattern: try reader.u16()),
        z: Int16(bitPattern: try reader.u16()), height: try reader.u16(),
        error: try reader.u16())
      out.append(.init(prefix: prefix, coordinate: coordinate))
    }
    return out
  }
}

/// Whose round trips were measured last: what hints are taken from, without a look at all members.
struct LatelyMeasured: Sendable {
  static let limit = 64

  private(set) var slots: [Int32] = []
  private var oldest = 0

  mutating func note(_ slot: Int32) {
    guard slots.count == Self.limit else { return slots.append(slot) }
    slots[oldest] = slot
    oldest = (oldest + 1) % Self.limit
  }

  /// Follows the table; who is gone is forgotten.
  mutating func move(_ new: (Int32) -> Int32) {
    slots = slots.map(new).filter { $0 >= 0 }
    oldest = 0
  }
}

extension Membership {
  /// A few of those that were measured lately, for the next ack.
  mutating func hints() -> [UInt8] {
    let count = CoordinateHints.count(members: table.count)
    guard count > 0, !measured.slots.isEmpty else { return [] }
    var writer = ByteWriter(reserving: count * CoordinateHints.size)
    for _ in 0..<count {
      let slot = measured.slots[Int.random(in: 0..<measured.slots.count, using: &rng)]
      guard table[slot].smoothed > 0 else { continue }
      CoordinateHints.write(
        .init(prefix: table.id(slot).words.0, coordinate: table[slot].coordinate), to: &writer)
    }
    return writer.bytes
  }

  mutating func learn(hints bytes: [UInt8], from sender: NodeID, _ effects: inout [Effect]) {
    guard !bytes.isEmpty else { return }
    guard let hints = try? CoordinateHints.read(bytes) else {
      effects.append(.event(.rejected(from: sender, .overLimit)))
      return
    }
    for hint in hints { learn(hint) }
  }

  /// The surer word wins; what the member itself says in an ack replaces both.
  mutating func learn(_ hint: SyncRecords.Hint) {
    guard let slot = table.slot(prefix: hint.prefix), hint.coordinate.isKnown,
      hint.coordinate.error < table[slot].coordinate.error
    else { return }
    table[slot].coordinate = hint.coordinate
  }
}
