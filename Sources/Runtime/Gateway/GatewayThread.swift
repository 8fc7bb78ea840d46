internal import CLinux
internal import Glibc
internal import Synchronization
internal import Tunnel

/// Wakes threads out of `poll`. Stays signalled until it is drained.
final class WakeEvent: Sendable {
  let descriptor: Int32
  private let signalled = Atomic<Bool>(false)

  init() throws(GatewayError) {
    descriptor = starling_event_create()
    guard descriptor >= 0 else {
      throw .refused("cannot make an event descriptor: \(GatewayError.text(-descriptor))")
    }
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
  }

  var isSignalled: Bool { signalled.load(ordering: .acquiring) }

  func signal() {
    signalled.store(true, ordering: .releasing)
    starling_event_signal(descriptor)
  }

  func drain() {
    signalled.store(false, ordering: .releasing)
    starling_event_drain(descriptor)
  }
}

/// What the data threads tell the control thread. Bounded: what does not fit is dropped and counted,
/// and the far side repeats what matters.
final class ControlInbox: Sendable {
  let event: WakeEvent
  private let waiting = Mutex(Waiting())

  private struct Waiting {
    var inputs: [TunnelInput] = []
    var handshakes = 0

    mutating func admit(_ input: TunnelInput) -> Bool {
      guard inputs.count < GatewayLimits.inbox else { return false }
      if case .datagram = input {
        guard handshakes < GatewayLimits.handshakes else { return false }
        handshakes += 1
      }
      inputs.append(input)
      return true
    }
  }

  init() throws(GatewayError) {
    event = try WakeEvent()
  }

  /// Gives how many did not fit.
  func push(_ inputs: [TunnelInput]) -> Int {
    let dropped = waiting.withLock { waiting in
      inputs.count { !waiting.admit($0) }
    }
    event.signal()
    return dropped
  }

  func take() -> [TunnelInput] {
    event.drain()
    return waiting.withLock { waiting in
      defer { waiting = Waiting() }
      return waiting.inputs
    }
  }
}

/// A thread of its own: packets never wait behind someone's task.
struct GatewayThread: Sendable {
  private let handle: pthread_t

  private final class Body {
    let name: String
    let run: @Sendable () -> Void

    init(name: String, run: @escaping @Sendable () -> Void) {
      self.name = name
      self.run = run
    }
  }

  /// `name` has at most 15 bytes.
  init(_ name: String, _ run: @escaping @Sendable () -> Void) throws(GatewayError) {
    var handle = pthread_t()
    let body = Unmanaged.passRetained(Body(name: name, run: run))
    let result = pthread_create(
      &handle, nil,
      { argument in
        guard let argument else { return nil }
        let body = Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
        starling_name_thread(body.name)
        body.run()
        return nil
      }, body.toOpaque())
    guard result == 0 else {
      body.release()
      throw .refused("cannot start a thread: \(GatewayError.text(result))")
    }
    self.handle = handle
  }

  func join() {
    pthread_join(handle, nil)
  }
}
