internal import Base
internal import CLinux
internal import Tunnel

/// What the sending plane's lock guards.
struct TransmitState: ~Copyable {
  /// The sending thread's lane: no other thread seals data under its keys.
  static let lane = 0

  private struct Path {
    var target: starling_endpoint
    /// The kernel cuts trains for it.
    var isWhole: Bool
  }

  var table = TransmitTable()
  /// Beside the table, by its cipher index.
  var ciphers = PacketCiphers(encrypts: true)
  /// Where a session's packets go, by its slot.
  private var paths: [Path] = []
  /// What holds slices back that have a rate of their own, or share a link with one.
  private var shaper: Shaper
  /// By device number: how its outer packets are marked, a code point in the upper six bits.
  private var marks = [UInt8](repeating: 0, count: GatewayLimits.devices)

  /// `isV6`: the outer packets'.
  init(isV6: Bool) {
    shaper = Shaper(overhead: (isV6 ? 40 : 20) + 8 + PacketHeader.overhead)
  }

  /// Seals segments of a packet behind those that wait, as many as there is room for; gives the first
  /// that is still to be done. What goes no further is counted and done.
  mutating func seal(
    _ packet: OutboundPacket, _ segments: Range<Int>, device: Int, _ trains: inout DatagramTrains,
    _ worn: inout SessionID?
  ) -> Int {
    let first = segments.lowerBound
    // A relay's share too, so that the datagram fits whichever way it goes.
    let largest = packet.size(of: first) + PacketHeader.overhead + RelayAddress.overhead
    let count = min(segments.count, trains.room(for: largest))
    guard count > 0 else { return first }
    let last = packet.size(of: first + count - 1)
    let bytes = (count - 1) * packet.size(of: first) + last
    guard
      case .seal(let ticket) = table.admit(
        packet.inner, packet.bytes, segments: count, bytes: bytes, flags: packet.flags,
        device: device, lane: Self.lane)
    else { return segments.upperBound }
    if ticket.wantsRekey { worn = ticket.session }
    if case .relay(let link, let addressee)? = table.target(of: ticket.session) {
      for index in first..<first + count {
        seal(packet, index, ticket, through: link, addressee, index - first, device, &trains)
      }
      return first + count
    }
    guard let cipher = ciphers[ticket.cipher] else {
      table.sendFailed(ticket.session, tooBig: false, packets: count)
      return segments.upperBound
    }
    let slot = ticket.session.slot
    let octet = marks[device] | ECN.outer(packet.inner.trafficClass)
    var header = ticket.header
    for index in first..<first + count {
      let out = trains.next
      let size = packet.size(of: index)
      header.write(to: UnsafeMutableRawBufferPointer(start: out, count: PacketHeader.size))
      packet.write(
        index, to: UnsafeMutableRawBufferPointer(start: out + PacketHeader.size, count: size))
      if cipher.seal(out, length: size, counter: header.counter) {
        trains.append(
          size + PacketHeader.overhead, session: ticket.session, trafficClass: octet,
          target: paths[slot].target, isWhole: paths[slot].isWhole)
      } else {
        table.sendFailed(ticket.session, tooBig: false)
      }
      header.counter &+= 1
    }
    return first + count
  }

  /// Seals one segment, and that once more in the session with the relay.
  private mutating func seal(
    _ packet: OutboundPacket, _ index: Int, _ ticket: TransmitTable.Ticket, through link: Int,
    _ addressee: RelayAddress, _ number: Int, _ device: Int, _ trains: inout DatagramTrains
  ) {
    let size = packet.size(of: index)
    let inner = trains.next + PacketHeader.size + RelayAddress.size
    var header = ticket.header
    header.counter &+= UInt64(number)
    header.write(to: UnsafeMutableRawBufferPointer(start: inner, count: PacketHeader.size))
    packet.write(
      index, to: UnsafeMutableRawBufferPointer(start: inner + PacketHeader.size, count: size))
    guard let cipher = ciphers[ticket.cipher],
      cipher.seal(inner, length: size, counter: header.counter)
    else { return table.sendFailed(ticket.session, tooBig: false) }
    addressee.write(
      to: UnsafeMutableRawBufferPointer(
        start: trains.next + PacketHeader.size, count: RelayAddress.size))
    sealRelayed(
      RelayAddress.size + PacketHeader.overhead + size, link, others: false,
      trafficClass: marks[device] | ECN.outer(packet.inner.trafficClass), &trains)
  }

  /// Seals what stands behind the room for a header at `trains.next`, as a relayed packet.
  private mutating func sealRelayed(
    _ length: Int, _ link: Int, others: Bool, trafficClass: UInt8, _ trains: inout DatagramTrains
  ) {
    let admission = table.admitRelayed(
      link, lane: Self.lane, segments: 1, bytes: length, others: others)
    guard case .seal(let ticket) = admission, let cipher = ciphers[ticket.cipher] else { return }
    let out = trains.next
    ticket.header.write(to: UnsafeMutableRawBufferPointer(start: out, count: PacketHeader.size))
    guard cipher.seal(out, length: length, counter: ticket.header.counter) else {
      return table.sendFailed(ticket.session, tooBig: false)
    }
    let slot = ticket.session.slot
    trains.append(
      length + PacketHeader.overhead, session: ticket.session, trafficClass: trafficClass,
      target: paths[slot].target, isWhole: paths[slot].isWhole)
  }

