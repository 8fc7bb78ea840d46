internal import Base
internal import Membership
internal import Peer

/// With a wire format everything travels as the bytes that the daemon sends. Streams carry their frames
/// without TLS.
extension Simulation {
  func admit(on machine: Machine) {
    guard let wire = world.wire, let process = machine.process else { return }
    let peers = process.look { $0.admitted.values.map { (id: $0.id, key: $0.key) } }
    wire.admit(peers, on: machine.index, now: now)
  }

  func send(
    _ messages: [PeerMessage], from machine: Machine, to node: NodeID, _ wire: any WireFormat
  ) {
    guard let to = indices[node] else { return }
    let packets = wire.pack(messages, from: machine.index, to: to, id: node, now: now)
    // What waits for an answer first is observed with the packet that asks for it.
    let bytes = packets.reduce(0) { $0 + $1.bytes.count + Self.datagramHeaders }
    for observer in observers {
      observer.sent(messages, bytes: bytes, from: machine.index, to: to, isStream: false, self)
    }
    send(packets, from: machine, areObserved: true)
  }

  /// Of IPv4 and UDP; those of sealing are in the packet.
  private static let datagramHeaders = 28

  private func send(_ packets: [Packet], from machine: Machine, areObserved: Bool) {
    for packet in packets {
      let bytes = packet.bytes.count + Self.datagramHeaders
      machine.traffic.datagrams += 1
      machine.traffic.datagramBytes += bytes
      if !areObserved {
        for observer in observers {
          observer.sent(
            [], bytes: bytes, from: machine.index, to: packet.to, isStream: false, self)
        }
      }
      guard
        let at = network.arrival(from: machine.index, to: packet.to, bytes: bytes, now: now)
      else { continue }
      let event = Event.packet(
        from: Int32(machine.index), life: machines[packet.to].life,
        network.isCorrupted() ? network.corrupted(packet.bytes) : packet.bytes)
      queue.add(event, for: packet.to, at: at)
      if network.isDuplicated() {
        let later = at + .nanoseconds(network.travel(machine.index, packet.to) / 4)
        queue.add(event, for: packet.to, at: later)
      }
    }
    guard let due = world.wire?.deadline(of: machine.index), due < machine.pollAt else { return }
    machine.pollAt = due
    queue.add(.poll(life: machine.life), for: machine.index, at: max(due, now))
  }

  func poll(_ machine: Machine) {
    machine.pollAt = .distantFuture
    guard let wire = world.wire else { return }
    send(wire.poll(machine.index, now: now), from: machine, areObserved: false)
  }

  func unpack(_ bytes: [UInt8], from: Int, at machine: Machine) {
    guard let wire = world.wire, machine.isUp else { return }
    let unpacked = wire.unpack(bytes, from: from, at: machine.index, now: now)
    send(unpacked.answers, from: machine, areObserved: false)
    if !unpacked.messages.isEmpty { receive(unpacked.messages, from: from, at: machine) }
  }

  /// As it is once it was written and read; `nil` where a codec refuses it.
  func throughWire(_ message: PeerMessage, from machine: Machine) -> PeerMessage? {
    guard let wire = world.wire else { return message }
    return wire.messages(ofFrame: wire.frame(message, from: machine.index))?.first
  }
}
