internal import Base
internal import CLinux
internal import Glibc
internal import Synchronization
internal import Tunnel

/// What the control lock guards: the core, the devices, and events that wait to be told.
struct GatewayState {
  private struct Slice {
    var config: TunnelSliceConfig
    /// `nil` where it could not be made; then it is tried again with every plan.
    var device: TunnelDevice?
    /// The device's number in both planes.
    var number: Int
    var failure: String?
    /// What every path of the slice carries; less than what is configured, or that.
    var mtu: Int
    /// A shared device gives this gateway flows: only while there is somebody to send them to.
    var isAttached = true
    /// Clusters whose tunnels answer.
    var reached: Set<String> = []
    /// A new session has so long to be answered.
    var isHopefulUntil = Instant.zero

    var wantsFlows: Bool {
      !reached.isEmpty || GatewayClock.now.instant < isHopefulUntil
    }
  }

  private static let hope: Duration = .seconds(2)

  var control: TunnelControl
  private let port: TunnelPort
  private let receive: ReceivePlane
  private let transmit: TransmitPlane
  private var slices: [String: Slice] = [:]
  private var linkKbps = 0
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

  // MARK: Slices

  /// Makes the devices of these slices, and lets go of the others.
  mutating func setSlices(_ configs: [TunnelSliceConfig], linkKbps: Int = 0) {
    self.linkKbps = linkKbps
    let wanted = Dictionary(configs.map { ($0.slice, $0) }, uniquingKeysWith: { first, _ in first })
    for (name, slice) in slices.sorted(by: { $0.key < $1.key }) where wanted[name] == nil {
      receive.state.withLock { $0.setDevice(nil, mtu: 0, number: slice.number) }
      slices[name] = nil
    }
    // Now, so that what waits for a slice that is gone never goes to the next one with its number.
    setShaping()
    for (name, config) in wanted.sorted(by: { $0.key < $1.key }) {
      setSlice(name, config)
    }
    setShaping()
    tellTransmit()
  }

  private func tellTransmit() {
    let list = slices.values.compactMap { slice in
      slice.device.flatMap { device in
        !slice.isAttached
          ? nil
          : TransmitPlane.Device(
            number: slice.number, mtu: slice.mtu, device: device, isShaped: isShaped(slice))
      }
    }
    transmit.setDevices(list.sorted { $0.number < $1.number })
  }

  /// A slice without a rate on a link without one costs nothing.
  private func isShaped(_ slice: Slice) -> Bool {
    linkKbps > 0 || slice.config.qos.map { $0.ceilingKbps > 0 } == true
  }

  private func setShaping() {
    var plan = ShapingPlan(link: linkKbps)
    var marks: [Int: UInt8] = [:]
    for slice in slices.values {
      let qos = slice.config.qos ?? TunnelQoS()
      marks[slice.number] = qos.dscp << 2
      guard isShaped(slice) else { continue }
      plan.rules[slice.number] = ShapingRule(
        ceiling: qos.ceilingKbps, guaranteed: qos.guaranteedKbps, priority: qos.priority)
    }
    transmit.state.withLock { $0.setShaping(plan, marks: marks) }
  }

  /// The paths of a slice carry more or less than before.
  private mutating func setMTU(_ mtu: Int, _ name: String) {
    guard var slice = slices[name], let device = slice.device, slice.mtu != mtu else { return }
    slice.mtu = mtu
    slices[name] = slice
    do throws(GatewayError) {
      try device.configure(slice.config, mtu: mtu)
    } catch {
      events.append(.sliceFailed(slice: name, reason: error.description))
    }
    receive.state.withLock { $0.setDevice(device, mtu: mtu, number: slice.number) }
    tellTransmit()
  }

  /// Looks after shared devices: another gateway of this machine may have paths that carry more (the
  /// narrowest counts), and a new session may not have become one that answers.
  mutating func tendDevices() {
    for (name, slice) in slices where slice.config.isShared {
      setAttached(name)
      guard let device = slice.device, let mtu = device.mtu, mtu > slice.mtu else { continue }
      try? device.configure(slice.config, mtu: slice.mtu)
    }
  }

  /// Takes flows of a shared device, or leaves them to the others.
  private mutating func setAttached(_ name: String) {
    guard var slice = slices[name], slice.config.isShared, let device = slice.device,
      slice.isAttached != slice.wantsFlows, device.setAttached(slice.wantsFlows)
    else { return }
    slice.isAttached.toggle()
    slices[name] = slice
    tellTransmit()
  }

