public import Base

/// The sending half of the data plane: which session takes an inner packet, and under which epoch
/// and counter it is sealed.
///
/// Per packet: `admit`, then the gateway seals it with the cipher of the ticket behind the ticket's
/// header. A counter is handed out once and never again, whatever happens to the packet.
public struct TransmitTable: Sendable {
  private struct Session {
    var id = SessionID(index: 0)
    var live = false
    var remoteIndex: UInt32 = 0
    var link = 0
    var target: TunnelTarget?
    var lanes = 0
    var epoch: UInt64 = 0
    var hasKeys = false
    /// Past the hard stop: no more data under this epoch.
    var halted = false
    var askedForRekey = false
  }

  private struct LaneState {
    var next: UInt64 = 0
    var blocks: UInt64 = 0
  }

  /// Where a block of addresses goes: one live session of each gateway that serves it.
  public struct Route: Hashable, Sendable {
    public var prefix: IPPrefix
    public var targets: [SessionID]

    public init(prefix: IPPrefix, targets: [SessionID]) {
      self.prefix = prefix
      self.targets = targets
    }
  }

  private var sessions: [Session] = []
  private var lanes: [LaneState] = []
  /// By link.
  private var active: [SessionID?] = []
  /// By device, sorted by prefix: IPv4 first. Blocks of one slice do not overlap.
  private var routes: [[Route]] = []
  /// By the link's number.
  public private(set) var links: [TrafficCounters] = []
  /// What belonged to no link.
  public private(set) var strays = TrafficCounters()
  /// Where the last packet went: the next one mostly goes there too.
  private var foundDevice = -1
  private var foundAddress = IPAddress(v4: 0)
  private var foundRoute = 0
  private var services = ServiceFigures()
  /// Traffic of services by the rows of the table in force.
  public var serviceCounts: [TrafficCount] { services.counts }

  public init() {}

  // MARK: Packets

  /// What to seal with.
  public struct Ticket: Sendable {
    /// Of the first packet; the counters of those behind it follow.
    public let header: PacketHeader
    public let session: SessionID
    /// Index of the cipher, below `cipherCapacity`.
    public let cipher: Int
    /// The control path should start a rekey: true once an epoch.
    public let wantsRekey: Bool
  }

  public enum Admission: Sendable {
    case drop(TunnelDrop)
    case seal(Ticket)
  }

  /// Finds the session of an inner packet read from a device and hands out a counter of `lane`.
  public mutating func admit(
    _ packet: UnsafeRawBufferPointer, device: Int, lane: Int
  ) -> Admission {
    guard let inner = InnerPacket(packet) else { return stray(.badInnerPacket) }
    return admit(
      inner, packet, segments: 1, bytes: packet.count, flags: 0, device: device, lane: lane)
  }

  /// Hands out the counters of `segments` packets of one flow with `bytes` in all, all or none.
  /// `packet` is what `inner` was read from.
  public mutating func admit(
    _ inner: InnerPacket, _ packet: UnsafeRawBufferPointer, segments: Int, bytes: Int,
    flags: UInt8, device: Int, lane: Int
  ) -> Admission {
    guard device < routes.count, let route = find(inner.destination, device) else {
      return stray(.noRoute, segments)
    }
    guard let target = choose(route, device, inner, packet) else {
      return stray(.noSession, segments)
    }
    let kind = TrafficClass.index(of: inner.trafficClass)
    let admission = take(
      target, lane: lane, kind: .data, flags: flags | PacketHeader.classFlags(kind),
      segments: segments, bytes: bytes)
    if case .seal = admission {
      let link = sessions[target.slot].link
      links[link].classes[Int(kind)].add(segments, bytes)
      services.count(inner, device: device, link: link, packets: segments, bytes: bytes)
    }
    return admission
  }

  /// A packet of a device that was dropped before it was routed.
  public mutating func count(_ reason: TunnelDrop) {
    strays.drop(reason)
  }

  /// Hands out a counter of the control lane for a session message of `count` bytes.
  public mutating func admitControl(_ id: SessionID, count: Int) -> Admission {
    take(
      id, lane: Int(TunnelLimits.controlLane), kind: .session, flags: 0, segments: 1,
      bytes: count)
  }

