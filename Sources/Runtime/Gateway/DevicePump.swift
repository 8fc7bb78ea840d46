internal import Base
internal import CLinux
internal import Glibc
internal import Synchronization
internal import Tunnel

/// Reads the slices' devices, cuts super-packets, and sends what is sealed in trains: when enough is
/// there for one system call, or when a device has nothing more to say. Each of the two data threads
/// has one; the devices belong to one of them at a time.
struct DevicePump {
  private let plane: TransmitPlane
  private let thread: TransmitPlane.Thread
  private var trains: DatagramTrains
  private let buffer: UnsafeMutableRawBufferPointer
  private var version = -1
  private var devices: [TransmitPlane.Device] = []
  /// One of them is shaped.
  private var isShaping = false
  /// Turns in a row that had little to do.
  private var quietTurns = 0

  /// `nil` out of memory.
  init?(_ plane: TransmitPlane, as thread: TransmitPlane.Thread) {
    guard let trains = DatagramTrains() else { return nil }
    self.plane = plane
    self.thread = thread
    self.trains = trains
    buffer = .allocate(
      byteCount: VirtioHeader.size + GatewayLimits.largestPacket, alignment: 64)
  }

  func destroy() {
    trains.destroy()
    buffer.deallocate()
  }

  /// Makes `waits`, from `first` on, those of the devices that are this thread's now.
  mutating func refresh(_ waits: inout [pollfd], from first: Int) {
    let now = plane.version
    guard now != version else { return }
    version = now
    devices = plane.devices(of: thread)
    isShaping = devices.contains(where: \.isShaped)
    waits.removeLast(waits.count - first)
    waits += devices.map {
      pollfd(fd: $0.device.descriptor, events: Int16(POLLIN), revents: 0)
    }
  }

  /// Sleeps until something is readable, or what waits for its slice's rate may go.
  func wait(_ waits: inout [pollfd]) {
    guard isShaping, let at = plane.state.withLock({ $0.wakeAt }) else {
      _ = poll(&waits, nfds_t(waits.count), -1)
      return
    }
    // Soon enough, but not for every packet.
    let left = max((at - GatewayClock.instant).nanoseconds, GatewayLimits.leastWait)
    _ = starling_poll(&waits, waits.count, left)
  }

  /// Takes what the devices have that `poll` found readable.
  mutating func pump(_ waits: inout [pollfd], from first: Int) {
    var work = 0
    if isShaping { work += sendWaiting() }
    for index in devices.indices where waits[first + index].revents != 0 {
      work += pump(devices[index])
      // Removed behind our back: `poll` would tell of it again and again.
      if waits[first + index].revents & Int16(POLLERR | POLLNVAL) != 0 {
        waits[first + index].fd = -1
      }
    }
    if isShaping { work += sendWaiting() }
    guard work > 0 else { return }
    quietTurns = work < GatewayLimits.quietTurn ? quietTurns + 1 : 0
    switch thread {
    case .receiving where work >= GatewayLimits.flush:
      plane.giveDevices(to: .sending)
    case .sending where quietTurns >= GatewayLimits.quietTurns:
      quietTurns = 0
      plane.giveDevices(to: .receiving)
    default:
      break
    }
  }

  /// Reads what a device has, within a bound: the devices take turns. Gives how much work it was.
  private mutating func pump(_ device: TransmitPlane.Device) -> Int {
    let (number, descriptor, mtu) = (device.number, device.device.descriptor, device.mtu)
    var work = 0
    for _ in 0..<GatewayLimits.reads {
      let length = read(descriptor, buffer.baseAddress, buffer.count)
      guard length > 0 else { break }
      work += length + GatewayLimits.packetWork
      let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<length])
      if device.isShaped {
        let packet = DeviceRead(bytes: UnsafeRawBufferPointer(bytes))
        guard plane.state.withLock({ $0.admit(packet, device: number) }) else { continue }
      }
      guard let header = VirtioHeader(UnsafeRawBufferPointer(bytes)),
        let packet = OutboundPacket(
          header, UnsafeMutableRawBufferPointer(rebasing: bytes[VirtioHeader.size...]), mtu: mtu)
      else {
        plane.state.withLock { $0.table.count(.badInnerPacket) }
        continue
      }
      if device.isShaped { plane.state.withLock { $0.charge(packet, device: number) } }
      var next = 0
      while next < packet.count {
        var worn: SessionID?
        next = plane.state.withLock {
          $0.seal(packet, next..<packet.count, device: number, &trains, &worn)
        }
        if let worn { plane.tell(worn: worn) }
        // The packet did not fit whole, or there is enough for one system call.
        if next < packet.count || trains.used >= GatewayLimits.flush { flush() }
      }
    }
    flush()
    return work
  }

  /// Sends what may go of that which waits; gives how much work it was.
  private mutating func sendWaiting() -> Int {
    var work = 0
    var isMore = true
    while isMore {
      var worn: SessionID?
      isMore = plane.state.withLock { $0.sealWaiting(devices, &trains, &worn) }
      if let worn { plane.tell(worn: worn) }
      work += trains.used
      flush()
    }
    return work
  }

  private mutating func flush() {
    plane.flush(&trains)
  }
}
