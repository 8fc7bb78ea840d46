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
  /// By session slot, from where its packets come.
  private var sources: [Source] = []
  /// What is to be handed on.
  private var forwards = ForwardBatch()

  private struct Device {
    /// −1 where there is none.
    var descriptor: Int32 = -1
    var mergesUDP = false
    var mtu = 0
  }

  private struct Source {
    var endpoint = starling_endpoint()
    /// Told of another one: once for a while.
    var toldAt = Instant.zero
  }

  /// How often the control path hears of packets of a session from elsewhere.
  private static let moveInterval: Duration = .milliseconds(100)

  init(seed: UInt64) {
    limiter = SourceLimiter(key: seed)
  }

  /// Where the packets of a slice go from now on; `nil`: nowhere.
  mutating func setDevice(_ device: TunnelDevice?, mtu: Int, number: Int) {
    devices[number] =
      device.map { Device(descriptor: $0.descriptor, mergesUDP: $0.mergesUDP, mtu: mtu) }
      ?? Device()
  }

  /// A session's packets are expected from there; a length of 0: through a relay.
  mutating func setSource(_ endpoint: starling_endpoint, _ id: SessionID) {
    while sources.count <= id.slot { sources.append(Source()) }
    sources[id.slot] = Source(endpoint: endpoint)
  }

  /// Gives what is to be handed on for an empty batch.
  mutating func exchangeForwards(_ empty: inout ForwardBatch) {
    if forwards.count > 0 { swap(&forwards, &empty) }
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
        let origin = Origin(
          receiver: receiver, message: index, outer: message.trafficClass, now: now)
        take(datagram, origin, &inputs)
        start += size
      }
    }
    flush()
    return joined
  }

  /// Where a datagram came from: a message, and the link that handed it on, if one did.
  private struct Origin {
    var receiver: DatagramReceiver
    var message: Int
    /// Of the outer IP header.
    var outer: UInt8
    var now: Instant
    var relay: Int?
  }

  /// One datagram, in place.
  private mutating func take(
    _ datagram: UnsafeMutableRawBufferPointer, _ origin: Origin, _ inputs: inout [TunnelInput]
  ) {
    switch table.admit(UnsafeRawBufferPointer(datagram)) {
    case .drop: return
    case .handshake: admitHandshake(datagram, origin, &inputs)
    case .open(let ticket):
      guard let cipher = ciphers[ticket.cipher], let start = datagram.baseAddress else { return }
      let length = datagram.count - PacketHeader.overhead
      let packet = start.assumingMemoryBound(to: UInt8.self)
      guard cipher.open(packet, length: length, counter: ticket.header.counter) else {
        return table.reject(ticket)
      }
      let content = UnsafeMutableRawBufferPointer(
        start: start + PacketHeader.size, count: length)
      accept(content, ticket, origin, &inputs)
    }
  }

  /// Takes what an authentic datagram contained.
  private mutating func accept(
    _ content: UnsafeMutableRawBufferPointer, _ ticket: ReceiveTable.Ticket, _ origin: Origin,
    _ inputs: inout [TunnelInput]
  ) {
    var heard = false
    let bytes = UnsafeRawBufferPointer(content)
    let acceptance = table.accept(ticket, content: bytes, heard: &heard)
    if heard { inputs.append(.heard(ticket.session, epoch: table.epoch(of: ticket))) }
    if origin.relay == nil { watch(ticket, origin, &inputs) }
    switch acceptance {
    case .drop:
      return
    case .control:
      // What is longer is padding behind a probe.
      inputs.append(.message(ticket.session, Array(bytes.prefix(TunnelLimits.sessionMessage))))
    case .deliver(var inner, let device, let link):
      guard origin.outer == 0 || ECN.combine(content, &inner, outer: origin.outer) else {
        return table.dropDelivered(.congestion, link: link)
      }
      if coalescer.isFull { flush() }
      let isPartial = ticket.header.flags & PacketHeader.partialChecksum != 0
      SegmentSizeClamp.apply(content, inner, mtu: devices[device].mtu, isPartial: isPartial)
      let taken = coalescer.add(
        content, inner, isPartial: isPartial, device: device,
        mergesUDP: devices[device].mergesUDP, link: link)
      if !taken { table.dropDelivered(.badInnerPacket, link: link) }
    case .relayed(let link):
      var inner = origin
      inner.relay = link
      // Never a relayed packet again: that is no datagram here.
      take(UnsafeMutableRawBufferPointer(rebasing: content[RelayAddress.size...]), inner, &inputs)
    case .forward(let link):
      guard table.mayForward(ticket, bytes: bytes.count, now: origin.now) else { return }
      if !forwards.append(bytes, link: link, trafficClass: origin.outer) {
        table.dropDelivered(.queueFull, link: link)
      }
    }
  }

  /// Tells the control path where the newest packet came from, if that is new.
  private mutating func watch(
    _ ticket: ReceiveTable.Ticket, _ origin: Origin, _ inputs: inout [TunnelInput]
  ) {
    let slot = ticket.session.slot
    guard slot < sources.count, sources[slot].endpoint.length > 0 else { return }
    var source = origin.receiver.source(origin.message)
    guard starling_endpoint_equal(&source, &sources[slot].endpoint) == 0, table.isNewest(ticket),
      origin.now - sources[slot].toldAt >= Self.moveInterval,
      let place = TunnelPort.endpoint(source)
    else { return }
    sources[slot].toldAt = origin.now
    inputs.append(.moved(ticket.session, from: place))
  }

  private mutating func admitHandshake(
    _ datagram: UnsafeMutableRawBufferPointer, _ origin: Origin, _ inputs: inout [TunnelInput]
  ) {
    // For relayed ones too: the relay answers for its prefix.
    guard let source = TunnelPort.endpoint(origin.receiver.source(origin.message)) else { return }
    guard limiter.admit(source.address, now: origin.now) else { return table.count(.rateLimited) }
    inputs.append(
      .datagram(
        Array(datagram), from: origin.relay.map { .relay(link: $0) } ?? .address(source)))
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
