import Base
import Tunnel

/// A gateway of the simulation: the control core, both tables, and toy ciphers beside them, wired
/// as the real gateway wires them.
struct SimulatedGateway {
  let name: GatewayName
  var endpoint: IPEndpoint
  var control: TunnelControl
  var receive = ReceiveTable()
  var transmit = TransmitTable()
  var openers: [Int: LaneKey] = [:]
  var sealers: [Int: LaneKey] = [:]
  /// Where sessions send to.
  var places: [SessionID: TunnelTarget] = [:]
  var events: [TunnelEvent] = []
  var delivered: [[UInt8]] = []
  /// Of its device.
  var mtu = 0
  let ledger: NonceLedger

  /// Holds packets of the device back, if there.
  var queue: SimulatedQueue?

  /// When keys for data were installed, and how much was sealed past the hard stop.
  fileprivate var born: [[UInt8]: Instant] = [:]
  fileprivate(set) var overdue = 0
  fileprivate var clock = Instant.zero

  /// What leaves the gateway.
  var outbox: [(bytes: [UInt8], to: IPEndpoint)] = []

  mutating func handle(_ input: TunnelInput, _ now: Now) {
    var effects: [TunnelEffect] = []
    clock = now.instant
    control.handle(input, now: now, effects: &effects)
    for effect in effects { perform(effect) }
  }

  private mutating func perform(_ effect: TunnelEffect) {
    switch effect {
    case .send(let bytes, let target):
      send(bytes, to: target)
    case .sendMessage(let id, let bytes):
      if case .seal(let ticket) = transmit.admitControl(id, count: bytes.count) {
        seal(bytes, ticket)
      }
    case .challenge(let id, let bytes, let place):
      if case .seal(let ticket) = transmit.admitControl(id, count: bytes.count) {
        seal(bytes, ticket, at: .address(place))
      }
    case .retarget(let id, let target):
      transmit.retarget(id, target)
      places[id] = target
    case .relays(let entries):
      receive.setRelays(entries)
    case .active(let link, let id):
      transmit.setActive(link, id)
    case .tags(let tags):
      receive.setTags(tags)
    case .openLink(let link, _):
      receive.openLink(link)
      transmit.openLink(link)
    case .open(let opening):
      receive.open(opening, device: 0)
      transmit.open(opening)
      places[opening.id] = opening.target
    case .close(let id):
      for index in receive.close(id) { openers[index] = nil }
      for index in transmit.close(id) { sealers[index] = nil }
      places[id] = nil
    case .setBlocks(let id, let local, let remote):
      receive.setBlocks(id, local: local, remote: remote)
    case .installReceive(let id, let epoch, let keys):
      guard let first = receive.install(id, epoch: epoch) else { return }
      for (lane, key) in keys.enumerated() { openers[first + lane] = key }
    case .installSend(let id, let epoch, let keys):
      guard let (first, obsolete) = transmit.install(id, epoch: epoch) else { return }
      for index in obsolete { sealers[index] = nil }
      for (lane, key) in keys.enumerated() { sealers[first + lane] = key }
      for key in keys { born[key.key] = clock }
    case .removeReceive(let id, let epoch):
      for index in receive.remove(id, epoch: epoch) { openers[index] = nil }
    case .halt(let id):
      transmit.halt(id)
    case .mtu(_, let mtu): self.mtu = mtu
    case .routes(_, let routes):
      transmit.setRoutes(routes, device: 0)
    case .event(let event):
      events.append(event)
    }
  }

  private mutating func seal(
    _ text: [UInt8], _ ticket: TransmitTable.Ticket, at place: TunnelTarget? = nil
  ) {
    guard let key = sealers[ticket.cipher], let target = place ?? places[ticket.session] else {
      return
    }
    if ticket.header.kind != .session, let born = born[key.key],
      clock - born > TunnelTiming().hardStopAfter
    {
      overdue += 1
    }
    var header = [UInt8](repeating: 0, count: PacketHeader.size)
    header.withUnsafeMutableBytes { ticket.header.write(to: $0) }
    let nonce = key.iv.nonce(ticket.header.counter).bytes
    ledger.use(key.key, nonce)
    send(header + ToyCrypto.seal(key.key, nonce, header, text), to: target)
  }