  /// Hands out counters for relayed datagrams in the direct session of a link. `others`: they are
  /// handed on for somebody.
  public mutating func admitRelayed(
    _ link: Int, lane: Int, segments: Int, bytes: Int, others: Bool
  ) -> Admission {
    guard link < active.count, let id = active[link], isOpen(id),
      sessions[id.slot].target?.relay == nil
    else { return stray(.noRelay, segments) }
    let admission = take(
      id, lane: lane, kind: .relay, flags: 0, segments: segments, bytes: bytes)
    if others, case .seal = admission {
      links[link].relayedPackets &+= UInt64(segments)
      links[link].relayedBytes &+= UInt64(bytes)
    }
    return admission
  }

  /// Where a session's packets go.
  public func target(of id: SessionID) -> TunnelTarget? {
    isOpen(id) ? sessions[id.slot].target : nil
  }

  private mutating func take(
    _ id: SessionID, lane: Int, kind: PacketKind, flags: UInt8, segments: Int, bytes: Int
  ) -> Admission {
    let slot = id.slot
    guard isOpen(id), sessions[slot].hasKeys else { return stray(.noSession, segments) }
    let control = kind == .session
    guard control || lane < sessions[slot].lanes else { return drop(.unknownLane, slot, segments) }
    // Session messages go on after the hard stop: they are what ends it.
    guard control || !sessions[slot].halted else { return drop(.keyExpired, slot, segments) }
    let state = slot * CipherSlot.lanes + (control ? sessions[slot].lanes : lane)
    // Each packet begins a block of its own, and its tag takes one.
    let blocks = UInt64(bytes / 16 + segments * 2)
    guard lanes[state].next + UInt64(segments) <= TunnelLimits.hardPackets,
      lanes[state].blocks + blocks <= TunnelLimits.hardBlocks
    else { return drop(.keyExhausted, slot, segments) }
    let sequence = lanes[state].next
    lanes[state].next += UInt64(segments)
    lanes[state].blocks += blocks
    var wantsRekey = false
    if !sessions[slot].askedForRekey,
      sequence >= TunnelLimits.softPackets || lanes[state].blocks >= TunnelLimits.softBlocks
    {
      sessions[slot].askedForRekey = true
      wantsRekey = true
    }
    let laneNumber = control ? TunnelLimits.controlLane : UInt8(lane)
    let epoch = sessions[slot].epoch
    return .seal(
      Ticket(
        header: PacketHeader(
          kind: kind, flags: flags, epoch: UInt16(truncatingIfNeeded: epoch),
          receiver: sessions[slot].remoteIndex, counter: UInt64(laneNumber) << 56 | sequence),
        session: id,
        cipher: CipherSlot.index(
          slot: slot, epoch: epoch, lane: control ? sessions[slot].lanes : lane),
        wantsRekey: wantsRekey))
  }

  /// Datagrams of a ticket could not be sent.
  public mutating func sendFailed(_ session: SessionID, tooBig: Bool, packets: Int = 1) {
    guard isOpen(session) else { return }
    links[sessions[session.slot].link].drop(tooBig ? .tooBig : .sendFailed, packets)
  }

  /// Binary search for the last prefix at or before the address; blocks do not overlap.
  private mutating func find(_ address: IPAddress, _ device: Int) -> Int? {
    if device == foundDevice, address == foundAddress { return foundRoute }
    var (low, high) = (0, routes[device].count)
    while low < high {
      let middle = (low + high) / 2
      if routes[device][middle].prefix.network <= address {
        low = middle + 1
      } else {
        high = middle
      }
    }
    guard low > 0, routes[device][low - 1].prefix.contains(address) else { return nil }
    (foundDevice, foundAddress, foundRoute) = (device, address, low - 1)
    return low - 1
  }

  /// Rendezvous hashing of the flow over the live sessions: when one goes, only its flows move.
  private func choose(
    _ route: Int, _ device: Int, _ inner: InnerPacket, _ packet: UnsafeRawBufferPointer
  ) -> SessionID? {
    let count = routes[device][route].targets.count
    if count <= 1 { return count == 0 ? nil : routes[device][route].targets[0] }
    let flow = inner.flowHash(packet)
    var best: (score: UInt64, target: SessionID)?
    for index in 0..<count {
      let target = routes[device][route].targets[index]
      let link = UInt64(target.slot < sessions.count ? sessions[target.slot].link : 0)
      // The link, not the session: a rotation must not move flows.
      let score = InnerPacket.mix(flow ^ (link + 1) &* 0x9e37_79b9_7f4a_7c15)
      if score >= best?.score ?? 0 { best = (score, target) }
    }
    return best?.target
  }

