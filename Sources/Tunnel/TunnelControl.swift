public import Base

/// The control half of a gateway's tunnels: which links exist, their handshakes, sessions, epochs
/// and probes. It seals no data packet: it tells the tables (`ReceiveTable`, `TransmitTable`) which
/// keys are in force, and hears from them what was authentic.
public struct TunnelControl: Sendable {
  let name: GatewayName
  let staticKey: [UInt8]
  /// Data lanes that this gateway sends with.
  let sendLanes: Int
  let timing: TunnelTiming
  let crypto: TunnelCrypto
  let provider: TLSProvider
  let cookies: CookieJar
  var rng: SeededGenerator

  /// By number; a number is used again once its link is gone.
  var links: [Link?] = []
  var numbers: [LinkID: Int] = [:]
  var tags: [UInt64: Int] = [:]
  /// By slot.
  var sessions: [Session?] = []
  /// Slots that a handshake or a session holds.
  var slotsInUse: [Bool] = []
  /// What was last told, so that only changes are.
  var routes: [String: [TransmitTable.Route]] = [:]
  var reachable: Set<ClusterInSlice> = []
  var mtus: [String: Int] = [:]
  /// By link.
  var active: [Int: SessionID] = [:]

  struct ClusterInSlice: Hashable, Comparable, Sendable {
    var slice: String
    var cluster: String

    static func < (a: Self, b: Self) -> Bool { (a.slice, a.cluster) < (b.slice, b.cluster) }
  }

  /// One remote gateway in one slice.
  struct Link: Sendable {
    var config: LinkConfig
    var keys: LinkKeys
    /// Of the remote gateway in relayed packets.
    let address: RelayAddress
    /// The smaller name is the one that initiates.
    var initiates: Bool
    /// Counts handshakes that began as responder: ends the validity of older cookies.
    var generation: UInt64 = 0
    /// The salt of the attempt that was last responded to.
    var respondedTo: [UInt8]?
    var initiating: Handshake?
    var responding: Handshake?
    /// The session that carries the link's traffic.
    var active: SessionID?
    /// A full handshake is wanted although there is a session.
    var wantsRenewal = false
    var nextAttempt: Instant
    /// When a direct path is tried again while the link is relayed.
    var directAt: Instant
    var failures = 0
    var handshakes: UInt64 = 0
    var failedHandshakes: UInt64 = 0
    var rekeys: UInt64 = 0
    var lastError: String?
  }

  struct Session: Sendable {
    let id: SessionID
    let link: Int
    let role: TLSRole
    var target: TunnelTarget
    /// Another address that the session may move to.
    var challenge: PathChallenge?
    /// Our address as the far side sees it.
    var observed: IPEndpoint?
    let receiveLanes: Int
    let sendLanes: Int
    let peer: TLSPeer
    /// When its handshake began here, and when it was finished.
    let begunAt: Instant
    let createdAt: Instant
    var epochs: EpochMachine
    var liveness: Liveness
    var path: PathSearch
    /// Something authentic was heard under it.
    var confirmed = false
    let renewAt: Instant
    /// Another session took over: open for what is still under way, until then.
    var closesAt: Instant?

    /// A session that drains does nothing but wait for its end.
    var deadline: Instant {
      if let closesAt { return closesAt }
      guard confirmed else { return liveness.deadline }
      let soonest = min(epochs.deadline, min(liveness.deadline, path.deadline))
      return min(soonest, challenge?.deadline ?? .distantFuture)
    }

    func handshakeDueAt(_ timing: TunnelTiming) -> Instant {
      min(renewAt, epochs.startedAt + timing.handshakeAfterStalledRekey)
    }
  }

  /// `staticKey` is the gateway's X25519 private key, 32 bytes.
  public init(
    name: GatewayName, staticKey: [UInt8], sendLanes: Int = 1, timing: TunnelTiming = .init(),
    crypto: TunnelCrypto, provider: TLSProvider, seed: UInt64
  ) {
    self.name = name
    self.staticKey = staticKey
    self.sendLanes = min(max(sendLanes, 1), TunnelLimits.lanes)
    self.timing = timing
    self.crypto = crypto
    self.provider = provider
    cookies = CookieJar(crypto)
    rng = SeededGenerator(seed: seed)
  }

