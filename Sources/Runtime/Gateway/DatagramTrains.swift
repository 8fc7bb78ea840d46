internal import CLinux
internal import Glibc
internal import Tunnel

/// Datagrams that wait to be sent. Those of one size to one place that follow each other are a train,
/// which the kernel takes as one message and cuts only where the device cannot (`UDP_SEGMENT`).
///
/// Unchecked: it belongs to the one thread that made it. It is `Sendable` only so that it may be used
/// while that thread holds a plane's lock.
struct DatagramTrains: @unchecked Sendable {
  struct Train {
    var session: SessionID
    var target: starling_endpoint
    /// The traffic class octet of the outer headers.
    var trafficClass: UInt8
    /// The kernel cuts it on this path; otherwise its datagrams go one by one.
    var isWhole: Bool
    var start: Int
    var bytes: Int
    /// Size of each datagram but the last, which may be shorter.
    var segment: Int
    var datagrams: Int
  }

  /// Trains as messages, and the datagrams of one train.
  let wholes: MessageSender
  let singles: MessageSender
  private let arena: UnsafeMutablePointer<UInt8>
  private let trains: UnsafeMutablePointer<Train>
  private(set) var count = 0
  private(set) var used = 0

  /// Trains that go with one system call.
  static let capacity = 64
  private static let arenaBytes = 256 << 10
  /// Datagrams that every kernel with `UDP_SEGMENT` takes at once (`UDP_MAX_SEGMENTS` was 64).
  private static let datagramsPerTrain = 64
  /// Payload of the largest UDP datagram over IPv4.
  private static let trainBytes = 65_507

  /// `nil` out of memory.
  init?() {
    guard let wholes = MessageSender(Self.capacity) else { return nil }
    guard let singles = MessageSender(Self.datagramsPerTrain) else {
      wholes.destroy()
      return nil
    }
    self.wholes = wholes
    self.singles = singles
    arena = .allocate(capacity: Self.arenaBytes)
    trains = .allocate(capacity: Self.capacity)
  }

  func destroy() {
    wholes.destroy()
    singles.destroy()
    arena.deallocate()
    trains.deallocate()
  }

  subscript(_ index: Int) -> Train { trains[index] }

  /// How many datagrams of one size there is room for; at least one where nothing waits.
  func room(for size: Int) -> Int {
    let perTrain = max(1, min(Self.datagramsPerTrain, Self.trainBytes / size))
    return min((Self.arenaBytes - used) / size, (Self.capacity - count) * perTrain)
  }

  /// Room for whatever is granted at once: a grant's bytes in the smallest segments there are.
  var hasRoomForGrant: Bool {
    used <= GatewayLimits.flush && count <= Self.capacity / 2
  }

  /// Where the next datagram is laid out.
  var next: UnsafeMutablePointer<UInt8> { arena + used }

  /// Takes the datagram that was laid out at `next`; there is room for it.
  mutating func append(
    _ size: Int, session: SessionID, trafficClass: UInt8, target: borrowing starling_endpoint,
    isWhole: Bool
  ) {
    defer { used += size }
    if count > 0 {
      let last = trains + count - 1
      // Nothing comes behind a shorter one: then the bytes are no multiple of the size.
      if last.pointee.session == session, last.pointee.trafficClass == trafficClass,
        size <= last.pointee.segment,
        last.pointee.bytes == last.pointee.segment * last.pointee.datagrams,
        last.pointee.datagrams < Self.datagramsPerTrain,
        last.pointee.bytes + size <= Self.trainBytes
      {
        last.pointee.bytes += size
        last.pointee.datagrams += 1
        return
      }
    }
    (trains + count).initialize(
      to: Train(
        session: session, target: copy target, trafficClass: trafficClass, isWhole: isWhole,
        start: used, bytes: size, segment: size, datagrams: 1))
    count += 1
  }

  mutating func removeAll() {
    count = 0
    used = 0
  }

  /// Makes messages of the trains from `first` on that go whole; gives how many.
  func layOutWholes(from first: Int) -> Int {
    var index = first
    while index < count, trains[index].isWhole {
      let train = trains + index
      wholes.set(
        index - first, arena + train.pointee.start, train.pointee.bytes,
        segment: train.pointee.datagrams > 1 ? train.pointee.segment : 0,
        trafficClass: train.pointee.trafficClass, to: &train.pointee.target)
      index += 1
    }
    return index - first
  }

  /// Makes messages of a train's datagrams; gives how many.
  func layOutSingles(_ index: Int) -> Int {
    let train = trains + index
    for number in 0..<train.pointee.datagrams {
      let start = number * train.pointee.segment
      singles.set(
        number, arena + train.pointee.start + start,
        min(train.pointee.segment, train.pointee.bytes - start), segment: 0,
        trafficClass: train.pointee.trafficClass, to: &train.pointee.target)
    }
    return train.pointee.datagrams
  }
}

/// Message headers for sending, laid out once.
struct MessageSender: @unchecked Sendable {
  private let handle: OpaquePointer

  /// `nil` out of memory.
  init?(_ capacity: Int) {
    guard let handle = starling_sender_create(UInt32(capacity)) else { return nil }
    self.handle = handle
  }

  func destroy() {
    starling_sender_destroy(handle)
  }

  /// `segment` 0: one datagram.
  func set(
    _ index: Int, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, segment: Int,
    trafficClass: UInt8, to target: UnsafePointer<starling_endpoint>
  ) {
    starling_sender_set(
      handle, UInt32(index), bytes, UInt32(count), UInt32(segment), trafficClass, target)
  }

  /// Sends messages `from` to `end`, waiting for room in the socket's buffer: the senders behind the
  /// TUN device are to wait, not to lose. Tells of each message that the kernel refused, and why.
  func send(_ port: TunnelPort, count: Int, refused: (_ index: Int, _ code: Int32) -> Void) {
    var first = 0
    while first < count {
      let sent = starling_sender_send(
        handle, port.descriptor, UInt32(first), UInt32(count - first))
      if sent > 0 {
        first += Int(sent)
      } else if sent == -EAGAIN, port.waitForRoom() {
        continue
      } else if sent != -EINTR {
        // This one cannot be sent; those behind it may go elsewhere.
        refused(first, -sent)
        first += 1
      }
    }
  }
}
