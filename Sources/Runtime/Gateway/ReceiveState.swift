internal import Base
internal import CLinux
internal import Glibc
internal import Tunnel

/// What the receiving plane's lock guards.
struct ReceiveState: ~Copyable {
  var table = ReceiveTable()
  private var limiter: SourceLimiter
  /// Beside the table, by its cipher index.
  var ciphers = PacketCiphers(encrypts: false)
  /// By device number.
  private var devices = [Device](repeating: Device(), count: GatewayLimits.devices)
  private var coalescer = Coalescer()

  private struct Device {
    /// −1 where there is none.
    var descriptor: Int32 = -1
    var mergesUDP = false
    var mtu = 0
  }

  init(seed: UInt64) {
    limiter = SourceLimiter(key: seed)
  }

  /// Where the packets of a slice go from now on; `nil`: nowhere.
  mutating func setDevice(_ device: TunnelDevice?, mtu: Int, number: Int) {
    devices[number] =
      device.map { Device(descriptor: $0.descriptor, mergesUDP: $0.mergesUDP, mtu: mtu) }
      ?? Device()
  }

  /// Takes received messages; gives whether any of them was several datagrams.
  mutating func process(
    _ receiver: DatagramReceiver, _ count: Int, _ inputs: inout [TunnelInput]
  ) -> Bool {
    let now = Instant(nanoseconds: starling_monotonic())
    var joined = false
    for index in 0..<count {
      guard let message = receiver.message(index) else { continue }
      if message.segment < message.count { joined = true }
      var start = 0
      while start < message.count {
        let size = min(message.segment, message.count - start)
        let datagram = UnsafeMutableRawBufferPointer(start: message.bytes + start, count: size)
        if take(datagram, outer: message.trafficClass, now: now, &inputs) {
          admitHandshake(datagram, receiver.source(index), now: now, &inputs)
        }
        start += size
      }
    }
    flush()
    return joined
  }

  /// One datagram, in place; true for a handshake datagram of a known link.
  private mutating func take(
    _ datagram: UnsafeMutableRawBufferPointer, outer: UInt8, now: Instant,
    _ inputs: inout [TunnelInput]
  ) -> Bool {
    switch table.admit(UnsafeRawBufferPointer(datagram)) {
    case .drop: return false
    case .handshake: return true
    case .open(let ticket):
      guard let cipher = ciphers[ticket.cipher], let start = datagram.baseAddress else {
        return false
      }
      let length = datagram.count - PacketHeader.overhead
      let packet = start.assumingMemoryBound(to: UInt8.self)
      guard cipher.open(packet, length: length, counter: ticket.header.counter) else {
        table.reject(ticket)
        return false
      }
      let content = UnsafeMutableRawBufferPointer(
        start: start + PacketHeader.size, count: length)
      accept(content, outer: outer, ticket, &inputs)
      return false
    }
  }

  /// Takes what an authentic datagram contained.
  private mutating func accept(
    _ content: UnsafeMutableRawBufferPointer, outer: UInt8, _ ticket: ReceiveTable.Ticket,
    _ inputs: inout [TunnelInput]
  ) {
    var heard = false
    let bytes = UnsafeRawBufferPointer(content)
    let acceptance = table.accept(ticket, content: bytes, heard: &heard)
    if heard { inputs.append(.heard(ticket.session, epoch: table.epoch(of: ticket))) }
    switch acceptance {
    case .drop:
      return
    case .control:
      // What is longer is padding behind a probe.
      inputs.append(.message(ticket.session, Array(bytes.prefix(TunnelLimits.sessionMessage))))
    case .deliver(var inner, let device, let link):
      guard outer == 0 || ECN.combine(content, &inner, outer: outer) else {
        return table.dropDelivered(.congestion, link: link)
      }
      if coalescer.isFull { flush() }
      let isPartial = ticket.header.flags & PacketHeader.partialChecksum != 0
      SegmentSizeClamp.apply(content, inner, mtu: devices[device].mtu, isPartial: isPartial)
      let taken = coalescer.add(
        content, inner, isPartial: isPartial, device: device,
        mergesUDP: devices[device].mergesUDP, link: link)
      if !taken { table.dropDelivered(.badInnerPacket, link: link) }
    }
  }

  private mutating func admitHandshake(
    _ datagram: UnsafeMutableRawBufferPointer, _ raw: starling_endpoint, now: Instant,
    _ inputs: inout [TunnelInput]
  ) {
    guard let source = TunnelPort.endpoint(raw) else { return }
    guard limiter.admit(source.address, now: now) else { return table.count(.rateLimited) }
    inputs.append(.datagram(Array(datagram), from: source))
  }

  /// Writes what was merged.
  private mutating func flush() {
    for index in 0..<coalescer.count {
      let (run, pieces) = coalescer.finish(index)
      let written = UnsafeRawPointer(pieces).withMemoryRebound(
        to: iovec.self, capacity: run.packets
      ) { writev(devices[run.device].descriptor, $0, Int32(run.packets)) }
      if written < 0 {
        table.dropDelivered(.deviceFailed, link: run.link, packets: run.packets)
      }
    }
    coalescer.removeAll()
  }
}