  private mutating func stray(_ reason: TunnelDrop, _ packets: Int = 1) -> Admission {
    strays.drop(reason, packets)
    return .drop(reason)
  }

  private mutating func drop(_ reason: TunnelDrop, _ slot: Int, _ packets: Int) -> Admission {
    links[sessions[slot].link].drop(reason, packets)
    return .drop(reason)
  }

  // MARK: What the control path decides

  /// Ciphers that the gateway must have room for.
  public var cipherCapacity: Int { sessions.count * CipherSlot.perSession }

  /// Starts a link's figures from zero.
  public mutating func openLink(_ link: Int) {
    while links.count <= link { links.append(TrafficCounters()) }
    links[link] = TrafficCounters()
  }

  public mutating func open(_ opening: SessionOpening) {
    let slot = opening.id.slot
    while sessions.count <= slot {
      sessions.append(Session())
      lanes += Array(repeating: LaneState(), count: CipherSlot.lanes)
    }
    sessions[slot] = Session(
      id: opening.id, live: true, remoteIndex: opening.remoteIndex, link: opening.link,
      target: opening.target, lanes: opening.sendLanes)
  }

  /// Makes an epoch the one to send with; its counters start at zero. Gives the index of the cipher
  /// of its first lane, and the ciphers of the epoch before, which are to be freed. `nil` for a
  /// session that is not open, or an epoch that is not newer (a counter must never start again).
  public mutating func install(
    _ id: SessionID, epoch: UInt64
  ) -> (first: Int, obsolete: Range<Int>)? {
    guard isOpen(id), !sessions[id.slot].hasKeys || epoch > sessions[id.slot].epoch else {
      return nil
    }
    var obsolete = 0..<0
    if sessions[id.slot].hasKeys {
      let first = CipherSlot.index(slot: id.slot, epoch: sessions[id.slot].epoch, lane: 0)
      obsolete = first..<first + CipherSlot.lanes
    }
    sessions[id.slot].epoch = epoch
    sessions[id.slot].hasKeys = true
    sessions[id.slot].halted = false
    sessions[id.slot].askedForRekey = false
    for lane in 0..<CipherSlot.lanes { lanes[id.slot * CipherSlot.lanes + lane] = LaneState() }
    return (CipherSlot.index(slot: id.slot, epoch: epoch, lane: 0), obsolete)
  }

  /// The hard stop: data is dropped until the next epoch.
  public mutating func halt(_ id: SessionID) {
    if isOpen(id) { sessions[id.slot].halted = true }
  }

  /// Ends a session; gives the indices of the ciphers to free.
  public mutating func close(_ id: SessionID) -> Range<Int> {
    guard isOpen(id) else { return 0..<0 }
    sessions[id.slot] = Session()
    let first = id.slot * CipherSlot.perSession
    return first..<first + CipherSlot.perSession
  }

  /// Replaces the table of services; `origin` is by row where it stood in the one before.
  public mutating func setServices(_ table: ServiceTable, origin: [Int]) {
    services.replace(table, origin: origin)
  }

  public mutating func retarget(_ id: SessionID, _ target: TunnelTarget) {
    if isOpen(id) { sessions[id.slot].target = target }
  }

  /// The session that carries a link's traffic.
  public mutating func setActive(_ link: Int, _ session: SessionID?) {
    while active.count <= link { active.append(nil) }
    active[link] = session
  }

  /// Replaces the routes of a device.
  public mutating func setRoutes(_ routes: [Route], device: Int) {
    while self.routes.count <= device { self.routes.append([]) }
    foundDevice = -1
    self.routes[device] = routes.sorted { $0.prefix < $1.prefix }
  }

  private func isOpen(_ id: SessionID) -> Bool {
    id.slot < sessions.count && sessions[id.slot].live && sessions[id.slot].id == id
  }
}
