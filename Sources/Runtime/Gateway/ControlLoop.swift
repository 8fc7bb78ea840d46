internal import Base
internal import Glibc
internal import Synchronization
internal import Tunnel

/// The control thread: inputs of the data threads, timers, and events for the owner.
final class ControlLoop: Sendable {
  private let state: SharedGatewayState
  private let inbox: ControlInbox
  private let stop: WakeEvent
  private let onEvent: @Sendable (GatewayEvent) -> Void

  init(
    state: SharedGatewayState, inbox: ControlInbox, stop: WakeEvent,
    onEvent: @escaping @Sendable (GatewayEvent) -> Void
  ) {
    self.state = state
    self.inbox = inbox
    self.stop = stop
    self.onEvent = onEvent
  }

  /// The thread's life: until `stop` is signalled.
  func run() {
    var wait = pollfd(fd: inbox.event.descriptor, events: Int16(POLLIN), revents: 0)
    while true {
      let inputs = inbox.take()
      let (events, deadline) = state.lock.withLock { state in
        if !stop.isSignalled {
          for input in inputs { state.handle(input) }
          if state.control.nextDeadline(GatewayClock.now.instant) <= GatewayClock.now.instant {
            state.handle(.tick)
          }
        }
        return (state.takeEvents(), state.control.nextDeadline(GatewayClock.now.instant))
      }
      for event in events { onEvent(event) }
      if stop.isSignalled { return }
      // A timer a millisecond late is none too late; one early would only wake again.
      let left = (deadline - GatewayClock.now.instant).nanoseconds
      _ = poll(&wait, 1, Int32(clamping: min(max(0, (left + 999_999) / 1_000_000), 60_000)))
    }
  }
}

/// The control lock and what it guards, shared by the gateway and its control thread.
final class SharedGatewayState: Sendable {
  let lock: Mutex<GatewayState>

  init(_ state: sending GatewayState) {
    lock = Mutex(state)
  }
}
