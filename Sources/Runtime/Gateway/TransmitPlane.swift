internal import Base
internal import CLinux
internal import Glibc
internal import Synchronization
internal import Tunnel

/// TUN to UDP: one thread that reads the slices' devices, seals what `TransmitTable` routes, and
/// sends it in batches: a batch goes when it is full or when the device has nothing more to say.
final class TransmitPlane: Sendable {
  /// This thread's lane: no other thread seals data under its keys.
  static let lane = 0

  struct State {
    var table = TransmitTable()
    /// Beside the table, by its cipher index.
    var ciphers: [PacketCipher?] = []
    /// Where a session's packets go, by its slot.
    var targets: [starling_endpoint] = []
  }

  struct Device: Sendable {
    var number: Int
    var device: TunnelDevice
  }

  let state = Mutex(State())
  private let devices = Mutex<[Device]>([])
  private let port: TunnelPort
  private let inbox: ControlInbox
  private let stop: WakeEvent
  private let changed: WakeEvent

  init(port: TunnelPort, inbox: ControlInbox, stop: WakeEvent) throws(GatewayError) {
    self.port = port
    self.inbox = inbox
    self.stop = stop
    changed = try WakeEvent()
  }

  deinit {
    state.withLock { state in
      for cipher in state.ciphers { cipher?.free() }
    }
  }

  /// Reads these devices from now on; the thread lets go of the others.
  func setDevices(_ devices: [Device]) {
    self.devices.withLock { $0 = devices }
    changed.signal()
  }

  /// The thread's life: until `stop` is signalled.
  func run() {
    guard let batch = DatagramBatch() else { return }
    defer { batch.destroy() }
    var sessions = [SessionID](repeating: SessionID(index: 0), count: GatewayLimits.batch)
    var current: [Device] = []
    var waits: [pollfd] = []
    while !stop.isSignalled {
      if waits.isEmpty || changed.isSignalled {
        changed.drain()
        current = devices.withLock { $0 }
        let descriptors = [stop.descriptor, changed.descriptor] + current.map(\.device.descriptor)
        waits = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      }
      _ = poll(&waits, nfds_t(waits.count), -1)
      for index in current.indices where waits[index + 2].revents != 0 {
        pump(current[index], batch, &sessions)
      }
    }
  }

  /// Reads one batch of a device, at most: the devices take turns.
  private func pump(_ device: Device, _ batch: DatagramBatch, _ sessions: inout [SessionID]) {
    var count = 0
    for _ in 0..<GatewayLimits.batch {
      guard let bytes = batch.bytes(count) else { break }
      let room = GatewayLimits.buffer - PacketHeader.overhead
      let length = read(device.device.descriptor, bytes + PacketHeader.size, room)
      guard length > 0 else { break }
      let index = count
      let ticket = state.withLock { $0.seal(batch, index, length, device: device.number) }
      guard let ticket else { continue }
      if ticket.wantsRekey { _ = inbox.push([.worn(ticket.session)]) }
      sessions[count] = ticket.session
      count += 1
    }
    if count > 0 { send(batch, count, sessions) }
  }

  private func send(_ batch: DatagramBatch, _ count: Int, _ sessions: [SessionID]) {
    var first = 0
    while first < count {
      let sent = batch.send(port, first: first, count: count - first)
      if sent > 0 {
        first += Int(sent)
      } else if sent == -EAGAIN, waitForRoom() {
        continue
      } else if sent == -EINTR {
        continue
      } else {
        // This one cannot be sent; those behind it may go elsewhere.
        let session = sessions[first]
        state.withLock { $0.table.sendFailed(session, tooBig: sent == -EMSGSIZE) }
        first += 1
      }
    }
  }

  /// The socket's buffer is full: the senders behind the TUN device are to wait, not to lose.
  private func waitForRoom() -> Bool {
    var wait = pollfd(fd: port.descriptor, events: Int16(POLLOUT), revents: 0)
    return poll(&wait, 1, 100) > 0
  }
}

extension TransmitPlane.State {
  /// Seals one inner packet in place behind its header; `nil` where it goes no further.
  fileprivate mutating func seal(
    _ batch: DatagramBatch, _ index: Int, _ length: Int, device: Int
  ) -> TransmitTable.Ticket? {
    guard let bytes = batch.bytes(index) else { return nil }
    let inner = UnsafeRawBufferPointer(start: bytes + PacketHeader.size, count: length)
    guard
      case .seal(let ticket) = table.admit(inner, device: device, lane: TransmitPlane.lane),
      let cipher = ciphers[ticket.cipher]
    else { return nil }
    ticket.header.write(
      to: UnsafeMutableRawBufferPointer(start: bytes, count: PacketHeader.size))
    guard cipher.seal(bytes, length: length, counter: ticket.header.counter) else { return nil }
    batch.set(
      index, count: length + PacketHeader.overhead, to: &targets[ticket.session.slot])
    return ticket
  }

  /// Seals a session message; `nil` where its session cannot send.
  mutating func seal(
    _ message: [UInt8], _ id: SessionID
  ) -> (datagram: [UInt8], to: starling_endpoint)? {
    guard case .seal(let ticket) = table.admitControl(id, count: message.count),
      let cipher = ciphers[ticket.cipher]
    else { return nil }
    var packet = [UInt8](repeating: 0, count: PacketHeader.size)
    packet.withUnsafeMutableBytes { ticket.header.write(to: $0) }
    packet += message
    packet += [UInt8](repeating: 0, count: PacketHeader.tagSize)
    let sealed = packet.withUnsafeMutableBufferPointer { buffer in
      buffer.baseAddress.map {
        cipher.seal($0, length: message.count, counter: ticket.header.counter)
      }
    }
    return sealed == true ? (packet, targets[id.slot]) : nil
  }

  mutating func setTarget(_ target: starling_endpoint, _ id: SessionID) {
    while targets.count <= id.slot { targets.append(starling_endpoint()) }
    targets[id.slot] = target
  }

  mutating func install(_ keys: [LaneKey], at first: Int) {
    while ciphers.count < table.cipherCapacity { ciphers.append(nil) }
    for (lane, key) in keys.enumerated() {
      ciphers[first + lane]?.free()
      ciphers[first + lane] = PacketCipher(key, encrypts: true)
    }
  }

  mutating func free(_ indices: Range<Int>) {
    for index in indices where index < ciphers.count {
      ciphers[index]?.free()
      ciphers[index] = nil
    }
  }
}
