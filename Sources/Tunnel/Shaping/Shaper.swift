public import Base

/// Holds packets of slices back so that each keeps to its ceiling and gets what it is guaranteed, and
/// decides which goes next. It stands between a slice's device and the sealing of packets.
///
/// What goes first, as in a hierarchical token bucket: slices below their guaranteed rate, the one that
/// has waited longest for it first; then the others below their ceiling, by deficit round robin in
/// proportion to 8 − priority. Within a slice its traffic classes share by deficit round robin, so that
/// none starves. A class's queue is bounded, and kept short by CoDel (RFC 8289), which marks where the
/// sender understands it. What is charged are the inner packets that travel, each with its headers;
/// the link is charged what surrounds them as well.
///
/// Super-packets wait whole and leave in segments. A packet that nothing holds back is never copied:
/// `pass`, then `charge`. Any other: `hold`, then `next` until there is none, again at `wakeAt`.
public struct Shaper: ~Copyable {
  /// By device number; laid out once, so that nothing is counted or copied per packet.
  private let slices: UnsafeMutablePointer<Slice>
  /// Numbers of those that are shaped, ascending, and their turns.
  private var order: [Int] = []
  private var turns = DeficitRound(count: 0)
  private var link: TokenBucket?
  private var linkRate = 0
  /// What surrounds an inner packet on the link.
  private let overhead: Int
  /// Packets that wait.
  public private(set) var waiting = 0
  /// When `next` may give something again, as far as it is known; none waits: never.
  public private(set) var wakeAt = Instant.distantFuture
  private var grants: UInt64 = 0
  /// The packet of the last grant was its queue's first, and is done.
  private var done: (slice: Int, queue: Int)?

  struct Queue {
    var ring: PacketRing?
    var delay: QueueDelay
    var waiting = 0
    /// The first packet, once some of it was sent, and the next of its segments.
    var current: OutboundPacket?
    var segment = 0
    var figures = QueueFigures()
  }

  struct Slice {
    /// `nil`: not shaped.
    var rule: ShapingRule?
    var ceiling: TokenBucket?
    var guaranteed: TokenBucket?
    /// By class.
    var queues: [Queue] = []
    var turns = DeficitRound(count: TrafficClass.count)
    /// Packets in all of them.
    var waiting = 0
    /// When it was last given what is guaranteed, as a number of such grants.
    var served: UInt64 = 0
    /// Its place in `order`.
    var place = 0
    /// Bytes that each queue takes.
    var room = 0
  }

  /// `overhead`: bytes of the outer IP and UDP headers, the tunnel's header and tag.
  public init(overhead: Int = 20 + 8 + PacketHeader.overhead) {
    self.overhead = overhead
    slices = .allocate(capacity: TunnelLimits.devices)
    slices.initialize(repeating: Slice(), count: TunnelLimits.devices)
  }

  deinit {
    for number in 0..<TunnelLimits.devices { slices[number].free() }
    slices.deinitialize(count: TunnelLimits.devices)
    slices.deallocate()
  }

  // MARK: Rules

  /// Makes the rules those of the plan. What waits in a slice without one is dropped.
  public mutating func configure(_ plan: ShapingPlan, now: Instant) {
    finish()
    if plan.link != linkRate {
      linkRate = plan.link
      link = plan.link > 0 ? TokenBucket(kilobits: plan.link, now: now) : nil
    }
    order = []
    for number in 0..<TunnelLimits.devices {
      guard let rule = plan.rules[number] else {
        waiting -= slices[number].waiting
        slices[number].free()
        slices[number] = Slice()
        continue
      }
      slices[number].set(rule, link: plan.link, now)
      slices[number].place = order.count
      order.append(number)
    }
    turns = DeficitRound(count: order.count)
    wakeAt = waiting > 0 ? now : .distantFuture
  }

  public func isShaped(_ device: Int) -> Bool {
    device >= 0 && device < TunnelLimits.devices && slices[device].rule != nil
  }

  /// By class; empty where the device is not shaped.
  public func figures(_ device: Int) -> [QueueFigures] {
    guard isShaped(device) else { return [] }
    return slices[device].queues.map { queue in
      var figures = queue.figures
      figures.bytes = queue.ring?.bytes ?? 0
      return figures
    }
  }

  // MARK: Packets

  /// Whether a packet of so many inner bytes may go at once, with nothing held back that is before it.
  /// Nothing is charged yet.
  public mutating func pass(_ device: Int, bytes: Int, now: Instant) -> Bool {
    guard isShaped(device) else { return true }
    slices[device].fill(now)
    link?.fill(now)
    guard slices[device].waiting == 0, Self.has(slices[device].ceiling, bytes),
      Self.has(link, bytes)
    else { return false }
    // Others wait for the link: only what is guaranteed goes before them.
    return link == nil || waiting == 0 || slices[device].hasGuaranteed(bytes)
  }

  private static func has(_ bucket: TokenBucket?, _ bytes: Int) -> Bool {
    bucket.map { $0.isReady && $0.bytes >= bytes } ?? true
  }

  /// Charges what passed: inner bytes of all segments.
  public mutating func charge(_ device: Int, bytes: Int, segments: Int) {
    guard isShaped(device) else { return }
    slices[device].ceiling?.take(bytes)
    if slices[device].guaranteed?.isReady == true { slices[device].guaranteed?.take(bytes) }
    link?.take(bytes + segments * overhead)
  }