  /// Seals another gateway's datagram, with the address in front of it, for the next one. Marked as it
  /// came: congestion on the way here is congestion on the whole way.
  mutating func forward(
    _ content: UnsafeRawBufferPointer, _ link: Int, trafficClass: UInt8,
    _ trains: inout DatagramTrains
  ) {
    guard let start = content.baseAddress else { return }
    UnsafeMutableRawPointer(trains.next + PacketHeader.size)
      .copyMemory(from: start, byteCount: content.count)
    sealRelayed(content.count, link, others: true, trafficClass: trafficClass, &trains)
  }

  /// Seals one relayed packet of the control path.
  mutating func relay(
    _ content: [UInt8], _ link: Int
  ) -> (datagram: [UInt8], to: starling_endpoint)? {
    let admission = table.admitRelayed(
      link, lane: Self.lane, segments: 1, bytes: content.count, others: false)
    guard case .seal(let ticket) = admission else { return nil }
    return seal(content, ticket)
  }

  /// Seals a session message; `nil` where its session cannot send.
  mutating func seal(
    _ message: [UInt8], _ id: SessionID
  ) -> (datagram: [UInt8], to: starling_endpoint)? {
    guard case .seal(let ticket) = table.admitControl(id, count: message.count),
      let sealed = seal(message, ticket)
    else { return nil }
    guard case .relay(let link, let addressee)? = table.target(of: id) else { return sealed }
    return relay(addressee.wrap(sealed.datagram), link)
  }

  private func seal(
    _ message: [UInt8], _ ticket: TransmitTable.Ticket
  ) -> (datagram: [UInt8], to: starling_endpoint)? {
    guard let cipher = ciphers[ticket.cipher] else { return nil }
    var packet = [UInt8](repeating: 0, count: PacketHeader.size)
    packet.withUnsafeMutableBytes { ticket.header.write(to: $0) }
    packet += message
    packet += [UInt8](repeating: 0, count: PacketHeader.tagSize)
    let sealed = packet.withUnsafeMutableBufferPointer { buffer in
      buffer.baseAddress.map {
        cipher.seal($0, length: message.count, counter: ticket.header.counter)
      }
    }
    return sealed == true ? (packet, paths[ticket.session.slot].target) : nil
  }

  mutating func setTarget(_ target: starling_endpoint, _ id: SessionID) {
    let unknown = Path(target: starling_endpoint(), isWhole: true)
    while paths.count <= id.slot { paths.append(unknown) }
    paths[id.slot] = Path(target: target, isWhole: true)
  }

  /// The kernel cuts no trains on this session's path.
  mutating func sendSingly(_ id: SessionID) {
    paths[id.slot].isWhole = false
  }
}

/// Slices with a rate.
extension TransmitState {
  mutating func setShaping(_ plan: ShapingPlan, marks: [Int: UInt8]) {
    shaper.configure(plan, now: GatewayClock.instant)
    for number in self.marks.indices { self.marks[number] = marks[number] ?? 0 }
  }

  func isShaped(_ device: Int) -> Bool { shaper.isShaped(device) }

  func queues(_ device: Int) -> [QueueFigures] { shaper.figures(device) }

  /// When something that waits may go; `nil`: nothing waits.
  var wakeAt: Instant? { shaper.waiting > 0 ? shaper.wakeAt : nil }

  /// What was read from a shaped device, with its virtio header: whether it may go at once. Otherwise
  /// it waits or is dropped.
  mutating func admit(_ read: DeviceRead, device: Int) -> Bool {
    let bytes = read.bytes
    guard bytes.count > VirtioHeader.size, let header = VirtioHeader(bytes),
      let inner = InnerPacket(UnsafeRawBufferPointer(rebasing: bytes[VirtioHeader.size...]))
    else {
      table.count(.badInnerPacket)
      return false
    }
    let now = GatewayClock.instant
    if shaper.pass(device, bytes: header.charge(bytes.count - VirtioHeader.size), now: now) {
      return true
    }
    let index = TrafficClass.index(of: inner.trafficClass)
    // What finds no room is counted there.
    _ = shaper.hold(device, classIndex: index, bytes, now: now)
    return false
  }

  mutating func charge(_ packet: OutboundPacket, device: Int) {
    let last = packet.size(of: packet.count - 1)
    let bytes = (packet.count - 1) * packet.size(of: 0) + last
    shaper.charge(device, bytes: bytes, segments: packet.count)
  }

  /// Seals what may go of that which waits, as far as there is room; true where that ended it.
  mutating func sealWaiting(
    _ devices: [TransmitPlane.Device], _ trains: inout DatagramTrains, _ worn: inout SessionID?
  ) -> Bool {
    let now = GatewayClock.instant
    while trains.hasRoomForGrant {
      let grant = shaper.next(now: now) { number in
        devices.first { $0.number == number }?.mtu ?? TunnelLimits.innerMTU
      }
      guard let grant else { return false }
      _ = seal(grant.packet, grant.segments, device: grant.device, &trains, &worn)
    }
    return true
  }
}

/// What a device gave: a packet with its virtio header.
///
/// Unchecked: it points into a buffer of the one thread that reads the device. It is `Sendable` only so
/// that it may be used while that thread holds the plane's lock.
struct DeviceRead: @unchecked Sendable {
  let bytes: UnsafeRawBufferPointer
}

extension VirtioHeader {
  /// Inner bytes of all segments that a packet of so many bytes is cut into.
  func charge(_ count: Int) -> Int {
    guard segmentation != .none, segmentSize > 0 else { return count }
    let payload = max(0, count - Int(headerLength))
    let segments = max(1, (payload + Int(segmentSize) - 1) / Int(segmentSize))
    return count + (segments - 1) * Int(headerLength)
  }
}