  /// Takes one input. Nothing that comes from outside traps, and what is not authentic changes
  /// nothing.
  public mutating func handle(
    _ input: TunnelInput, now: Now, effects: inout [TunnelEffect]
  ) {
    let instant = now.instant
    switch input {
    case .configure(let configs): configure(configs, instant, &effects)
    case .datagram(let bytes, let source): receive(bytes, from: source, instant, &effects)
    case .heard(let id, let epoch): heard(id, epoch, instant, &effects)
    case .moved(let id, let endpoint): challenge(id, at: endpoint, instant, &effects)
    case .message(let id, let bytes): receive(bytes, on: id, instant, &effects)
    case .worn(let id):
      if isOpen(id) { sessions[id.slot]?.epochs.want() }
      tickSessions(instant, &effects)
    case .rekey:
      for slot in sessions.indices { sessions[slot]?.epochs.want() }
      tickSessions(instant, &effects)
    case .renew(let slice):
      for number in links.indices where links[number]?.config.id.slice == slice {
        links[number]?.wantsRenewal = true
        links[number]?.nextAttempt = instant
      }
      tickLinks(instant, &effects)
    case .tick:
      tickSessions(instant, &effects)
      tickLinks(instant, &effects)
    case .stop:
      configure([], instant, &effects)
    }
    publish(&effects)
  }

  /// When a `tick` is due next, seen from `now`.
  public func nextDeadline(_ now: Instant) -> Instant {
    var soonest = Instant.distantFuture
    for case let session? in sessions {
      soonest = min(soonest, session.deadline)
    }
    for case let link? in links {
      if let handshake = link.responding {
        soonest = min(soonest, handshake.nextDeadline)
        // While it goes on, nothing else is begun.
        if !Self.isRefused(handshake), link.initiating == nil { continue }
      }
      if let handshake = link.initiating {
        soonest = min(soonest, handshake.nextDeadline)
      } else if needsHandshake(link, now) {
        soonest = min(soonest, link.nextAttempt)
      } else if let session = session(link.active) {
        soonest = min(soonest, session.handshakeDueAt(timing))
        if session.target.relay != nil, !link.config.endpoints.isEmpty, link.directAt > now {
          soonest = min(soonest, link.directAt)
        }
      }
    }
    return soonest
  }

  // MARK: Slots

  mutating func allocateSession() -> SessionID? {
    let slot = slotsInUse.firstIndex(of: false) ?? slotsInUse.count
    guard slot < TunnelLimits.sessions else { return nil }
    if slot == slotsInUse.count {
      slotsInUse.append(false)
      sessions.append(nil)
    }
    slotsInUse[slot] = true
    let random = crypto.random(4).reduce(0) { $0 << 8 | UInt32($1) }
    return SessionID(slot: slot, random: random & 0xf_ffff)
  }

  mutating func releaseSlot(_ id: SessionID) {
    slotsInUse[id.slot] = false
  }

  func isOpen(_ id: SessionID) -> Bool {
    id.slot < sessions.count && sessions[id.slot]?.id == id
  }

  func session(_ id: SessionID?) -> Session? {
    guard let id, isOpen(id) else { return nil }
    return sessions[id.slot]
  }

  // MARK: What others are told

  /// Sessions of the gateways that serve one block.
  private struct Targets {
    private var answering: [SessionID] = []
    private var suspect: [SessionID] = []
    private var dead: [SessionID] = []

    mutating func add(_ session: Session?) {
      guard let session else { return }
      if !session.liveness.alive {
        dead.append(session.id)
      } else if session.liveness.suspect {
        suspect.append(session.id)
      } else {
        answering.append(session.id)
      }
    }

