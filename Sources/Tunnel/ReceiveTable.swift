public import Base

/// The receiving half of the data plane: which session, epoch, lane and counter a datagram belongs
/// to, whether it may be opened, and whether what came out of it may go on.
///
/// Per packet: `admit`, then the gateway opens it with the cipher of the ticket, then `accept` (or
/// `reject`). Nothing here allocates per packet, and nothing changes for a packet that is not
/// authentic, except a count.
public struct ReceiveTable: Sendable {
  private struct Session {
    var id = SessionID(index: 0)
    var live = false
    var link = 0
    var device = 0
    var slice = ""
    var isDirect = false
    var lanes = 0
    var localBlocks: [IPPrefix] = []
    var remoteBlocks: [IPPrefix] = []
  }

  private struct Epoch {
    var epoch: UInt64 = 0
    var live = false
    /// An authentic packet came under it.
    var heard = false
  }

  private var sessions: [Session] = []
  private var epochs: [Epoch] = []
  private var windows: [ReplayWindow] = []
  /// Tags of handshake datagrams that belong to a link, sorted.
  private var tags: [UInt64] = []
  /// Sorted by address.
  private var relays: [RelayEntry] = []
  /// By the link's number.
  public private(set) var links: [TrafficCounters] = []
  /// What belonged to no link.
  public private(set) var strays = TrafficCounters()
  /// The addresses that passed last, and in which slot: packets of one flow come in a row.
  private var checkedSlot = -1
  private var checkedSource = IPAddress(v4: 0)
  private var checkedDestination = IPAddress(v4: 0)
  private var services = ServiceFigures()
  private var relayLimit = RelayLimit()
  /// Traffic of services by the rows of the table in force.
  public var serviceCounts: [TrafficCount] { services.counts }

  public init() {}

  // MARK: Packets

  /// What may be opened, and with which cipher.
  public struct Ticket: Sendable {
    public let header: PacketHeader
    public let session: SessionID
    /// Index of the cipher, below `cipherCapacity`.
    public let cipher: Int
    fileprivate let epochIndex: Int
  }

  public enum Admission: Sendable {
    case drop(TunnelDrop)
    case open(Ticket)
    /// A handshake datagram of a known link, for the control path.
    case handshake
  }

  /// Looks at a datagram before any cryptography.
  public mutating func admit(_ packet: UnsafeRawBufferPointer) -> Admission {
    guard packet.count > 0, let kind = PacketHeader.kind(of: packet[0]) else {
      return stray(.malformed)
    }
    if kind == .handshake { return admitHandshake(packet) }
    guard let header = PacketHeader(packet) else { return stray(.malformed) }
    let slot = SessionID(index: header.receiver).slot
    guard slot < sessions.count, sessions[slot].live, sessions[slot].id.index == header.receiver
    else { return stray(.unknownSession) }
    let control = header.lane == TunnelLimits.controlLane
    let lane = control ? sessions[slot].lanes : Int(header.lane)
    guard control == (header.kind == .session), control || lane < sessions[slot].lanes else {
      return drop(.unknownLane, slot)
    }
    let epochIndex = slot * CipherSlot.epochs + Int(header.epoch & 3)
    guard epochs[epochIndex].live,
      UInt16(truncatingIfNeeded: epochs[epochIndex].epoch) == header.epoch
    else { return drop(.unknownEpoch, slot) }
    let cipher = epochIndex * CipherSlot.lanes + lane
    guard windows[cipher].check(header.sequence) else { return drop(.replayed, slot) }
    return .open(
      Ticket(
        header: header, session: sessions[slot].id, cipher: cipher, epochIndex: epochIndex))
  }

  private mutating func admitHandshake(_ packet: UnsafeRawBufferPointer) -> Admission {
    guard let tag = HandshakeDatagram.tag(of: packet) else { return stray(.malformed) }
    guard isKnown(tag) else { return stray(.unknownLink) }
    return .handshake
  }

  public enum Acceptance: Sendable {
    case drop(TunnelDrop)
    /// An inner packet for the slice's device; a failure there counts in the figures of `link`.
    case deliver(InnerPacket, device: Int, link: Int)
    /// A session message for the control path.
    case control
    /// Behind the first `RelayAddress.size` bytes is a datagram for this gateway, which came through
    /// the gateway of `link`.
    case relayed(link: Int)
    /// The content goes on as it is, in the direct session of this link.
    case forward(link: Int)
  }

