internal import CLinux
internal import Synchronization
internal import Tunnel

/// Other gateways' datagrams on their way through this one, between opening and sealing: laid out once,
/// bounded.
///
/// Unchecked: it is part of what a plane's lock guards, or belongs to the one thread that took it.
struct ForwardBatch: ~Copyable, @unchecked Sendable {
  private struct Entry {
    var link: Int
    var start: Int
    var count: Int
    var trafficClass: UInt8
  }

  private let arena: UnsafeMutableRawBufferPointer
  private var entries: [Entry] = []
  private var used = 0

  /// A quarter of what the socket's messages may be in all.
  private static let bytes = 1 << 20
  private static let entriesLimit = 2_048

  init() {
    arena = .allocate(byteCount: Self.bytes, alignment: 64)
    entries.reserveCapacity(Self.entriesLimit)
  }

  deinit {
    arena.deallocate()
  }

  var count: Int { entries.count }

  func content(_ index: Int) -> (link: Int, trafficClass: UInt8, bytes: UnsafeRawBufferPointer) {
    let entry = entries[index]
    let bytes = arena[entry.start..<entry.start + entry.count]
    return (entry.link, entry.trafficClass, UnsafeRawBufferPointer(rebasing: bytes))
  }

  /// False where there is no room.
  mutating func append(
    _ content: UnsafeRawBufferPointer, link: Int, trafficClass: UInt8
  ) -> Bool {
    guard used + content.count <= Self.bytes, entries.count < Self.entriesLimit else {
      return false
    }
    UnsafeMutableRawBufferPointer(rebasing: arena[used..<used + content.count])
      .copyMemory(from: content)
    entries.append(
      Entry(link: link, start: used, count: content.count, trafficClass: trafficClass))
    used += content.count
    return true
  }

  mutating func removeAll() {
    entries.removeAll(keepingCapacity: true)
    used = 0
  }
}

/// Seals and sends what others' datagrams became. Belongs to the receiving thread.
struct PacketForwarder: ~Copyable {
  private let plane: TransmitPlane
  private var trains: DatagramTrains
  var batch = ForwardBatch()

  /// `nil` out of memory.
  init?(_ plane: TransmitPlane) {
    guard let trains = DatagramTrains() else { return nil }
    self.plane = plane
    self.trains = trains
  }

  deinit {
    trains.destroy()
  }

  mutating func send() {
    guard batch.count > 0 else { return }
    var next = 0
    while next < batch.count {
      let first = next
      next = plane.state.withLock { state in
        var index = first
        while index < batch.count {
          let (link, trafficClass, content) = batch.content(index)
          guard trains.room(for: content.count + PacketHeader.overhead) > 0 else { break }
          state.forward(content, link, trafficClass: trafficClass, &trains)
          index += 1
        }
        return index
      }
      plane.flush(&trains)
    }
    batch.removeAll()
  }
}
