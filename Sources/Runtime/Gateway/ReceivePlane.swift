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
  private let transmit: TransmitPlane

  init(
    port: TunnelPort, inbox: ControlInbox, stop: WakeEvent, transmit: TransmitPlane, seed: UInt64
  ) {
    self.port = port
    self.inbox = inbox
    self.stop = stop
    self.transmit = transmit
    state = Mutex(ReceiveState(seed: seed))
  }

  deinit {
    state.withLock { $0.ciphers.freeAll() }
  }

  /// The thread's life: until `stop` is signalled.
  func run() {
    guard let receiver = DatagramReceiver() else { return }
    defer { receiver.destroy() }
    guard var pump = DevicePump(transmit, as: .receiving) else { return }
    defer { pump.destroy() }
    guard var forwarder = PacketForwarder(transmit) else { return }
    let wake = transmit.wake(of: .receiving)
    var inputs: [TunnelInput] = []
    var waits = [port.descriptor, stop.descriptor, wake.descriptor].map {
      pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
    }
    let fixed = waits.count
    // Joined datagrams are many already: fewer messages stay in the cache.
    var messages = GatewayLimits.messages
    while !stop.isSignalled {
      pump.refresh(&waits, from: fixed)
      pump.wait(&waits)
      // First the event, then what it is about: what comes in between signals again.
      if waits[2].revents != 0 { wake.drain() }
      pump.pump(&waits, from: fixed)
      guard waits[0].revents != 0 else { continue }
      let count = receiver.receive(port, atMost: messages)
      guard count > 0 else { continue }
      let joined = state.withLock { state in
        let joined = state.process(receiver, count, &inputs)
        state.exchangeForwards(&forwarder.batch)
        return joined
      }
      forwarder.send()
      messages = joined ? GatewayLimits.joinedMessages : GatewayLimits.messages
      deliver(&inputs)
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
