public import Base

/// Where the datagrams of a link go.
public enum TunnelTarget: Hashable, Sendable {
  case address(IPEndpoint)
  /// Through the gateway of another link (its number in the tables), for the gateway that has this
  /// address.
  case relay(link: Int, addressee: RelayAddress)

  var endpoint: IPEndpoint? {
    if case .address(let endpoint) = self { endpoint } else { nil }
  }

  var relay: Int? {
    if case .relay(let link, _) = self { link } else { nil }
  }

  /// Unambiguous bytes, for cookies.
  var encoded: [UInt8] {
    var writer = ByteWriter(reserving: 24)
    switch self {
    case .address(let endpoint):
      writer.u8(0)
      writer.raw(endpoint.address.bytes)
      writer.u16(endpoint.port)
    case .relay(let link, let addressee):
      writer.u8(1)
      writer.u32(UInt32(truncatingIfNeeded: link))
      writer.u64(addressee.value)
    }
    return writer.bytes
  }
}

/// From where a datagram came.
public enum TunnelSource: Hashable, Sendable {
  case address(IPEndpoint)
  /// The gateway of this link handed it on.
  case relay(link: Int)
}

/// What a gateway is called in relayed packets: derived from slice, cluster and replica, so that every
/// member knows it without being told.
public struct RelayAddress: Hashable, Comparable, Sendable {
  public let value: UInt64

  /// Bytes of it in front of the datagram.
  public static let size = 8
  /// What a relay costs a datagram: a packet of the session with it, and the address.
  public static let overhead = PacketHeader.overhead + size

  init(slice: String, gateway: GatewayName, _ crypto: TunnelCrypto) {
    var info = ByteWriter()
    info.text("starling-tunnel-v1 relay")
    info.text(slice)
    info.raw(gateway.encoded)
    value = crypto.derive([], [], info.bytes, 8).reduce(0) { $0 << 8 | UInt64($1) }
  }

  init(value: UInt64) {
    self.value = value
  }

  /// Reads the address in front of a relayed datagram; `nil` where nothing that could be a datagram of
  /// ours follows. A relayed packet in a relayed packet is none.
  static func read(_ content: UnsafeRawBufferPointer) -> RelayAddress? {
    guard content.count >= size + PacketHeader.overhead,
      let kind = PacketHeader.kind(of: content[size]), kind != .relay
    else { return nil }
    let value = UInt64(bigEndian: content.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
    return RelayAddress(value: value)
  }

  /// Writes the 8 bytes; the buffer is at least that long.
  public func write(to content: UnsafeMutableRawBufferPointer) {
    precondition(content.count >= Self.size, "the sender lays out room for the address")
    content.storeBytes(of: value.bigEndian, toByteOffset: 0, as: UInt64.self)
  }

  /// The content of a relayed packet.
  public func wrap(_ datagram: [UInt8]) -> [UInt8] {
    var writer = ByteWriter(reserving: Self.size + datagram.count)
    writer.u64(value)
    writer.raw(datagram)
    return writer.bytes
  }

  public static func < (a: Self, b: Self) -> Bool { a.value < b.value }
}

/// Who is meant by an address of relayed packets.
public struct RelayEntry: Hashable, Comparable, Sendable {
  public var address: RelayAddress
  public var slice: String
  /// The link to that gateway; `nil`: this gateway itself.
  public var link: Int?

  public static func < (a: Self, b: Self) -> Bool { a.address < b.address }
}
