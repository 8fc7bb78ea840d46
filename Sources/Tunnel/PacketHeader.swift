/// What a datagram of the tunnel carries: the upper half of its first byte.
public enum PacketKind: UInt8, Sendable {
  /// An inner packet.
  case data = 1
  /// A handshake datagram, sealed under the static keys (see `HandshakeDatagram`).
  case handshake = 2
  /// A session message (probe, rekey, close), sealed like data on the control lane.
  case session = 3
  /// Another gateway's datagram on its way through a common member (see `RelayAddress`), sealed like
  /// data in the session with the one that hands it on.
  case relay = 4
}

/// The 16 authenticated bytes in front of a data or session packet (`tunnel.md`, wire format).
public struct PacketHeader: Hashable, Sendable {
  public static let size = 16
  public static let tagSize = 16
  /// Bytes that the tunnel adds to an inner packet, before UDP and IP.
  public static let overhead = size + tagSize
  public static let version: UInt8 = 1
  /// The inner TCP or UDP checksum is left to the receiver.
  public static let partialChecksum: UInt8 = 0b0000_0001
  /// Bit 0: inner checksum partial. Bits 4 and 5: traffic class.
  public static let knownFlags: UInt8 = 0b0011_0001

  public var kind: PacketKind
  public var flags: UInt8
  /// The low 16 bits of the epoch.
  public var epoch: UInt16
  /// The session, as its receiver numbers it.
  public var receiver: UInt32
  /// Lane in the top 8 bits, then 56 bits that count packets of that lane and epoch.
  public var counter: UInt64

  public init(kind: PacketKind, flags: UInt8, epoch: UInt16, receiver: UInt32, counter: UInt64) {
    self.kind = kind
    self.flags = flags
    self.epoch = epoch
    self.receiver = receiver
    self.counter = counter
  }

  public var lane: UInt8 { UInt8(truncatingIfNeeded: counter >> 56) }
  public var sequence: UInt64 { counter & TunnelLimits.counter }

  /// The kind of a datagram by its first byte; `nil` for an unknown kind or version.
  public static func kind(of first: UInt8) -> PacketKind? {
    first & 0x0f == version ? PacketKind(rawValue: first >> 4) : nil
  }

  /// `nil` where the bytes are no data or session packet of this version. Never traps.
  public init?(_ packet: UnsafeRawBufferPointer) {
    guard packet.count >= Self.overhead, let kind = Self.kind(of: packet[0]), kind != .handshake,
      packet[1] & ~Self.knownFlags == 0
    else { return nil }
    self.kind = kind
    flags = packet[1]
    epoch = UInt16(bigEndian: packet.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
    receiver = UInt32(bigEndian: packet.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    counter = UInt64(bigEndian: packet.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
  }

  /// Writes the 16 bytes; the buffer is the caller's and at least that long.
  public func write(to packet: UnsafeMutableRawBufferPointer) {
    precondition(packet.count >= Self.size, "the sender lays out room for the header")
    packet[0] = kind.rawValue << 4 | Self.version
    packet[1] = flags
    packet.storeBytes(of: epoch.bigEndian, toByteOffset: 2, as: UInt16.self)
    packet.storeBytes(of: receiver.bigEndian, toByteOffset: 4, as: UInt32.self)
    packet.storeBytes(of: counter.bigEndian, toByteOffset: 8, as: UInt64.self)
  }
}

/// The 12-byte initialisation vector of one key.
public struct PacketIV: Hashable, Sendable {
  public var high: UInt32
  public var low: UInt64

  public init(high: UInt32, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// `nil` unless there are exactly 12 bytes.
  public init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == 12 else { return nil }
    high = bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    low = bytes.dropFirst(4).reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// nonce = iv XOR (0^32 ‖ counter).
  public func nonce(_ counter: UInt64) -> PacketIV {
    PacketIV(high: high, low: low ^ counter)
  }

  /// Big-endian, as AES-GCM takes it.
  public var bytes: [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: high >> (24 - 8 * UInt32($0))) }
      + (0..<8).map { UInt8(truncatingIfNeeded: low >> (56 - 8 * UInt64($0))) }
  }
}