  /// Keeps a packet, its virtio header before it, until its turn; false where there is no room.
  public mutating func hold(
    _ device: Int, classIndex: UInt8, _ packet: UnsafeRawBufferPointer, now: Instant
  ) -> Bool {
    guard isShaped(device) else { return false }
    let index = Int(classIndex) % TrafficClass.count
    if slices[device].queues[index].ring == nil {
      slices[device].queues[index].ring = PacketRing(capacity: slices[device].room)
    }
    guard slices[device].queues[index].ring?.append(packet, at: now) == true else {
      slices[device].queues[index].figures.refused &+= UInt64(Self.segments(packet))
      return false
    }
    slices[device].queues[index].waiting += 1
    slices[device].waiting += 1
    waiting += 1
    wakeAt = min(wakeAt, now)
    return true
  }

  /// How many packets one that waits stands for, as its header says.
  static func segments(_ packet: UnsafeRawBufferPointer) -> Int {
    guard let header = VirtioHeader(packet), header.segmentation != .none,
      header.segmentSize > 0
    else { return 1 }
    let payload = packet.count - VirtioHeader.size - Int(header.headerLength)
    let size = Int(header.segmentSize)
    return max(1, (payload + size - 1) / size)
  }

  // MARK: Turns

  /// Segments of a packet that may go now; they are charged. The packet stays valid until the next
  /// call.
  public struct Grant: @unchecked Sendable {
    public let device: Int
    public let packet: OutboundPacket
    public let segments: Range<Int>
  }

  /// `nil`: nothing may go before `wakeAt`. `mtu`: by device, what handshakes of TCP may offer.
  public mutating func next(now: Instant, mtu: (Int) -> Int) -> Grant? {
    finish()
    while waiting > 0 {
      link?.fill(now)
      if let link, !link.isReady {
        wakeAt = link.readyAt
        return nil
      }
      guard let (number, isGuaranteed) = choose(now) else { return nil }
      if let grant = grant(number, isGuaranteed: isGuaranteed, now, mtu: mtu(number)) {
        return grant
      }
    }
    wakeAt = .distantFuture
    return nil
  }

  private mutating func finish() {
    guard let (slice, queue) = done else { return }
    slices[slice].queues[queue].ring?.removeFirst()
    done = nil
  }

  private mutating func choose(_ now: Instant) -> (slice: Int, isGuaranteed: Bool)? {
    var soonest = Instant.distantFuture
    var first: (slice: Int, credit: Int64, served: UInt64)?
    var isAnyReady = false
    for place in order.indices where slices[order[place]].waiting > 0 {
      let slice = slices + order[place]
      slice.pointee.fill(now)
      guard slice.pointee.mayGo else {
        soonest = min(soonest, slice.pointee.ceiling?.readyAt ?? now)
        continue
      }
      isAnyReady = true
      guard let bucket = slice.pointee.guaranteed, bucket.isReady else { continue }
      let (credit, served) = (bucket.credit, slice.pointee.served)
      // With more guaranteed than there is all wait equally long: then they take turns.
      if first.map({ (-credit, served) < (-$0.credit, $0.served) }) ?? true {
        first = (order[place], credit, served)
      }
    }
    if let first { return (first.slice, true) }
    guard isAnyReady else {
      wakeAt = soonest
      return nil
    }
    let (slices, order) = (slices, order)
    let turn = turns.next(
      isReady: { slices[order[$0]].waiting > 0 && slices[order[$0]].mayGo },
      weight: { slices[order[$0]].rule?.weight ?? 1 })
    return (order[turn], false)
  }

  private mutating func grant(
    _ number: Int, isGuaranteed: Bool, _ now: Instant, mtu: Int
  ) -> Grant? {
    let slice = slices + number
    let queue = slice.pointee.nextQueue()
    if slice.pointee.queues[queue].current == nil {
      let before = slice.pointee.waiting
      let isThere = slice.pointee.begin(queue, now, mtu: mtu)
      waiting -= before - slice.pointee.waiting
      if !isThere { return nil }
    }
    guard let packet = slice.pointee.queues[queue].current else { return nil }
    var most = min(TunnelLimits.grant, slice.pointee.turns[queue])
    if let ceiling = slice.pointee.ceiling { most = min(most, ceiling.bytes) }
    if let link { most = min(most, link.bytes) }
    most = min(
      most, isGuaranteed ? slice.pointee.guaranteed?.bytes ?? most : turns[slice.pointee.place])
    let first = slice.pointee.queues[queue].segment
    var (end, bytes) = (first, 0)
    repeat {
      bytes += packet.size(of: end)
      end += 1
    } while end < packet.count && bytes < most
    slice.pointee.ceiling?.take(bytes)
    link?.take(bytes + (end - first) * overhead)
    if isGuaranteed {
      slice.pointee.guaranteed?.take(bytes)
      grants += 1
      slice.pointee.served = grants
    } else {
      turns.take(slice.pointee.place, bytes)
    }
    slice.pointee.advance(queue, to: end, bytes: bytes)
    if end == packet.count {
      waiting -= 1
      done = (number, queue)
    }
    return Grant(device: number, packet: packet, segments: first..<end)
  }
}
