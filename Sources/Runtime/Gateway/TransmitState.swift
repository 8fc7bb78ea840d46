internal import CLinux
internal import Tunnel

/// What the sending plane's lock guards.
struct TransmitState {
  /// The sending thread's lane: no other thread seals data under its keys.
  static let lane = 0

  private struct Path {
    var target: starling_endpoint
    /// The kernel cuts trains for it.
    var isWhole: Bool
  }

  var table = TransmitTable()
  /// Beside the table, by its cipher index.
  var ciphers = PacketCiphers(encrypts: true)
  /// Where a session's packets go, by its slot.
  private var paths: [Path] = []

  /// Seals segments of a packet behind those that wait, as many as there is room for; gives the first
  /// that is still to be done. What goes no further is counted and done.
  mutating func seal(
    _ packet: OutboundPacket, from first: Int, device: Int, _ trains: inout DatagramTrains,
    _ worn: inout SessionID?
  ) -> Int {
    let largest = packet.size(of: first) + PacketHeader.overhead
    let count = min(packet.count - first, trains.room(for: largest))
    guard count > 0 else { return first }
    let last = packet.size(of: first + count - 1)
    let bytes = (count - 1) * packet.size(of: first) + last
    guard
      case .seal(let ticket) = table.admit(
        packet.inner, packet.bytes, segments: count, bytes: bytes, flags: packet.flags,
        device: device, lane: Self.lane)
    else { return packet.count }
    if ticket.wantsRekey { worn = ticket.session }
    guard let cipher = ciphers[ticket.cipher] else {
      table.sendFailed(ticket.session, tooBig: false, packets: count)
      return packet.count
    }
    let slot = ticket.session.slot
    var header = ticket.header
    for index in first..<first + count {
      let out = trains.next
      let size = packet.size(of: index)
      header.write(to: UnsafeMutableRawBufferPointer(start: out, count: PacketHeader.size))
      packet.write(
        index, to: UnsafeMutableRawBufferPointer(start: out + PacketHeader.size, count: size))
      if cipher.seal(out, length: size, counter: header.counter) {
        trains.append(
          size + PacketHeader.overhead, session: ticket.session, target: paths[slot].target,
          isWhole: paths[slot].isWhole)
      } else {
        table.sendFailed(ticket.session, tooBig: false)
      }
      header.counter &+= 1
    }
    return first + count
  }

  /// Seals a session message; `nil` where its session cannot send.
  mutating func seal(
    _ message: [UInt8], _ id: SessionID
  ) -> (datagram: [UInt8], to: starling_endpoint)? {
    guard case .seal(let ticket) = table.admitControl(id, count: message.count),
      let cipher = ciphers[ticket.cipher]
    else { return nil }
    var packet = [UInt8](repeating: 0, count: PacketHeader.size)
    packet.withUnsafeMutableBytes { ticket.header.write(to: $0) }
    packet += message
    packet += [UInt8](repeating: 0, count: PacketHeader.tagSize)
    let sealed = packet.withUnsafeMutableBufferPointer { buffer in
      buffer.baseAddress.map {
        cipher.seal($0, length: message.count, counter: ticket.header.counter)
      }
    }
    return sealed == true ? (packet, paths[id.slot].target) : nil
  }

  mutating func setTarget(_ target: starling_endpoint, _ id: SessionID) {
    let unknown = Path(target: starling_endpoint(), isWhole: true)
    while paths.count <= id.slot { paths.append(unknown) }
    paths[id.slot] = Path(target: target, isWhole: true)
  }

  /// The kernel cuts no trains on this session's path.
  mutating func sendSingly(_ id: SessionID) {
    paths[id.slot].isWhole = false
  }
}