  private mutating func send(_ datagram: [UInt8], to target: TunnelTarget) {
    switch target {
    case .address(let endpoint): outbox.append((datagram, endpoint))
    case .relay(let link, let addressee):
      relay(addressee.wrap(datagram), link, others: false)
    }
  }

  private mutating func relay(_ content: [UInt8], _ link: Int, others: Bool) {
    let admission = transmit.admitRelayed(
      link, lane: 0, segments: 1, bytes: content.count, others: others)
    if case .seal(let ticket) = admission { seal(content, ticket) }
  }

  /// An inner packet from the slice's device; false where it was dropped.
  @discardableResult
  mutating func inject(_ packet: [UInt8]) -> Bool {
    let admission = packet.withUnsafeBytes { transmit.admit($0, device: 0, lane: 0) }
    guard case .seal(let ticket) = admission else { return false }
    seal(packet, ticket)
    return true
  }

  /// An inner packet from the device of a slice that may be held back.
  mutating func inject(_ packet: [UInt8], _ now: Now) {
    guard let queue else {
      inject(packet)
      return
    }
    queue.offer(packet, now.instant)
    release(now)
  }

  /// Seals what may go by now.
  mutating func release(_ now: Now) {
    for packet in queue?.take(now.instant) ?? [] { inject(packet) }
  }

  func nextDeadline(_ now: Instant) -> Instant {
    min(control.nextDeadline(now), queue?.wakeAt ?? .distantFuture)
  }

  /// A datagram from the network.
  mutating func arrive(_ datagram: [UInt8], from source: IPEndpoint, _ now: Now) {
    arrive(datagram, from: .address(source), now)
  }

  private mutating func arrive(_ datagram: [UInt8], from source: TunnelSource, _ now: Now) {
    switch datagram.withUnsafeBytes({ receive.admit($0) }) {
    case .drop:
      return
    case .handshake:
      handle(.datagram(datagram, from: source), now)
    case .open(let ticket):
      let header = Array(datagram.prefix(PacketHeader.size))
      let sealed = Array(datagram.dropFirst(PacketHeader.size))
      guard let key = openers[ticket.cipher],
        let text = ToyCrypto.open(
          key.key, key.iv.nonce(ticket.header.counter).bytes, header, sealed)
      else { return receive.reject(ticket) }
      var heard = false
      let epoch = receive.epoch(of: ticket)
      let acceptance = text.withUnsafeBytes { receive.accept(ticket, content: $0, heard: &heard) }
      if heard { handle(.heard(ticket.session, epoch: epoch), now) }
      if case .address(let place) = source, receive.isNewest(ticket),
        let known = places[ticket.session], known != .address(place)
      {
        handle(.moved(ticket.session, from: place), now)
      }
      switch acceptance {
      case .drop: return
      case .deliver: delivered.append(text)
      case .control: handle(.message(ticket.session, text), now)
      case .relayed(let link):
        arrive(Array(text.dropFirst(RelayAddress.size)), from: .relay(link: link), now)
      case .forward(let link):
        if receive.mayForward(ticket, bytes: text.count, now: now.instant) {
          relay(text, link, others: true)
        }
      }
    }
  }

  func drops(_ reason: TunnelDrop) -> UInt64 {
    (receive.links + transmit.links + [receive.strays, transmit.strays])
      .reduce(0) { $0 + $1.drops[reason.rawValue] }
  }

  /// The newest status of the only link.
  func link(_ now: Instant) -> LinkStatus? { control.status(now).first }

  func link(to index: Int, _ now: Instant) -> LinkStatus? {
    control.status(now).first { $0.id.cluster == SimulatedNetwork.name(index).cluster }
  }
}

