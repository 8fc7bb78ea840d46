internal import Base
internal import CLinux
internal import Glibc
internal import Synchronization
internal import Tunnel

/// TUN to UDP. While little is sent the receiving thread does it along the way: it is awake already
/// when an answer comes back through the device, so that nobody else has to be woken. Under load the
/// devices belong to the sending thread, one thread per direction.
final class TransmitPlane: Sendable {
  enum Thread: Int, Sendable {
    case receiving, sending
  }

  struct Device: Sendable {
    var number: Int
    var mtu: Int
    var device: TunnelDevice
    /// Its packets may have to wait.
    var isShaped: Bool
  }

  private struct Devices {
    var list: [Device] = []
    var owner = Thread.receiving
  }

  let state: Mutex<TransmitState>
  let port: TunnelPort
  private let devices = Mutex(Devices())
  /// Changes with the list and its owner.
  private let changes = Atomic<Int>(0)
  private let inbox: ControlInbox
  private let stop: WakeEvent
  private let wakes: [WakeEvent]

  init(port: TunnelPort, inbox: ControlInbox, stop: WakeEvent) throws(GatewayError) {
    self.port = port
    state = Mutex(TransmitState(isV6: port.local.address.family == .v6))
    self.inbox = inbox
    self.stop = stop
    wakes = [try WakeEvent(), try WakeEvent()]
  }

  deinit {
    state.withLock { $0.ciphers.freeAll() }
  }

  /// Reads these devices from now on; the threads let go of the others.
  func setDevices(_ list: [Device]) {
    devices.withLock { $0.list = list }
    changes.add(1, ordering: .acquiringAndReleasing)
    for wake in wakes { wake.signal() }
  }

  /// The owner's decision, after all that it read is sent: packets keep their order.
  func giveDevices(to thread: Thread) {
    devices.withLock { $0.owner = thread }
    changes.add(1, ordering: .acquiringAndReleasing)
    wake(of: thread).signal()
  }

  var version: Int { changes.load(ordering: .acquiring) }

  func devices(of thread: Thread) -> [Device] {
    devices.withLock { $0.owner == thread ? $0.list : [] }
  }

  func wake(of thread: Thread) -> WakeEvent { wakes[thread.rawValue] }

  func tell(worn session: SessionID) {
    _ = inbox.push([.worn(session)])
  }

  func fail(_ session: SessionID, _ packets: Int, _ code: Int32) {
    state.withLock {
      $0.table.sendFailed(session, tooBig: code == EMSGSIZE, packets: packets)
    }
  }

  /// The sending thread's life: until `stop` is signalled.
  func run() {
    guard var pump = DevicePump(self, as: .sending) else { return }
    defer { pump.destroy() }
    let wake = wake(of: .sending)
    var waits = [stop, wake].map {
      pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0)
    }
    let fixed = waits.count
    while !stop.isSignalled {
      pump.refresh(&waits, from: fixed)
      pump.wait(&waits)
      // First the event, then what it is about: what comes in between signals again.
      if waits[1].revents != 0 { wake.drain() }
      pump.pump(&waits, from: fixed)
    }
  }
}
