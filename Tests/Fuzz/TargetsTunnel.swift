import Base
import Tunnel

/// What a gateway gets from the network and from its device: handshakes, data, session messages, what
/// it is to hand on for others, and inner packets, past a cryptography that refuses nothing.
func tunnelTarget() -> FuzzTarget {
  let recording = TunnelRecording()
  var gateway = recording.fresh
  var count = 0
  return FuzzTarget(name: "tunnel", corpus: recording.datagrams + innerPackets) { input in
    // From the start and from the middle of a session, in turn.
    if count.isMultiple(of: 16) {
      gateway = count.isMultiple(of: 32) ? recording.fresh : recording.established
    }
    count += 1
    gateway.now = gateway.now + .milliseconds(20)
    gateway.arrive(input)
    gateway.inject(input)
    if count.isMultiple(of: 8) { gateway.handle(.tick) }
    gateway.outbox = []
  }
}

/// The smallest IPv4 and IPv6 packets with ports, and one with IPv4 options.
let innerPackets: [[UInt8]] = [
  [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 11, 0, 5, 10, 11, 16, 5, 0, 9, 0, 53, 0, 8, 0, 0],
  [
    0x46, 0, 0, 28, 0, 0, 0x20, 1, 64, 6, 0, 0, 10, 11, 16, 5, 10, 11, 0, 5, 1, 1, 1, 1, 0, 9, 0, 1,
  ],
  [0x60, 0, 0, 0, 0, 8, 17, 64] + [UInt8](repeating: 0xfd, count: 32) + [0, 9, 0, 53, 0, 8, 0, 0],
]

/// A gateway as `Runtime/Gateway` wires it, without sockets.
private struct FuzzGateway {
  var control: TunnelControl
  var receive = ReceiveTable()
  var transmit = TransmitTable()
  var now = Instant(nanoseconds: 1_000_000_000)
  var outbox: [(bytes: [UInt8], to: IPEndpoint)] = []

  /// `apart`: gateways whose addresses it does not know.
  init(_ index: Int, of names: [GatewayName], blocks: [IPPrefix], apart: Set<Int> = []) {
    control = TunnelControl(
      name: names[index], staticKey: Self.key(index), crypto: GlassCrypto.crypto,
      provider: CountingTLS.provider, seed: UInt64(index))
    let links = names.indices.filter { $0 != index }.map { other in
      LinkConfig(
        id: LinkID(slice: "blue", cluster: names[other].cluster, replica: names[other].replica),
        endpoints: apart.contains(other) ? [] : [Self.endpoint(other)],
        staticKey: Self.key(other), trust: [1], localBlocks: [blocks[index]],
        remoteBlocks: [blocks[other]])
    }
    handle(.configure(links))
  }

  static func endpoint(_ index: Int) -> IPEndpoint {
    IPEndpoint(IPAddress(v4: 0x0a00_0001 + UInt32(index)), port: 7_900)
  }

  private static func key(_ index: Int) -> [UInt8] {
    [UInt8](repeating: 1 + UInt8(index), count: 32)
  }

  mutating func handle(_ input: TunnelInput) {
    var effects: [TunnelEffect] = []
    control.handle(input, now: Now(instant: now, wallMilliseconds: 1), effects: &effects)
    for effect in effects { perform(effect) }
  }

  private mutating func perform(_ effect: TunnelEffect) {
    switch effect {
    case .send(let bytes, let target): send(bytes, to: target)
    case .sendMessage(let id, let bytes): say(bytes, on: id)
    case .tags(let tags): receive.setTags(tags)
    case .openLink(let link, _):
      receive.openLink(link)
      transmit.openLink(link)
    case .open(let opening):
      receive.open(opening, device: 0)
      transmit.open(opening)
    case .close(let id):
      _ = receive.close(id)
      _ = transmit.close(id)
    case .setBlocks(let id, let local, let remote):
      receive.setBlocks(id, local: local, remote: remote)
    case .installReceive(let id, let epoch, _): _ = receive.install(id, epoch: epoch)
    case .installSend(let id, let epoch, _): _ = transmit.install(id, epoch: epoch)
    case .removeReceive(let id, let epoch): _ = receive.remove(id, epoch: epoch)
    case .halt(let id): transmit.halt(id)
    case .routes(_, let routes): transmit.setRoutes(routes, device: 0)
    case .challenge(let id, let bytes, _): say(bytes, on: id)
    case .retarget(let id, let target): transmit.retarget(id, target)
    case .relays(let entries): receive.setRelays(entries)
    case .active(let link, let id): transmit.setActive(link, id)
    case .mtu, .event: break
    }
  }

  private mutating func say(_ bytes: [UInt8], on id: SessionID) {
    if case .seal(let ticket) = transmit.admitControl(id, count: bytes.count) {
      seal(bytes, ticket)
    }
  }

