public import Base
internal import Membership
public import Peer
internal import Replication

/// Which machines have a connection, and when what was sent on it last arrives: streams keep order.
struct StreamTable {
  struct Connection {
    var lastArrival: Int64
    var lastUse: Int64
  }

  /// Idle connections are closed.
  static let idleLimit: Int64 = 60_000_000_000
  private var open: [UInt64: Connection] = [:]

  /// When a frame arrives that takes `flight` from `now` on; `setUp` where a connection is needed first.
  mutating func arrival(
    from: Int, to: Int, now: Instant, flight: Int64, setUp: Int64
  ) -> Instant {
    let key = UInt64(from) << 32 | UInt64(to)
    let back = UInt64(to) << 32 | UInt64(from)
    var ready = now.nanoseconds
    let latest = max(open[key]?.lastUse ?? .min, open[back]?.lastUse ?? .min)
    if latest < ready - Self.idleLimit { ready += setUp }
    let arrival = max(ready + flight, open[key]?.lastArrival ?? .min)
    open[key] = Connection(lastArrival: arrival, lastUse: arrival)
    if open.count > 65_536 { close(before: now.nanoseconds - Self.idleLimit) }
    return Instant(nanoseconds: arrival)
  }

  private mutating func close(before time: Int64) {
    open = open.filter { $0.value.lastUse >= time }
  }

  /// A crash or a cut ends a machine's connections.
  mutating func drop(_ machine: Int) {
    open = open.filter { $0.key >> 32 != machine && $0.key & 0xffff_ffff != machine }
  }

  mutating func dropAll() { open = [:] }
}

extension PeerMessage {
  /// Bytes as one entry of an envelope.
  var encodedSize: Int {
    switch self {
    case .membership(let message): message.encodedSize
    case .sync(let message): message.encodedSize
    case .streamPing, .streamPong: 6
    case .introduce(let changesets): changesets.reduce(8) { $0 + $1.encodedSize + 4 }
    case .refused(let reason): 8 + reason.utf8.count
    }
  }
}

extension Simulation {
  // MARK: Effects

  func perform(_ effect: Peer.Effect, of machine: Machine) {
    switch effect {
    case .datagram(let to, let messages):
      let said = machine.tamper.map { messages.compactMap($0) } ?? messages
      if !said.isEmpty { sendDatagram(said, from: machine, to: to) }
    case .frame(let to, let message):
      let said = machine.tamper.map { $0(message) } ?? message
      if let said { sendFrame(said, from: machine, to: to) }
    case .probeStream(let to): sendFrame(.streamPing(0), from: machine, to: to)
    case .contactSeed(let address, _): contact(address, from: machine)
    case .store(let changesets): write(changesets, on: machine)
    case .forget(let ids): write([], forget: ids, on: machine)
    case .judged(let ticket, let verdicts): self.verdicts[ticket] = verdicts
    case .confirmed(let id, let node): confirmations[id, default: [:]][node] = now
    case .persistBootEpoch(let epoch):
      machine.disk.bootEpoch = max(machine.disk.bootEpoch, epoch)
    case .peersChanged: admit(on: machine)
    case .answer, .registersChanged, .event: break
    }
  }

  public func sendDatagram(_ messages: [PeerMessage], from machine: Machine, to node: NodeID) {
    if let wire = world.wire { return send(messages, from: machine, to: node, wire) }
    let bytes = messages.reduce(Traffic.datagramOverhead) { $0 + $1.encodedSize }
    machine.traffic.datagrams += 1
    machine.traffic.datagramBytes += bytes
    guard let to = indices[node] else { return }
    for observer in observers {
      observer.sent(messages, bytes: bytes, from: machine.index, to: to, isStream: false, self)
    }
    guard let at = network.arrival(from: machine.index, to: to, bytes: bytes, now: now) else {
      return
    }
    let event = Event.datagram(from: Int32(machine.index), life: machines[to].life, messages)
    queue.add(event, for: to, at: at)
    if network.isDuplicated() {
      let later = at + .nanoseconds(network.travel(machine.index, to) / 4)
      queue.add(event, for: to, at: later)
    }
  }

  public func sendFrame(_ message: PeerMessage, from machine: Machine, to node: NodeID) {
    let framed = world.wire?.frame(message, from: machine.index)
    let bytes = (framed?.count ?? message.encodedSize) + Traffic.frameOverhead
    machine.traffic.frames += 1
    machine.traffic.streamBytes += bytes
    guard let to = indices[node] else { return }
    for observer in observers {
      observer.sent([message], bytes: bytes, from: machine.index, to: to, isStream: true, self)
    }
    let (from, life) = (Int32(machine.index), machines[to].life)
    let event: Event =
      framed.map { .framed(from: from, life: life, $0) }
      ?? .frame(from: from, life: life, message)
    guard let at = streamArrival(from: machine.index, to: to, bytes: bytes) else { return }
    queue.add(event, for: to, at: at)
  }