    /// With none that answers the packets still go: one direction may work.
    var best: [SessionID] {
      !answering.isEmpty ? answering : !suspect.isEmpty ? suspect : dead
    }
  }

  /// Tells routes and reachability where they changed.
  mutating func publish(_ effects: inout [TunnelEffect]) {
    var routesNow: [String: [IPPrefix: Targets]] = [:]
    var reachableNow: Set<ClusterInSlice> = []
    for case let link? in links {
      let session = session(link.active)
      let alive = session?.liveness.alive == true
      let id = link.config.id
      if alive { reachableNow.insert(ClusterInSlice(slice: id.slice, cluster: id.cluster)) }
      for block in link.config.remoteBlocks {
        routesNow[id.slice, default: [:]][block, default: Targets()].add(session)
      }
    }
    for slice in Set(routes.keys).union(routesNow.keys).sorted() {
      let list = (routesNow[slice] ?? [:]).sorted { $0.key < $1.key }.map {
        TransmitTable.Route(prefix: $0.key, targets: $0.value.best)
      }
      guard routes[slice] != list else { continue }
      routes[slice] = list.isEmpty ? nil : list
      effects.append(.routes(slice: slice, list))
    }
    for cluster in reachable.symmetricDifference(reachableNow).sorted() {
      effects.append(
        .event(
          .reachability(
            slice: cluster.slice, cluster: cluster.cluster,
            reachable: reachableNow.contains(cluster))))
    }
    reachable = reachableNow
    publishMTUs(&effects)
    publishActive(&effects)
  }

  /// One device serves all paths of a slice, so the narrowest counts: the kernel then tells senders
  /// what fits (ICMP, segment sizes), with nothing left for us to cut or to answer.
  private mutating func publishMTUs(_ effects: inout [TunnelEffect]) {
    var now: [String: Int] = [:]
    for case let link? in links {
      let carried = session(link.active).map { $0.path.limit - PacketHeader.overhead }
      let mtu = min(link.config.mtu, carried ?? link.config.mtu)
      now[link.config.id.slice] = min(mtu, now[link.config.id.slice] ?? mtu)
    }
    for (slice, mtu) in now.sorted(by: { $0.key < $1.key }) where mtus[slice] != mtu {
      effects.append(.mtu(slice: slice, mtu))
    }
    mtus = now
  }

  /// Every link, in the order of their ids.
  public func status(_ now: Instant) -> [LinkStatus] {
    numbers.sorted { $0.key < $1.key }.compactMap { _, number in
      links[number].map { status($0, number, now) }
    }
  }

  private func status(_ link: Link, _ number: Int, _ now: Instant) -> LinkStatus {
    let session = session(link.active)
    let connecting = link.initiating != nil || link.responding?.phase == .flights
    var error = link.lastError
    if session == nil, error == nil, let attempt = link.initiating, attempt.phase == .hello,
      attempt.hellos > 2
    {
      let seconds = (now - attempt.startedAt).components.seconds
      let places = link.config.endpoints.map(\.description).joined(separator: ", ")
      let whom = places.isEmpty ? "relays" : places
      error = "no answer from \(whom) in \(seconds) s (\(attempt.hellos) tries)"
    }
    return LinkStatus(
      id: link.config.id, link: number,
      state: session.map {
        $0.liveness.alive ? .established : $0.liveness.dead ? .unreachable : .connecting
      }
        ?? (connecting ? .connecting : .waiting),
      endpoint: (session?.target ?? link.initiating?.target)?.endpoint,
      relay: session?.target.relay.flatMap { links[$0]?.config.id }, observed: session?.observed,
      peer: session?.peer,
      epoch: session?.epochs.epoch, keyAge: session.map { now - $0.epochs.startedAt },
      sessionAge: session.map { now - $0.createdAt },
      roundTripTime: session?.liveness.smoothed, jitter: session?.liveness.jitter,
      loss: session?.liveness.loss(now), pathSize: session?.path.limit, handshakes: link.handshakes,
      failedHandshakes: link.failedHandshakes, rekeys: link.rekeys, lastError: error)
  }
}