  /// Takes an authentic packet's content: records its counter, then checks the inner addresses.
  /// `heard` becomes true with the first authentic packet of an epoch, which the control path must
  /// hear of.
  public mutating func accept(
    _ ticket: Ticket, content: UnsafeRawBufferPointer, heard: inout Bool
  ) -> Acceptance {
    let slot = ticket.session.slot
    guard windows[ticket.cipher].record(ticket.header.sequence) else {
      return dropAccepted(.replayed, slot)
    }
    if !epochs[ticket.epochIndex].heard {
      epochs[ticket.epochIndex].heard = true
      heard = true
    }
    if ticket.header.kind == .session { return .control }
    if ticket.header.kind == .relay { return acceptRelayed(content, slot) }
    guard let inner = InnerPacket(content) else { return dropAccepted(.badInnerPacket, slot) }
    if slot != checkedSlot || inner.source != checkedSource
      || inner.destination != checkedDestination
    {
      guard isRemote(inner.source, slot) else {
        return dropAccepted(.badSource, slot)
      }
      guard isLocal(inner.destination, slot) else {
        return dropAccepted(.badDestination, slot)
      }
      (checkedSlot, checkedSource, checkedDestination) = (slot, inner.source, inner.destination)
    }
    let link = sessions[slot].link
    links[link].classes[ticket.header.classIndex].add(1, content.count)
    let device = sessions[slot].device
    services.count(inner, device: device, link: link, packets: 1, bytes: content.count)
    return .deliver(inner, device: device, link: link)
  }

  /// What came in a direct session for this gateway itself, or for one of the same slice. Nothing goes
  /// over two relays: the addressee is the only one that a packet is handed to.
  private mutating func acceptRelayed(
    _ content: UnsafeRawBufferPointer, _ slot: Int
  ) -> Acceptance {
    guard sessions[slot].isDirect, let address = RelayAddress.read(content),
      let index = find(address), relays[index].slice == sessions[slot].slice
    else { return dropAccepted(.noRelay, slot) }
    let from = sessions[slot].link
    guard let link = relays[index].link else { return .relayed(link: from) }
    guard link != from else { return dropAccepted(.noRelay, slot) }
    return .forward(link: link)
  }

  /// Bounds what each remote gateway may have handed on, in kilobits a second; 0: no bound.
  public mutating func setRelayLimit(kilobits: Int) {
    relayLimit.set(kilobits: kilobits)
  }

  /// Whether what `accept` says is to go on may do so now; what may not is counted.
  public mutating func mayForward(_ ticket: Ticket, bytes: Int, now: Instant) -> Bool {
    let link = sessions[ticket.session.slot].link
    guard !relayLimit.admit(bytes, from: link, now: now) else { return true }
    links[link].drop(.rateLimited)
    return false
  }

  private func find(_ address: RelayAddress) -> Int? {
    var (low, high) = (0, relays.count)
    while low < high {
      let middle = (low + high) / 2
      if relays[middle].address < address { low = middle + 1 } else { high = middle }
    }
    return low < relays.count && relays[low].address == address ? low : nil
  }

  /// No packet of the session's lane is newer: what came before it may have been under way for long.
  public func isNewest(_ ticket: Ticket) -> Bool {
    windows[ticket.cipher].newest == ticket.header.sequence + 1
  }

  /// The epoch that a ticket belongs to, in full.
  public func epoch(of ticket: Ticket) -> UInt64 { epochs[ticket.epochIndex].epoch }

  /// The cipher refused the packet.
  public mutating func reject(_ ticket: Ticket) {
    links[sessions[ticket.session.slot].link].drop(.forged)
  }

  /// A drop that the gateway saw itself, for example a full queue.
  public mutating func count(_ reason: TunnelDrop) {
    strays.drop(reason)
  }

  /// Packets that `accept` let through went no further.
  public mutating func dropDelivered(_ reason: TunnelDrop, link: Int, packets: Int = 1) {
    links[link].drop(reason, packets)
  }

  private mutating func stray(_ reason: TunnelDrop) -> Admission {
    strays.drop(reason)
    return .drop(reason)
  }

  private mutating func drop(_ reason: TunnelDrop, _ slot: Int) -> Admission {
    links[sessions[slot].link].drop(reason)
    return .drop(reason)
  }

  private mutating func dropAccepted(_ reason: TunnelDrop, _ slot: Int) -> Acceptance {
    links[sessions[slot].link].drop(reason)
    return .drop(reason)
  }

  // By index, in place: handing the array to a shared helper would count a reference per packet.
  private func isRemote(_ address: IPAddress, _ slot: Int) -> Bool {
    for index in sessions[slot].remoteBlocks.indices
    where sessions[slot].remoteBlocks[index].contains(address) { return true }
    return false
  }

