import Base
import Tunnel

/// What a gateway gets from the network and from its device: handshakes, data, session messages and
/// inner packets, past a cryptography that refuses nothing.
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
  var outbox: [[UInt8]] = []
  let far: IPEndpoint

  init(_ index: Int, of names: [GatewayName], blocks: [IPPrefix]) {
    let other = 1 - index
    far = IPEndpoint(IPAddress(v4: 0x0a00_0001 + UInt32(other)), port: 7_900)
    control = TunnelControl(
      name: names[index], staticKey: [UInt8](repeating: 1 + UInt8(index), count: 32),
      crypto: GlassCrypto.crypto, provider: CountingTLS.provider, seed: UInt64(index))
    let link = LinkConfig(
      id: LinkID(slice: "blue", cluster: names[other].cluster, replica: names[other].replica),
      endpoints: [far], staticKey: [UInt8](repeating: 1 + UInt8(other), count: 32), trust: [1],
      localBlocks: [blocks[index]], remoteBlocks: [blocks[other]])
    handle(.configure([link]))
  }

  mutating func handle(_ input: TunnelInput) {
    var effects: [TunnelEffect] = []
    control.handle(input, now: Now(instant: now, wallMilliseconds: 1), effects: &effects)
    for effect in effects { perform(effect) }
  }

  private mutating func perform(_ effect: TunnelEffect) {
    switch effect {
    case .send(let bytes, _): outbox.append(bytes)
    case .sendMessage(let id, let bytes):
      if case .seal(let ticket) = transmit.admitControl(id, count: bytes.count) {
        outbox.append(seal(bytes, ticket))
      }
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
    case .challenge(let id, let bytes, _):
      if case .seal(let ticket) = transmit.admitControl(id, count: bytes.count) {
        outbox.append(seal(bytes, ticket))
      }
    case .retarget(let id, let target): transmit.retarget(id, target)
    case .relays(let entries): receive.setRelays(entries)
    case .active(let link, let id): transmit.setActive(link, id)
    case .mtu, .event: break
    }
  }

  private func seal(_ text: [UInt8], _ ticket: TransmitTable.Ticket) -> [UInt8] {
    var header = [UInt8](repeating: 0, count: PacketHeader.size)
    header.withUnsafeMutableBytes { ticket.header.write(to: $0) }
    return header + text + GlassCrypto.tag
  }

  /// From the slice's device.
  mutating func inject(_ packet: [UInt8]) {
    let admission = packet.withUnsafeBytes { transmit.admit($0, device: 0, lane: 0) }
    if case .seal(let ticket) = admission { outbox.append(seal(packet, ticket)) }
  }

  /// From the network.
  mutating func arrive(_ datagram: [UInt8]) {
    switch datagram.withUnsafeBytes({ receive.admit($0) }) {
    case .drop: return
    case .handshake: handle(.datagram(datagram, from: .address(far)))
    case .open(let ticket):
      let text = Array(datagram.dropFirst(PacketHeader.size).dropLast(PacketHeader.tagSize))
      var heard = false
      let epoch = receive.epoch(of: ticket)
      let acceptance = text.withUnsafeBytes { receive.accept(ticket, content: $0, heard: &heard) }
      if heard { handle(.heard(ticket.session, epoch: epoch)) }
      switch acceptance {
      case .drop, .deliver: return
      case .control: handle(.message(ticket.session, text))
      case .relayed: arrive(Array(text.dropFirst(RelayAddress.size)))
      case .forward(let link):
        _ = transmit.admitRelayed(link, lane: 0, segments: 1, bytes: text.count, others: true)
      }
    }
  }
}

/// Two gateways that shake hands, talk, and change keys; what the second one received.
private struct TunnelRecording {
  let fresh: FuzzGateway
  private(set) var established: FuzzGateway
  private(set) var datagrams: [[UInt8]] = []

  init() {
    let names = ["a", "b"].map { GatewayName(cluster: $0, replica: "0") }
    let blocks = ["10.11.0.0/20", "10.11.16.0/20"].compactMap { IPPrefix($0) }
    precondition(blocks.count == 2)
    var near = FuzzGateway(0, of: names, blocks: blocks)
    fresh = FuzzGateway(1, of: names, blocks: blocks)
    established = fresh
    for step in 0..<200 {
      near.now = near.now + .milliseconds(20)
      established.now = near.now
      if step == 100 { near.handle(.rekey) }
      near.inject(innerPackets[0])
      near.handle(.tick)
      established.handle(.tick)
      let (there, back) = (near.outbox, established.outbox)
      (near.outbox, established.outbox) = ([], [])
      for datagram in there { established.arrive(datagram) }
      for datagram in back { near.arrive(datagram) }
      // The handshake and the first data, then now and then.
      if datagrams.count < 24 || step % 20 == 1 { datagrams += there }
    }
    let states = established.control.status(established.now).map(\.state)
    precondition(states == [.established], "the gateways of the fuzzer did not meet: \(states)")
    var closing = near
    closing.handle(.stop)
    datagrams += closing.outbox
    established.outbox = []
  }
}