/// Gateways, and datagrams between them that get lost, repeated and reordered as one seed says.
struct SimulatedNetwork {
  struct Weather {
    var loss = 0.0
    var duplication = 0.0
    var delay: Duration = .milliseconds(5)
    /// Added at random: packets overtake one another.
    var spread: Duration = .zero
    /// Larger datagrams vanish without a word.
    var pathSize = Int.max
  }

  private struct Flying {
    var at: Instant
    var order: Int
    var to: IPEndpoint
    var from: IPEndpoint
    var bytes: [UInt8]
  }

  var gateways: [SimulatedGateway] = []
  var weather = Weather()
  /// Gateways that neither hear nor say anything.
  var silent: Set<IPEndpoint> = []
  /// Pairs of addresses between which nothing passes, the smaller first.
  var blocked: Set<[IPEndpoint]> = []
  /// Every datagram that was sent, for those who replay.
  var recorded: [(bytes: [UInt8], from: IPEndpoint, to: IPEndpoint)] = []
  var now = Instant(nanoseconds: 1_000_000_000)
  private var flying: [Flying] = []
  private var order = 0
  var rng: SeededGenerator
  let ledger = NonceLedger()

  init(seed: UInt64) {
    rng = SeededGenerator(seed: seed)
  }

  var time: Now { Now(instant: now, wallMilliseconds: 0) }

  static func endpoint(_ index: Int) -> IPEndpoint {
    IPEndpoint(IPAddress(v4: 0x0a00_0001 + UInt32(index)), port: 7_900)
  }

  static func name(_ index: Int) -> GatewayName {
    GatewayName(cluster: "c\(index)", replica: "0")
  }

  static func staticKey(_ index: Int) -> [UInt8] {
    ToyCrypto.bytes(UInt64(2 * index + 12_345_678_901), 32)
  }

  static func block(_ index: Int) -> IPPrefix {
    // Constant and in range.
    IPPrefix(IPAddress(v4: 0x0a0b_0000 + UInt32(index) << 12), length: 20)
      ?? IPPrefix(IPAddress(v4: 0), length: 0).unsafelyUnwrapped
  }

  static func config(from local: Int, to remote: Int) -> LinkConfig {
    LinkConfig(
      id: LinkID(slice: "blue", cluster: name(remote).cluster, replica: name(remote).replica),
      endpoints: [endpoint(remote)], staticKey: ToyCrypto.publicKey(staticKey(remote)),
      trust: Array("ca-\(remote)".utf8), localBlocks: [block(local)],
      remoteBlocks: [block(remote)])
  }

  func makeGateway(
    _ index: Int, identity: String? = nil, timing: TunnelTiming = .init(), boot: UInt64 = 0
  ) -> SimulatedGateway {
    let own = identity ?? "id-c\(index)"
    let seed = UInt64(index) << 32 | boot
    return SimulatedGateway(
      name: Self.name(index), endpoint: Self.endpoint(index),
      control: TunnelControl(
        name: Self.name(index), staticKey: Self.staticKey(index), timing: timing,
        crypto: ToyCrypto.make(seed: seed, ledger: ledger),
        provider: TLSProvider { role, link in
          let tlsSeed = ToyCrypto.hash([Array("\(seed) \(link) \(role)".utf8)])
          return .success(
            ToyTLS(role: role, own: own, expected: "id-\(link.cluster)", seed: tlsSeed).engine)
        },
        seed: seed), ledger: ledger)
  }

  /// Two gateways that know each other.
  static func pair(
    seed: UInt64, timing: TunnelTiming = .init(), weather: Weather = .init(),
    identities: [String?] = [nil, nil]
  ) -> SimulatedNetwork {
    var network = SimulatedNetwork(seed: seed)
    network.weather = weather
    for index in 0..<2 {
      network.gateways.append(
        network.makeGateway(index, identity: identities[index], timing: timing))
    }
    for index in 0..<2 {
      network.gateways[index].handle(
        .configure([config(from: index, to: 1 - index)]), network.time)
    }
    network.collect()
    return network
  }

