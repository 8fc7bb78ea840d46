internal import Base
internal import CLinux
internal import Glibc
internal import Synchronization
internal import Tunnel

/// What the control lock guards: the core, the slices, and events that wait to be told.
struct GatewayState {
  var control: TunnelControl
  private let port: TunnelPort
  private let receive: ReceivePlane
  private let transmit: TransmitPlane
  private(set) var slices: ServedSlices
  private var services = ServiceRows()
  /// By the number that the planes know them by.
  private var links: [Int: LinkID] = [:]
  private(set) var events: [GatewayEvent] = []
  /// Handshake datagrams that the core refused.
  private(set) var refused = TrafficCounters()
  /// The local address that datagrams to an endpoint leave from.
  private(set) var sources: [IPEndpoint: IPAddress] = [:]
  /// Addresses that handshakes cannot be sent to, and why.
  private var unreachable: [IPEndpoint: String] = [:]

  init(
    control: TunnelControl, port: TunnelPort, receive: ReceivePlane, transmit: TransmitPlane
  ) {
    self.control = control
    self.port = port
    self.receive = receive
    self.transmit = transmit
    slices = ServedSlices(receive: receive, transmit: transmit)
  }

  /// Makes the devices of these slices, and lets go of the others.
  mutating func setSlices(_ configs: [TunnelSliceConfig], linkKbps: Int = 0) {
    slices.set(configs, linkKbps: linkKbps, events: &events)
  }

  /// Looks after devices that others of this machine may have changed.
  mutating func tendDevices() {
    slices.tend()
  }

  /// Gives one input to the core and does what it says.
  mutating func handle(_ input: TunnelInput) {
    var effects: [TunnelEffect] = []
    control.handle(input, now: GatewayClock.now, effects: &effects)
    for effect in effects { perform(effect) }
  }

  mutating func takeEvents() -> [GatewayEvent] {
    defer { events = [] }
    return events
  }

  /// Counts the traffic of these services from now on; those that stay keep their figures.
  mutating func setServices(_ configs: [TunnelServiceConfig], cluster: String) {
    let update = services.update(
      configs, links: links, devices: slices.numbers, cluster: cluster)
    guard let (table, origin) = update else { return }
    receive.state.withLock { $0.table.setServices(table, origin: origin) }
    transmit.state.withLock { $0.table.setServices(table, origin: origin) }
  }

  var serviceTraffic: [ServiceTraffic] {
    services.traffic(
      sent: transmit.state.withLock { $0.table.serviceCounts },
      received: receive.state.withLock { $0.table.serviceCounts })
  }

  /// Whether the far side sees this gateway elsewhere than it is; `nil` where that is not known.
  func isTranslated(_ link: LinkStatus) -> Bool? {
    guard let observed = link.observed, let endpoint = link.endpoint,
      let source = sources[endpoint]
    else { return nil }
    return observed != IPEndpoint(source, port: port.local.port)
  }

  // MARK: Effects

