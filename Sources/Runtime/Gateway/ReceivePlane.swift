internal import Base
internal import CLinux
internal import Glibc
internal import Synchronization
internal import Tunnel

/// UDP to TUN: one thread that opens what `ReceiveTable` admits and writes it to the slice's device.
///
/// The lock is taken once a batch; the control path takes it for moments, to install or free keys.
final class ReceivePlane: Sendable {
  struct State {
    var table = ReceiveTable()
    var limiter: SourceLimiter
    /// Beside the table, by its cipher index.
    var ciphers: [PacketCipher?] = []
    /// Descriptors by device number; −1 where there is none.
    var devices = [Int32](repeating: -1, count: GatewayLimits.devices)
  }

  let state: Mutex<State>
  private let port: TunnelPort
  private let inbox: ControlInbox
  private let stop: WakeEvent

  init(port: TunnelPort, inbox: ControlInbox, stop: WakeEvent, seed: UInt64) {
    self.port = port
    self.inbox = inbox
    self.stop = stop
    state = Mutex(State(limiter: SourceLimiter(key: seed)))
  }

  deinit {
    state.withLock { state in
      for cipher in state.ciphers { cipher?.free() }
    }
  }

  /// The thread's life: until `stop` is signalled.
  func run() {
    guard let batch = DatagramBatch() else { return }
    defer { batch.destroy() }
    var inputs: [TunnelInput] = []
    var waits = [
      pollfd(fd: port.descriptor, events: Int16(POLLIN), revents: 0),
      pollfd(fd: stop.descriptor, events: Int16(POLLIN), revents: 0),
    ]
    while true {
      let count = batch.receive(port)
      if count > 0 {
        state.withLock { state in
          for index in 0..<count {
            state.process(batch, index, now: Instant(nanoseconds: starling_monotonic()), &inputs)
          }
        }
        deliver(&inputs)
      }
      // A full batch: more may be there. Anything else: wait, and see whether to stop.
      if count == GatewayLimits.batch, !stop.isSignalled { continue }
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

extension ReceivePlane.State {
  /// One datagram, in place.
  fileprivate mutating func process(
    _ batch: DatagramBatch, _ index: Int, now: Instant, _ inputs: inout [TunnelInput]
  ) {
    guard let bytes = batch.bytes(index) else { return }
    let count = batch.count(index)
    let packet = UnsafeRawBufferPointer(start: bytes, count: count)
    switch table.admit(packet) {
    case .drop:
      return
    case .handshake:
      guard let source = TunnelPort.endpoint(batch.source(index)) else { return }
      guard limiter.admit(source.address, now: now) else { return table.count(.rateLimited) }
      inputs.append(.datagram(Array(packet), from: source))
    case .open(let ticket):
      guard let cipher = ciphers[ticket.cipher] else { return }
      let length = count - PacketHeader.overhead
      guard cipher.open(bytes, length: length, counter: ticket.header.counter) else {
        return table.reject(ticket)
      }
      let content = UnsafeRawBufferPointer(start: bytes + PacketHeader.size, count: length)
      var heard = false
      let acceptance = table.accept(ticket, content: content, heard: &heard)
      if heard { inputs.append(.heard(ticket.session, epoch: table.epoch(of: ticket))) }
      switch acceptance {
      case .drop:
        return
      case .control:
        guard length <= TunnelLimits.sessionMessage else { return table.count(.malformed) }
        inputs.append(.message(ticket.session, Array(content)))
      case .deliver(let device):
        guard write(devices[device], content.baseAddress, length) == length else {
          return table.deviceFailed(ticket)
        }
      }
    }
  }

  /// Puts ciphers at a range of indices, or frees what is there.
  mutating func install(_ keys: [LaneKey], at first: Int) {
    while ciphers.count < table.cipherCapacity { ciphers.append(nil) }
    for (lane, key) in keys.enumerated() {
      ciphers[first + lane]?.free()
      ciphers[first + lane] = PacketCipher(key, encrypts: false)
    }
  }

  mutating func free(_ indices: Range<Int>) {
    for index in indices where index < ciphers.count {
      ciphers[index]?.free()
      ciphers[index] = nil
    }
  }
}
