internal import Base
internal import CLinux
internal import Glibc
internal import Synchronization
internal import Tunnel

/// UDP to TUN: one thread that opens what `ReceiveTable` admits, merges segments, and writes them to
/// the slice's device as soon as the socket's messages are done.
///
/// The lock is taken once a batch; the control path takes it for moments, to install or free keys.
final class ReceivePlane: Sendable {
  let state: Mutex<ReceiveState>
  private let port: TunnelPort
  private let inbox: ControlInbox
  private let stop: WakeEvent

  init(port: TunnelPort, inbox: ControlInbox, stop: WakeEvent, seed: UInt64) {
    self.port = port
    self.inbox = inbox
    self.stop = stop
    state = Mutex(ReceiveState(seed: seed))
  }

  deinit {
    state.withLock { $0.ciphers.freeAll() }
  }

  /// The thread's life: until `stop` is signalled.
  func run() {
    guard let receiver = DatagramReceiver() else { return }
    defer { receiver.destroy() }
    var inputs: [TunnelInput] = []
    var waits = [
      pollfd(fd: port.descriptor, events: Int16(POLLIN), revents: 0),
      pollfd(fd: stop.descriptor, events: Int16(POLLIN), revents: 0),
    ]
    var asked = GatewayLimits.messages
    while true {
      let count = receiver.receive(port, atMost: asked)
      var joined = false
      if count > 0 {
        joined = state.withLock { $0.process(receiver, count, &inputs) }
        deliver(&inputs)
      }
      // A full batch: more may be there. Anything else: wait, and see whether to stop.
      let isFull = count == asked
      // Joined datagrams are many already: fewer messages stay in the cache.
      asked = joined ? GatewayLimits.joinedMessages : GatewayLimits.messages
      if isFull, !stop.isSignalled { continue }
      _ = poll(&waits, nfds_t(waits.count), -1)
      if waits[1].revents != 0 { return }
    }
  }

  private func deliver(_ inputs: inout [TunnelInput]) {
    guard !inputs.isEmpty else { return }
    let dropped = inbox.push(inputs)
    inputs.removeAll(keepingCapacity: true)
    guard dropped > 0 else { return }
    state.withLock { state in
      for _ in 0..<dropped { state.table.count(.queueFull) }
    }
  }
}