  private func isLocal(_ address: IPAddress, _ slot: Int) -> Bool {
    for index in sessions[slot].localBlocks.indices
    where sessions[slot].localBlocks[index].contains(address) { return true }
    return false
  }

  private func isKnown(_ tag: UInt64) -> Bool {
    var (low, high) = (0, tags.count)
    while low < high {
      let middle = (low + high) / 2
      if tags[middle] == tag { return true }
      if tags[middle] < tag { low = middle + 1 } else { high = middle }
    }
    return false
  }

  // MARK: What the control path decides

  /// Ciphers that the gateway must have room for.
  public var cipherCapacity: Int { sessions.count * CipherSlot.perSession }

  /// Replaces the table of services; `origin` is by row where it stood in the one before.
  public mutating func setServices(_ table: ServiceTable, origin: [Int]) {
    services.replace(table, origin: origin)
  }

  public mutating func setTags(_ tags: [UInt64]) {
    self.tags = tags.sorted()
  }

  public mutating func setRelays(_ relays: [RelayEntry]) {
    self.relays = relays.sorted()
  }

  /// Starts a link's figures from zero.
  public mutating func openLink(_ link: Int) {
    while links.count <= link { links.append(TrafficCounters()) }
    links[link] = TrafficCounters()
    relayLimit.forget(link)
  }

  /// `device` is the gateway's own number of the slice's device.
  public mutating func open(_ opening: SessionOpening, device: Int) {
    let slot = opening.id.slot
    while sessions.count <= slot {
      sessions.append(Session())
      epochs += Array(repeating: Epoch(), count: CipherSlot.epochs)
      windows += Array(repeating: ReplayWindow(), count: CipherSlot.perSession)
    }
    sessions[slot] = Session(
      id: opening.id, live: true, link: opening.link, device: device, slice: opening.slice,
      isDirect: opening.target.relay == nil, lanes: opening.receiveLanes,
      localBlocks: opening.localBlocks,
      remoteBlocks: opening.remoteBlocks)
    for epoch in 0..<CipherSlot.epochs { clear(slot, UInt64(epoch)) }
    checkedSlot = -1
  }

  /// Makes room for the keys of an epoch; gives the index of the cipher of its first lane, the
  /// others follow it in the order of the keys. `nil` for a session that is not open.
  public mutating func install(_ id: SessionID, epoch: UInt64) -> Int? {
    guard isOpen(id) else { return nil }
    clear(id.slot, epoch)
    epochs[id.slot * CipherSlot.epochs + Int(epoch & 3)] = Epoch(epoch: epoch, live: true)
    return CipherSlot.index(slot: id.slot, epoch: epoch, lane: 0)
  }

  /// Ends an epoch; gives the indices of the ciphers to free.
  public mutating func remove(_ id: SessionID, epoch: UInt64) -> Range<Int> {
    guard isOpen(id) else { return 0..<0 }
    let entry = epochs[id.slot * CipherSlot.epochs + Int(epoch & 3)]
    guard entry.live, entry.epoch == epoch else { return 0..<0 }
    clear(id.slot, epoch)
    let first = CipherSlot.index(slot: id.slot, epoch: epoch, lane: 0)
    return first..<first + CipherSlot.lanes
  }

  /// Ends a session; gives the indices of the ciphers to free.
  public mutating func close(_ id: SessionID) -> Range<Int> {
    guard isOpen(id) else { return 0..<0 }
    for epoch in 0..<CipherSlot.epochs { clear(id.slot, UInt64(epoch)) }
    sessions[id.slot] = Session()
    checkedSlot = -1
    let first = id.slot * CipherSlot.perSession
    return first..<first + CipherSlot.perSession
  }

  public mutating func setBlocks(
    _ id: SessionID, local localBlocks: [IPPrefix], remote remoteBlocks: [IPPrefix]
  ) {
    guard isOpen(id) else { return }
    checkedSlot = -1
    sessions[id.slot].localBlocks = localBlocks
    sessions[id.slot].remoteBlocks = remoteBlocks
  }

  private func isOpen(_ id: SessionID) -> Bool {
    id.slot < sessions.count && sessions[id.slot].live && sessions[id.slot].id == id
  }

  private mutating func clear(_ slot: Int, _ epoch: UInt64) {
    epochs[slot * CipherSlot.epochs + Int(epoch & 3)] = Epoch()
    let first = CipherSlot.index(slot: slot, epoch: epoch, lane: 0)
    for lane in 0..<CipherSlot.lanes { windows[first + lane] = ReplayWindow() }
  }
}
