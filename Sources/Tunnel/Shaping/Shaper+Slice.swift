internal import Base

/// The queues of one slice.
extension Shaper.Slice {
  func free() {
    for queue in queues { queue.ring?.free() }
  }

  /// What waits goes on waiting.
  mutating func set(_ new: ShapingRule, link: Int, _ now: Instant) {
    func bucket(_ rate: Int) -> TokenBucket? {
      rate > 0 ? TokenBucket(kilobits: rate, now: now) : nil
    }
    let most = min(new.ceiling > 0 ? new.ceiling : .max, link > 0 ? link : .max)
    let rate = min(most, ShapingRule.largestRate) * 125
    if rule == nil {
      queues = Array(
        repeating: Shaper.Queue(delay: QueueDelay(rate: Int64(rate))), count: TrafficClass.count)
      room = min(max(rate / 10, TunnelLimits.leastQueue), TunnelLimits.largestQueue)
    }
    guard rule != new else { return }
    rule = new
    ceiling = bucket(new.ceiling)
    guaranteed = bucket(new.guaranteed)
    for index in queues.indices { queues[index].delay = QueueDelay(rate: Int64(rate)) }
  }

  mutating func fill(_ now: Instant) {
    ceiling?.fill(now)
    guaranteed?.fill(now)
  }

  /// Below its ceiling.
  var mayGo: Bool { ceiling?.isReady ?? true }

  /// Guaranteed, and not used yet.
  func hasGuaranteed(_ bytes: Int) -> Bool {
    guaranteed.map { $0.isReady && $0.bytes >= bytes } ?? false
  }

  /// The class whose turn it is; a packet waits.
  mutating func nextQueue() -> Int {
    var ready = 0
    for index in queues.indices where queues[index].waiting > 0 { ready |= 1 << index }
    return turns.next(
      isReady: { ready >> $0 & 1 == 1 }, weight: { TrafficClass(rawValue: $0)?.weight ?? 1 })
  }

  /// Looks at a queue's first packet; false where it goes no further, and is removed.
  mutating func begin(_ index: Int, _ now: Instant, mtu: Int) -> Bool {
    guard let (bytes, since) = queues[index].ring?.first() else {
      // Cannot be, since what waits stands in the ring; then nothing does.
      waiting -= queues[index].waiting
      queues[index].waiting = 0
      return false
    }
    let backlog = queues[index].ring?.bytes ?? 0
    let isLate = queues[index].delay.judge(
      waited: now - since, backlog: backlog, packet: bytes.count, now)
    let packet = UnsafeMutableRawBufferPointer(
      rebasing: bytes[min(VirtioHeader.size, bytes.count)...])
    if isLate {
      guard var fields = InnerPacket(UnsafeRawBufferPointer(packet)), ECN.mark(packet, &fields)
      else {
        discard(index, delayed: true)
        return false
      }
      queues[index].figures.marked &+= 1
    }
    guard let header = VirtioHeader(UnsafeRawBufferPointer(bytes)),
      let outbound = OutboundPacket(header, packet, mtu: mtu)
    else {
      discard(index, delayed: false)
      return false
    }
    queues[index].current = outbound
    queues[index].segment = 0
    return true
  }

  private mutating func discard(_ index: Int, delayed: Bool) {
    if !delayed {
      queues[index].figures.malformed &+= 1
    } else if let (bytes, _) = queues[index].ring?.first() {
      let segments = Shaper.segments(UnsafeRawBufferPointer(bytes))
      queues[index].figures.delayed &+= UInt64(segments)
    }
    queues[index].ring?.removeFirst()
    queues[index].waiting -= 1
    waiting -= 1
  }

  /// Segments up to `end` of the first packet of a queue are sent.
  mutating func advance(_ index: Int, to end: Int, bytes: Int) {
    turns.take(index, bytes)
    queues[index].segment = end
    guard let packet = queues[index].current, end == packet.count else { return }
    queues[index].current = nil
    queues[index].waiting -= 1
    waiting -= 1
  }
}
