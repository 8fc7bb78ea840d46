internal import Base
internal import CLinux
internal import Glibc
internal import Synchronization
internal import Tunnel

/// TUN to UDP: one thread that reads the slices' devices, cuts super-packets, seals what
/// `TransmitTable` routes, and sends it in trains: when enough is there for one system call, or when
/// the device has nothing more to say.
final class TransmitPlane: Sendable {
  let state = Mutex(TransmitState())
  private let devices = Mutex<[Device]>([])
  private let port: TunnelPort
  private let inbox: ControlInbox
  private let stop: WakeEvent
  private let changed: WakeEvent

  struct Device: Sendable {
    var number: Int
    var device: TunnelDevice
  }

  init(port: TunnelPort, inbox: ControlInbox, stop: WakeEvent) throws(GatewayError) {
    self.port = port
    self.inbox = inbox
    self.stop = stop
    changed = try WakeEvent()
  }

  deinit {
    state.withLock { $0.ciphers.freeAll() }
  }

  /// Reads these devices from now on; the thread lets go of the others.
  func setDevices(_ devices: [Device]) {
    self.devices.withLock { $0 = devices }
    changed.signal()
  }

  /// The thread's life: until `stop` is signalled.
  func run() {
    guard var trains = DatagramTrains() else { return }
    defer { trains.destroy() }
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: VirtioHeader.size + GatewayLimits.largestPacket, alignment: 64)
    defer { buffer.deallocate() }
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
        pump(current[index].device.descriptor, current[index].number, buffer, &trains)
      }
    }
  }

  /// Reads what a device has, within a bound: the devices take turns.
  private func pump(
    _ descriptor: Int32, _ device: Int, _ buffer: UnsafeMutableRawBufferPointer,
    _ trains: inout DatagramTrains
  ) {
    for _ in 0..<GatewayLimits.reads {
      let length = read(descriptor, buffer.baseAddress, buffer.count)
      guard length > 0 else { break }
      let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<length])
      guard let header = VirtioHeader(UnsafeRawBufferPointer(bytes)),
        let packet = OutboundPacket(
          header, UnsafeMutableRawBufferPointer(rebasing: bytes[VirtioHeader.size...]))
      else {
        state.withLock { $0.table.count(.badInnerPacket) }
        continue
      }
      var next = 0
      while next < packet.count {
        var worn: SessionID?
        next = state.withLock { $0.seal(packet, from: next, device: device, &trains, &worn) }
        if let worn { _ = inbox.push([.worn(worn)]) }
        // The packet did not fit whole, or there is enough for one system call.
        if next < packet.count || trains.used >= GatewayLimits.flush { flush(&trains) }
      }
    }
    flush(&trains)
  }

  private func flush(_ trains: inout DatagramTrains) {
    var first = 0
    while first < trains.count {
      guard trains[first].isWhole else {
        sendSingly(trains, first)
        first += 1
        continue
      }
      let count = trains.layOutWholes(from: first)
      trains.wholes.send(port, count: count) { index, code in
        giveUp(trains, first + index, code)
      }
      first += count
    }
    trains.removeAll()
  }

  /// Where the path cannot cut datagrams (no checksum offload, IPsec, ...) they go one by one from
  /// now on; anything else is a loss.
  private func giveUp(_ trains: DatagramTrains, _ index: Int, _ code: Int32) {
    let train = trains[index]
    guard train.datagrams > 1, code == EIO || code == EINVAL || code == EMSGSIZE else {
      return fail(train.session, train.datagrams, code)
    }
    // Too big is too big either way, and says nothing of cutting.
    if sendSingly(trains, index) < train.datagrams {
      state.withLock { $0.sendSingly(train.session) }
    }
  }

  /// Gives how many were refused.
  @discardableResult
  private func sendSingly(_ trains: DatagramTrains, _ index: Int) -> Int {
    var refusals = 0
    let session = trains[index].session
    trains.singles.send(port, count: trains.layOutSingles(index)) { _, code in
      fail(session, 1, code)
      refusals += 1
    }
    return refusals
  }

  private func fail(_ session: SessionID, _ packets: Int, _ code: Int32) {
    state.withLock {
      $0.table.sendFailed(session, tooBig: code == EMSGSIZE, packets: packets)
    }
  }
}