  private mutating func seal(_ text: [UInt8], _ ticket: TransmitTable.Ticket) {
    var header = [UInt8](repeating: 0, count: PacketHeader.size)
    header.withUnsafeMutableBytes { ticket.header.write(to: $0) }
    guard let target = transmit.target(of: ticket.session) else { return }
    send(header + text + GlassCrypto.tag, to: target)
  }

  private mutating func send(_ datagram: [UInt8], to target: TunnelTarget) {
    switch target {
    case .address(let endpoint): outbox.append((datagram, endpoint))
    case .relay(let link, let addressee): relay(addressee.wrap(datagram), link, others: false)
    }
  }

  private mutating func relay(_ content: [UInt8], _ link: Int, others: Bool) {
    let admission = transmit.admitRelayed(
      link, lane: 0, segments: 1, bytes: content.count, others: others)
    if case .seal(let ticket) = admission { seal(content, ticket) }
  }

  /// From the slice's device.
  mutating func inject(_ packet: [UInt8]) {
    let admission = packet.withUnsafeBytes { transmit.admit($0, device: 0, lane: 0) }
    if case .seal(let ticket) = admission { seal(packet, ticket) }
  }

  /// From the network.
  mutating func arrive(
    _ datagram: [UInt8], from source: TunnelSource = .address(endpoint(0))
  ) {
    switch datagram.withUnsafeBytes({ receive.admit($0) }) {
    case .drop: return
    case .handshake: handle(.datagram(datagram, from: source))
    case .open(let ticket):
      let text = Array(datagram.dropFirst(PacketHeader.size).dropLast(PacketHeader.tagSize))
      var heard = false
      let epoch = receive.epoch(of: ticket)
      let acceptance = text.withUnsafeBytes { receive.accept(ticket, content: $0, heard: &heard) }
      if heard { handle(.heard(ticket.session, epoch: epoch)) }
      switch acceptance {
      case .drop, .deliver: return
      case .control: handle(.message(ticket.session, text))
      case .relayed(let link):
        arrive(Array(text.dropFirst(RelayAddress.size)), from: .relay(link: link))
      case .forward(let link):
        guard receive.mayForward(ticket, bytes: text.count, now: now) else { return }
        relay(text, link, others: true)
      }
    }
  }
}

/// Three gateways that shake hands, talk, and change keys, two of them over the second one only; what
/// the second one received.
private struct TunnelRecording {
  let fresh: FuzzGateway
  private(set) var established: FuzzGateway
  private(set) var datagrams: [[UInt8]] = []

  init() {
    let names = ["a", "b", "c"].map { GatewayName(cluster: $0, replica: "0") }
    let blocks = ["10.11.0.0/20", "10.11.16.0/20", "10.11.32.0/20"].compactMap { IPPrefix($0) }
    precondition(blocks.count == 3)
    fresh = FuzzGateway(1, of: names, blocks: blocks)
    var gateways = [
      FuzzGateway(0, of: names, blocks: blocks, apart: [2]), fresh,
      FuzzGateway(2, of: names, blocks: blocks, apart: [0]),
    ]
    established = fresh
    // From the first to the third.
    var acrossTheSecond = innerPackets[0]
    acrossTheSecond[18] = 32
    var relayed = 0
    for step in 0..<400 {
      for index in gateways.indices {
        gateways[index].now = gateways[index].now + .milliseconds(20)
        if step == 200 { gateways[index].handle(.rekey) }
        gateways[index].handle(.tick)
      }
      gateways[0].inject(innerPackets[0])
      gateways[0].inject(acrossTheSecond)
      let flying = gateways.enumerated().flatMap { index, gateway in
        gateway.outbox.map { (from: FuzzGateway.endpoint(index), $0.bytes, to: $0.to) }
      }
      for index in gateways.indices {
        gateways[index].outbox = []
        for (from, bytes, to) in flying where to == FuzzGateway.endpoint(index) {
          gateways[index].arrive(bytes, from: .address(from))
        }
      }
      for (_, bytes, to) in flying where to == FuzzGateway.endpoint(1) {
        // The handshakes and the first data, then now and then; of what is handed on as much.
        let isRelayed = PacketHeader.kind(of: bytes[0]) == .relay
        guard isRelayed ? relayed < 64 : datagrams.count < 32 || step % 20 == 1 else { continue }
        if isRelayed { relayed += 1 }
        datagrams.append(bytes)
      }
    }
    for gateway in gateways {
      let states = gateway.control.status(gateway.now).map(\.state)
      precondition(states == [.established, .established], "they did not meet: \(states)")
    }
    precondition(relayed > 16, "nothing was relayed")
    established = gateways[1]
    gateways[0].handle(.stop)
    datagrams += gateways[0].outbox.map(\.bytes)
    established.outbox = []
  }
}
