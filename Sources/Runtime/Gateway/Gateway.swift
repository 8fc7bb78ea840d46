internal import Base
internal import CLinux
internal import Synchronization
internal import Tunnel

/// The gateway of one cluster: one UDP port, a TUN device a slice, a session per slice and remote
/// gateway. The `Tunnel` core decides everything that is not I/O; this type does what it says.
///
/// Three threads: UDP to TUN, TUN to UDP, and control (handshakes, probes, rekeys). Calls from
/// outside may come from any thread; they take the control lock for moments.
public final class Gateway: Sendable {
  private let configuration: GatewayConfiguration
  private let port: TunnelPort
  private let receive: ReceivePlane
  private let transmit: TransmitPlane
  private let inbox: ControlInbox
  private let stopEvent: WakeEvent
  private let trust: TrustBook
  private let state: SharedGatewayState
  private let threads = Mutex<[GatewayThread]>([])

  /// Opens the UDP port and starts the threads, in the network namespace of the calling thread.
  public init(_ configuration: GatewayConfiguration) throws(GatewayError) {
    guard TunnelOpenSSL.publicKey(of: configuration.staticKey) != nil else {
      throw .refused("the gateway's static key is no X25519 private key of 32 bytes")
    }
    self.configuration = configuration
    port = try TunnelPort(configuration.listen)
    inbox = try ControlInbox()
    stopEvent = try WakeEvent()
    transmit = try TransmitPlane(port: port, inbox: inbox, stop: stopEvent)
    receive = ReceivePlane(
      port: port, inbox: inbox, stop: stopEvent, transmit: transmit, seed: Self.seed())
    let trust = TrustBook()
    self.trust = trust
    let control = TunnelControl(
      name: GatewayName(cluster: configuration.cluster, replica: configuration.replica),
      staticKey: configuration.staticKey, timing: TunnelTiming(), crypto: TunnelOpenSSL.crypto,
      provider: TLSProvider { role, link in trust.engine(role, link) }, seed: Self.seed())
    state = SharedGatewayState(
      GatewayState(control: control, port: port, receive: receive, transmit: transmit))
    try startThreads()
  }

  deinit {
    stop()
  }

  /// The X25519 public key of a private one, for `slice/<s>/gateway/<c>`; `nil` unless 32 bytes.
  public static func publicKey(of staticKey: [UInt8]) -> [UInt8]? {
    TunnelOpenSSL.publicKey(of: staticKey)
  }

  /// A new static key for the data directory.
  public static func makeStaticKey() -> [UInt8] {
    TunnelOpenSSL.random(TunnelOpenSSL.keySize)
  }

  // MARK: What the owner asks

  /// Makes devices and sessions what the plan says. TUN devices are made in the network namespace
  /// of the calling thread. Idempotent: what failed is tried again; a changed identity is a
  /// rotation; what is missing ends at once.
  ///
  /// - Returns: by slice, why it cannot be served.
  @discardableResult
  public func apply(_ plan: GatewayPlan) -> [String: String] {
    let failures = state.lock.withLock { state -> [String: String] in
      guard !stopEvent.isSignalled else { return [:] }
      let rotated = trust.update(plan)
      state.setSlices(plan.slices, linkKbps: plan.linkKbps)
      receive.state.withLock { $0.table.setRelayLimit(kilobits: plan.relayKbps) }
      state.handle(.configure(state.slices.links(of: plan)))
      state.setServices(plan.services, cluster: configuration.cluster)
      for slice in rotated { state.handle(.renew(slice: slice)) }
      return state.slices.failures
    }
    inbox.event.signal()
    return failures
  }

  /// Takes a new leaf for a slice: a full handshake beside each live session, then the switch.
  public func rotate(slice: String, identity: TunnelIdentity) {
    state.lock.withLock { state in
      guard trust.rotate(slice, identity) else { return }
      state.handle(.renew(slice: slice))
    }
    inbox.event.signal()
  }

  /// Starts an epoch rekey on every session now.
  public func rekey() {
    state.lock.withLock { $0.handle(.rekey) }
    inbox.event.signal()
  }

  /// Where everything stands. Cheap enough to be asked every second.
  public func status() -> GatewayStatus {
    state.lock.withLock { state in
      let links = state.control.status(GatewayClock.now.instant)
      let (received, strayIn) = receive.state.withLock { ($0.table.links, $0.table.strays) }
      let (sent, strayOut) = transmit.state.withLock { ($0.table.links, $0.table.strays) }
      let tunnels = links.map { link in
        TunnelStatus(
          link, received: received[link.link], sent: sent[link.link],
          localExpiry: trust.localExpiry(link.id.slice),
          isTranslated: state.isTranslated(link))
      }
      return GatewayStatus(
        replica: configuration.replica, listen: port.local, tunnels: tunnels,
        drops: DropCount.list([strayIn, strayOut, state.refused]), queues: state.slices.queues,
        services: state.serviceTraffic)
    }
  }

  /// Looks after what others of this machine may have changed; called about once a second.
  public func look() {
    state.lock.withLock { $0.tendDevices() }
  }

  /// Says goodbye on every session, removes the devices, joins the threads. The port is free after.
  public func stop() {
    let running = threads.withLock { threads in
      defer { threads = [] }
      return threads
    }
    guard !running.isEmpty else { return }
    state.lock.withLock { state in
      state.handle(.stop)
      stopEvent.signal()
    }
    inbox.event.signal()
    for thread in running { thread.join() }
    state.lock.withLock { $0.setSlices([]) }
  }

  // MARK: Threads

  private static func seed() -> UInt64 {
    TunnelOpenSSL.random(8).reduce(0) { $0 << 8 | UInt64($1) }
  }

  private func startThreads() throws(GatewayError) {
    // None of them holds the gateway itself, so that letting go of it stops them.
    let loop = ControlLoop(
      state: state, inbox: inbox, stop: stopEvent, onEvent: configuration.onEvent)
    var started: [GatewayThread] = []
    do throws(GatewayError) {
      started.append(try GatewayThread("tunnel-rx") { [receive] in receive.run() })
      started.append(try GatewayThread("tunnel-tx") { [transmit] in transmit.run() })
      started.append(try GatewayThread("tunnel-control") { loop.run() })
    } catch {
      stopEvent.signal()
      for thread in started { thread.join() }
      throw error
    }
    threads.withLock { $0 = started }
  }
}

/// Why a gateway could not do what was asked, as a sentence.
public enum GatewayError: Error, Hashable, Sendable, CustomStringConvertible {
  case refused(String)

  public var description: String {
    switch self {
    case .refused(let reason): reason
    }
  }
}

enum GatewayClock {
  static var instant: Instant { Instant(nanoseconds: starling_monotonic()) }

  static var now: Now {
    Now(
      instant: Instant(nanoseconds: starling_monotonic()),
      wallMilliseconds: starling_wall_milliseconds())
  }
}