  private mutating func perform(_ effect: TunnelEffect) {
    switch effect {
    case .send(let bytes, .address(let endpoint)):
      note(sending: bytes.count, to: endpoint, port.send(bytes, to: endpoint))
    case .send(let bytes, .relay(let link, let addressee)):
      send { $0.relay(addressee.wrap(bytes), link) }
    case .sendMessage(let id, let bytes):
      send { $0.seal(bytes, id) }
    case .challenge(let id, let bytes, let place):
      let target = port.raw(place)
      send { state in state.seal(bytes, id).map { ($0.datagram, target) } }
    case .retarget(let id, let target):
      setTarget(target, id)
    case .relays(let entries):
      receive.state.withLock { $0.table.setRelays(entries) }
    case .active(let link, let id):
      transmit.state.withLock { $0.table.setActive(link, id) }
    case .tags(let tags):
      receive.state.withLock { $0.table.setTags(tags) }
    case .openLink(let link, let id):
      links[link] = id
      receive.state.withLock { $0.table.openLink(link) }
      transmit.state.withLock { $0.table.openLink(link) }
    case .open(let opening):
      open(opening)
    case .close(let id):
      receive.state.withLock { $0.ciphers.free($0.table.close(id)) }
      transmit.state.withLock { $0.ciphers.free($0.table.close(id)) }
    case .setBlocks(let id, let local, let remote):
      receive.state.withLock { $0.table.setBlocks(id, local: local, remote: remote) }
    case .installReceive(let id, let epoch, let keys):
      receive.state.withLock { state in
        guard let first = state.table.install(id, epoch: epoch) else { return }
        state.ciphers.install(keys, at: first, capacity: state.table.cipherCapacity)
      }
    case .installSend(let id, let epoch, let keys):
      transmit.state.withLock { state in
        guard let (first, obsolete) = state.table.install(id, epoch: epoch) else { return }
        state.ciphers.free(obsolete)
        state.ciphers.install(keys, at: first, capacity: state.table.cipherCapacity)
      }
    case .removeReceive(let id, let epoch):
      receive.state.withLock { $0.ciphers.free($0.table.remove(id, epoch: epoch)) }
    case .halt(let id):
      transmit.state.withLock { $0.table.halt(id) }
    case .routes(let slice, let routes):
      guard let number = slices.numbers[slice] else { return }
      transmit.state.withLock { $0.table.setRoutes(routes, device: number) }
    case .mtu(let slice, let mtu):
      slices.setMTU(mtu, slice, events: &events)
    case .event(let event):
      note(event)
    }
  }

  private mutating func open(_ opening: SessionOpening) {
    let device = slices.numbers[opening.slice] ?? 0
    receive.state.withLock { $0.table.open(opening, device: device) }
    transmit.state.withLock { $0.table.open(opening) }
    setTarget(opening.target, opening.id)
  }

  private mutating func setTarget(_ target: TunnelTarget, _ id: SessionID) {
    var raw = starling_endpoint()
    if case .address(let endpoint) = target {
      raw = port.raw(endpoint)
      if sources.count >= TunnelLimits.sessions { sources = [:] }
      sources[endpoint] = port.source(to: endpoint)
    }
    receive.state.withLock { $0.setSource(raw, id) }
    transmit.state.withLock {
      $0.table.retarget(id, target)
      $0.setTarget(raw, id)
    }
  }

  /// Says once why an address cannot be sent to, and forgets it when it can.
  private mutating func note(sending bytes: Int, to endpoint: IPEndpoint, _ code: Int32) {
    guard code != 0 else {
      unreachable[endpoint] = nil
      return
    }
    let reason =
      code == EMSGSIZE
      ? "the network to \(endpoint) does not carry datagrams of \(bytes) bytes: its MTU is too small"
      : "cannot send to \(endpoint): \(GatewayError.text(code))"
    guard unreachable[endpoint] != reason else { return }
    if unreachable.count >= TunnelLimits.links { unreachable = [:] }
    unreachable[endpoint] = reason
    events.append(.unreachable(endpoint: endpoint, reason: reason))
  }

  /// Sends what the plane seals, where it can.
  private func send(
    _ seal: (inout TransmitState) -> (datagram: [UInt8], to: starling_endpoint)?
  ) {
    guard let (datagram, target) = transmit.state.withLock({ seal(&$0) }) else { return }
    port.send(datagram, to: target)
  }

  private mutating func note(_ event: TunnelEvent) {
    switch event {
    case .reachability(let slice, let cluster, let reachable):
      events.append(.reachability(slice: slice, cluster: cluster, reachable: reachable))
      slices.note(slice, cluster, isReachable: reachable)
    case .established(let link):
      slices.noteSession(link.slice)
      events.append(
        .established(slice: link.slice, cluster: link.cluster, replica: link.replica))
    case .handshakeFailed(let link, let reason):
      events.append(
        .handshakeFailed(
          slice: link.slice, cluster: link.cluster, replica: link.replica, reason: reason))
    case .refusedDatagram(let reason):
      refused.drop(reason)
    case .roamed(let link, let endpoint):
      events.append(
        .roamed(
          slice: link.slice, cluster: link.cluster, replica: link.replica, endpoint: endpoint))
    case .rekeyed:
      break
    }
  }
}

extension TunnelPeerConfig {
  var link: LinkID {
    LinkID(slice: slice, cluster: cluster, replica: replica)
  }
}
