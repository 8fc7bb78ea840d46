internal import Base

/// Packets that wait, first in, first out, in one piece of memory that is laid out once. Pages that no
/// packet reaches are never there.
///
/// Owned by hand: `free` ends it. Every packet stays where it is until it is removed.
struct PacketRing: @unchecked Sendable {
  private let memory: UnsafeMutableRawPointer
  private let capacity: Int
  private var head = 0
  private var tail = 0
  /// With what is left free before the memory's end.
  private var used = 0
  private(set) var count = 0
  /// Bytes of the packets themselves.
  private(set) var bytes = 0

  /// Length and time before each packet.
  private static let header = 16
  private static let endMark = UInt64.max

  init(capacity: Int) {
    self.capacity = (capacity + Self.header - 1) / Self.header * Self.header
    memory = .allocate(byteCount: self.capacity, alignment: Self.header)
  }

  func free() {
    memory.deallocate()
  }

  /// Copies a packet in; false where there is no room.
  mutating func append(_ packet: UnsafeRawBufferPointer, at time: Instant) -> Bool {
    let size = Self.size(packet.count)
    let left = capacity - tail
    if size > left {
      // The packet is to be in one piece: what is left stays empty.
      guard used + left + size <= capacity else { return false }
      if left > 0 {
        memory.storeBytes(of: Self.endMark, toByteOffset: tail, as: UInt64.self)
        used += left
      }
      tail = 0
    } else if used + size > capacity {
      return false
    }
    memory.storeBytes(of: UInt64(packet.count), toByteOffset: tail, as: UInt64.self)
    memory.storeBytes(of: time.nanoseconds, toByteOffset: tail + 8, as: Int64.self)
    UnsafeMutableRawBufferPointer(start: memory + tail + Self.header, count: packet.count)
      .copyMemory(from: packet)
    tail += size
    used += size
    count += 1
    bytes += packet.count
    return true
  }

  /// The oldest, and when it came.
  mutating func first() -> (packet: UnsafeMutableRawBufferPointer, at: Instant)? {
    guard count > 0 else { return nil }
    if head == capacity {
      head = 0
    } else if memory.load(fromByteOffset: head, as: UInt64.self) == Self.endMark {
      used -= capacity - head
      head = 0
    }
    let length = Int(memory.load(fromByteOffset: head, as: UInt64.self))
    let time = memory.load(fromByteOffset: head + 8, as: Int64.self)
    return (
      UnsafeMutableRawBufferPointer(start: memory + head + Self.header, count: length),
      Instant(nanoseconds: time)
    )
  }

  mutating func removeFirst() {
    guard let (packet, _) = first() else { return }
    let size = Self.size(packet.count)
    head += size
    used -= size
    count -= 1
    bytes -= packet.count
    if count == 0 { (head, tail, used) = (0, 0, 0) }
  }

  private static func size(_ count: Int) -> Int {
    header + (count + header - 1) / header * header
  }
}