  private mutating func setSlice(_ name: String, _ config: TunnelSliceConfig) {
    var slice: Slice
    if let known = slices[name] {
      slice = known
    } else {
      let taken = Set(slices.values.map(\.number))
      guard let number = (0..<GatewayLimits.devices).first(where: { !taken.contains($0) }) else {
        events.append(.sliceFailed(slice: name, reason: "too many slices on one gateway"))
        return
      }
      slice = Slice(config: config, device: nil, number: number, mtu: config.mtu)
    }
    do throws(GatewayError) {
      if let device = slice.device, slice.config.device == config.device,
        slice.config.isShared == config.isShared
      {
        if slice.config.mtu != config.mtu || slice.config.addresses != config.addresses {
          let isNarrowed = slice.mtu < slice.config.mtu
          slice.mtu = isNarrowed ? min(slice.mtu, config.mtu) : config.mtu
          try device.configure(config, mtu: slice.mtu)
        }
      } else {
        // Of the same name, it has to be let go of first.
        slice.device = nil
        let device = try TunnelDevice(config)
        slice.device = device
        slice.mtu = config.mtu
        slice.isAttached =
          !config.isShared || slice.wantsFlows || !device.setAttached(false)
      }
      slice.failure = nil
    } catch {
      // Told once, not with every plan.
      if slice.failure != error.description {
        events.append(.sliceFailed(slice: name, reason: error.description))
      }
      slice.failure = error.description
    }
    slice.config = config
    slices[name] = slice
    receive.state.withLock { $0.setDevice(slice.device, mtu: slice.mtu, number: slice.number) }
  }

  /// Counts the traffic of these services from now on; those that stay keep their figures.
  mutating func setServices(_ configs: [TunnelServiceConfig], cluster: String) {
    let devices = slices.mapValues(\.number)
    let update = services.update(configs, links: links, devices: devices, cluster: cluster)
    guard let (table, origin) = update else { return }
    receive.state.withLock { $0.table.setServices(table, origin: origin) }
    transmit.state.withLock { $0.table.setServices(table, origin: origin) }
  }

  var serviceTraffic: [ServiceTraffic] {
    services.traffic(
      sent: transmit.state.withLock { $0.table.serviceCounts },
      received: receive.state.withLock { $0.table.serviceCounts })
  }

  /// What slices with a rate hold back.
  var queues: [QueueStatus] {
    slices.sorted { $0.key < $1.key }.flatMap { name, slice in
      QueueStatus.list(name, transmit.state.withLock { $0.queues(slice.number) })
    }
  }

  /// Whether the far side sees this gateway elsewhere than it is; `nil` where that is not known.
  func isTranslated(_ link: LinkStatus) -> Bool? {
    guard let observed = link.observed, let endpoint = link.endpoint,
      let source = sources[endpoint]
    else { return nil }
    return observed != IPEndpoint(source, port: port.local.port)
  }

  /// By slice, why it is not served.
  var failures: [String: String] { slices.compactMapValues(\.failure) }

  /// The links of a plan whose slice is served here.
  func links(of plan: GatewayPlan) -> [LinkConfig] {
    plan.peers.compactMap { peer in
      guard let slice = slices[peer.slice], slice.device != nil else { return nil }
      return LinkConfig(
        id: peer.link, endpoints: peer.endpoints, staticKey: peer.staticKey,
        trust: peer.certificateAuthority + Array(peer.spiffeURI.utf8),
        localBlocks: slice.config.localBlocks, remoteBlocks: peer.remoteBlocks,
        mtu: slice.config.mtu)
    }
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
      guard let number = slices[slice]?.number else { return }
      transmit.state.withLock { $0.table.setRoutes(routes, device: number) }
    case .mtu(let slice, let mtu):
      setMTU(mtu, slice)
    case .event(let event):
      note(event)
    }
  }

  private mutating func open(_ opening: SessionOpening) {
    let device = slices[opening.slice]?.number ?? 0
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
      if reachable {
        slices[slice]?.reached.insert(cluster)
      } else {
        slices[slice]?.reached.remove(cluster)
      }
      setAttached(slice)
    case .established(let link):
      // The far side may send at once, before it has answered a probe: what a detached device is
      // given is lost.
      slices[link.slice]?.isHopefulUntil = GatewayClock.now.instant + Self.hope
      setAttached(link.slice)
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