  /// Gateways that all know each other; the pairs in `apart` know no address of one another.
  static func mesh(
    _ count: Int, seed: UInt64, timing: TunnelTiming = .init(), apart: Set<[Int]> = []
  ) -> SimulatedNetwork {
    var network = SimulatedNetwork(seed: seed)
    for index in 0..<count { network.gateways.append(network.makeGateway(index, timing: timing)) }
    for index in 0..<count { network.configure(index, apart: apart) }
    return network
  }

  mutating func configure(_ index: Int, apart: Set<[Int]> = []) {
    let others = gateways.indices.filter { $0 != index }
    let configs = others.map { other in
      var config = Self.config(from: index, to: other)
      if apart.contains([index, other].sorted()) { config.endpoints = [] }
      return config
    }
    gateways[index].handle(.configure(configs), time)
    collect()
  }

  static func packet(from source: Int, to destination: Int, number: UInt32) -> [UInt8] {
    var writer = ByteWriter()
    writer.u8(0x45)
    writer.u8(0)
    writer.u16(28)
    writer.u32(0)
    writer.u32(0x4011_0000)
    writer.raw((block(source).address(at: 5) ?? IPAddress(v4: 0)).bytes)
    writer.raw((block(destination).address(at: 9) ?? IPAddress(v4: 0)).bytes)
    writer.u32(number)
    writer.u32(0)
    return writer.bytes
  }

  static func number(_ packet: [UInt8]) -> UInt32 {
    packet[20..<24].reduce(0) { $0 << 8 | UInt32($1) }
  }

  /// Puts everything that gateways want to send into the air.
  mutating func collect() {
    for index in gateways.indices {
      let outbox = gateways[index].outbox
      gateways[index].outbox = []
      for (bytes, to) in outbox { send(bytes, from: gateways[index].endpoint, to: to) }
    }
  }

  mutating func send(_ bytes: [UInt8], from: IPEndpoint, to: IPEndpoint) {
    recorded.append((bytes, from, to))
    guard !silent.contains(from), !silent.contains(to), !blocked.contains([from, to].sorted()),
      bytes.count <= weather.pathSize
    else {
      return
    }
    let copies = Double.random(in: 0..<1, using: &rng) < weather.duplication ? 2 : 1
    for _ in 0..<copies where Double.random(in: 0..<1, using: &rng) >= weather.loss {
      let extra = Int64.random(in: 0...weather.spread.nanoseconds, using: &rng)
      flying.append(
        Flying(
          at: now + weather.delay + .nanoseconds(extra), order: order, to: to, from: from,
          bytes: bytes))
      order += 1
    }
  }

  /// Runs until then, delivering datagrams and timers in order.
  mutating func run(until end: Instant) {
    collect()
    while true {
      let timers = gateways.indices
        .filter { !silent.contains(gateways[$0].endpoint) }
        .map { (max(gateways[$0].nextDeadline(now), now), $0) }
        .min { $0 < $1 }
      let arrival = flying.indices.min {
        (flying[$0].at, flying[$0].order) < (flying[$1].at, flying[$1].order)
      }
      let next = min(timers?.0 ?? .distantFuture, arrival.map { flying[$0].at } ?? .distantFuture)
      guard next <= end else { break }
      now = next
      if let arrival, flying[arrival].at == next {
        let datagram = flying.remove(at: arrival)
        if let index = gateways.firstIndex(where: { $0.endpoint == datagram.to }),
          !silent.contains(datagram.to)
        {
          gateways[index].arrive(datagram.bytes, from: datagram.from, time)
        }
      } else if let timers {
        let before = now
        if gateways[timers.1].control.nextDeadline(now) <= now {
          gateways[timers.1].handle(.tick, time)
        }
        gateways[timers.1].release(time)
        precondition(gateways[timers.1].nextDeadline(now) > before, "a tick must make progress")
      }
      collect()
    }
    now = end
  }

  mutating func run(for duration: Duration) {
    run(until: now + duration)
  }

  var established: Bool {
    gateways.allSatisfy { $0.link(now)?.state == .established }
  }
}