  /// `nil` where no connection can be had.
  private func streamArrival(from: Int, to: Int, bytes: Int) -> Instant? {
    guard machines[to].isUp, !network.isCut(from, to), !network.isCut(to, from) else { return nil }
    let flight = network.segment(from, to) + Int64(Double(bytes) / network.bandwidth * 1e9)
    // TCP's round trip and TLS 1.3's.
    let setUp = network.segment(from, to) + network.segment(to, from) + 2 * network.travel(from, to)
    return connections.arrival(from: from, to: to, now: now, flight: flight, setUp: setUp)
  }

  /// A connection to an address; as the daemon does, the caller introduces itself on it.
  private func contact(_ address: String, from machine: Machine) {
    guard let to = addresses[address], to != machine.index,
      let proof = machine.process?.peer.introduction(),
      let message = throughWire(.introduce(proof), from: machine),
      let at = streamArrival(from: machine.index, to: to, bytes: 4_096)
    else { return }
    machine.traffic.frames += 1
    machine.traffic.streamBytes += message.encodedSize + Traffic.frameOverhead
    queue.add(
      .introduction(from: Int32(machine.index), life: machines[to].life, message), for: to, at: at)
  }

  // MARK: Arrivals

  func perform(_ event: Event, at machine: Machine) {
    switch event {
    case .datagram(let from, let life, let messages):
      guard machine.life == life else { return }
      receive(messages, from: Int(from), at: machine)
    case .frame(let from, let life, let message):
      guard machine.life == life else { return }
      receive([message], from: Int(from), at: machine)
      if case .introduce = message { introduceBack(machine, to: Int(from)) }
    case .packet(let from, let life, let bytes):
      guard machine.life == life else { return }
      unpack(bytes, from: Int(from), at: machine)
    case .framed(let from, let life, let bytes):
      guard machine.life == life else { return }
      for message in world.wire?.messages(ofFrame: bytes) ?? [] {
        perform(.frame(from: from, life: life, message), at: machine)
      }
    case .poll(let life):
      guard machine.life == life else { return }
      poll(machine)
    case .stored(let life, let number):
      guard machine.life == life else { return }
      stored(number, at: machine)
    case .introduction(let from, let life, let message):
      guard machine.life == life else { return }
      meet(message, from: Int(from), at: machine, answers: true)
    case .answer(let from, let life, let message):
      guard machine.life == life else { return }
      meet(message, from: Int(from), at: machine, answers: false)
    case .identified(let other, let life):
      guard machine.life == life else { return }
      handle(.received(from: machines[Int(other)].id, []), at: machine.index)
    case .script(let action): action(self)
    }
  }

  func receive(_ messages: [PeerMessage], from: Int, at machine: Machine) {
    if let program = machine.program { return program(self, machines[from].id, messages) }
    handle(.received(from: machines[from].id, messages), at: machine.index)
  }

  /// A store writes in the order in which it was asked to, also where word of the first is late: that of
  /// a machine that stood still.
  private func stored(_ number: UInt64, at machine: Machine) {
    while let write = machine.disk.unsynced.first, write.number <= number {
      machine.disk.unsynced.removeFirst()
      machine.disk.apply(write.changesets, write.forgotten)
      if !write.changesets.isEmpty {
        handle(.stored(write.changesets.map(\.id)), at: machine.index)
      }
    }
  }

  private func introduceBack(_ machine: Machine, to other: Int) {
    guard let proof = machine.process?.peer.introduction(to: machines[other].id), !proof.isEmpty,
      machines[other].process?.peer.membership.state(of: machine.id).isPresent != true
    else { return }
    answer(.introduce(proof), from: machine, to: other)
  }

  private func answer(_ message: PeerMessage, from machine: Machine, to other: Int) {
    guard let message = throughWire(message, from: machine) else { return }
    let bytes = message.encodedSize + Traffic.frameOverhead
    machine.traffic.frames += 1
    machine.traffic.streamBytes += bytes
    guard let at = streamArrival(from: machine.index, to: other, bytes: bytes) else { return }
    queue.add(
      .answer(from: Int32(machine.index), life: machines[other].life, message), for: other, at: at)
  }

  /// The daemon's rule: an admitted far side is heard as a member, another one is introduced, and once
  /// its proof is taken both know each other.
  private func meet(_ message: PeerMessage, from: Int, at machine: Machine, answers: Bool) {
    guard let peer = machine.peer, case .introduce(let changesets) = message else { return }
    let sender = machines[from].id
    if peer.admitted[sender] == nil, !changesets.isEmpty {
      handle(.introduced(UInt64(from), changesets), at: machine.index)
    } else {
      handle(.received(from: sender, [message]), at: machine.index)
    }
    guard machine.process?.peer.admitted[sender] != nil else { return }
    if answers, let proof = machine.process?.peer.introduction(to: sender), !proof.isEmpty {
      answer(.introduce(proof), from: machine, to: from)
    }
    handle(.received(from: sender, []), at: machine.index)
  }
}
