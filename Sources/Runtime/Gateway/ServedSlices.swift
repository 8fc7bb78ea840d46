internal import Base
internal import Synchronization
internal import Tunnel

/// The slices that a gateway serves: their devices, what they may send, and which flows of a shared
/// device it takes.
struct ServedSlices {
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

  private let receive: ReceivePlane
  private let transmit: TransmitPlane
  private var slices: [String: Slice] = [:]
  private var linkKbps = 0

  init(receive: ReceivePlane, transmit: TransmitPlane) {
    self.receive = receive
    self.transmit = transmit
  }

  /// Makes the devices of these slices, and lets go of the others.
  mutating func set(
    _ configs: [TunnelSliceConfig], linkKbps: Int, events: inout [GatewayEvent]
  ) {
    self.linkKbps = linkKbps
    let wanted = Dictionary(configs.map { ($0.slice, $0) }, uniquingKeysWith: { first, _ in first })
    for (name, slice) in slices.sorted(by: { $0.key < $1.key }) where wanted[name] == nil {
      receive.state.withLock { $0.setDevice(nil, mtu: 0, number: slice.number) }
      slices[name] = nil
    }
    // Now, so that what waits for a slice that is gone never goes to the next one with its number.
    setShaping()
    for (name, config) in wanted.sorted(by: { $0.key < $1.key }) {
      setSlice(name, config, &events)
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
  mutating func setMTU(_ mtu: Int, _ name: String, events: inout [GatewayEvent]) {
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
  mutating func tend() {
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

  private mutating func setSlice(
    _ name: String, _ config: TunnelSliceConfig, _ events: inout [GatewayEvent]
  ) {
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

  // MARK: What tunnels say

  mutating func note(_ slice: String, _ cluster: String, isReachable: Bool) {
    if isReachable {
      slices[slice]?.reached.insert(cluster)
    } else {
      slices[slice]?.reached.remove(cluster)
    }
    setAttached(slice)
  }

  /// The far side may send at once, before it has answered a probe: what a detached device is given
  /// is lost.
  mutating func noteSession(_ slice: String) {
    slices[slice]?.isHopefulUntil = GatewayClock.now.instant + Self.hope
    setAttached(slice)
  }

  // MARK: What is asked

  /// The number of each slice in both planes.
  var numbers: [String: Int] { slices.mapValues(\.number) }

  /// By slice, why it is not served.
  var failures: [String: String] { slices.compactMapValues(\.failure) }

  /// What slices with a rate hold back.
  var queues: [QueueStatus] {
    slices.sorted { $0.key < $1.key }.flatMap { name, slice in
      QueueStatus.list(name, transmit.state.withLock { $0.queues(slice.number) })
    }
  }

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
}
