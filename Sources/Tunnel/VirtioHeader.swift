/// What a TUN device with `IFF_VNET_HDR` puts before every packet: whether its checksum is still to
/// be made, and how it is to be cut (virtio 1.2 section 5.1.6). Host byte order, 10 bytes.
public struct VirtioHeader: Hashable, Sendable {
  public static let size = 10

  /// What the packet behind the header is cut into.
  public enum Segmentation: UInt8, Sendable {
    case none = 0
    case tcp4 = 1
    case tcp6 = 4
    /// UDP datagrams of one size (`VIRTIO_NET_HDR_GSO_UDP_L4`), not fragments of one datagram.
    case udp = 5
  }

  /// The checksum field holds the sum of the pseudo header only.
  public var needsChecksum: Bool
  public var segmentation: Segmentation
  /// Length of all headers of the packet; a hint, zero where nothing is cut.
  public var headerLength: UInt16
  /// Payload bytes of each segment but the last, which may be shorter.
  public var segmentSize: UInt16
  /// Where summing starts, from the packet's first byte.
  public var checksumStart: UInt16
  /// Where the checksum is stored, from `checksumStart`.
  public var checksumOffset: UInt16

  private static let needsChecksumFlag: UInt8 = 1
  /// TCP with CWR set: this bit comes on top of the kind.
  private static let congestionFlag: UInt8 = 0x80

  /// A packet that is complete.
  public init() {
    needsChecksum = false
    segmentation = .none
    headerLength = 0
    segmentSize = 0
    checksumStart = 0
    checksumOffset = 0
  }

  /// `nil` for fewer than 10 bytes or a kind of segmentation that was never asked for.
  public init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= Self.size,
      let segmentation = Segmentation(rawValue: bytes[1] & ~Self.congestionFlag)
    else { return nil }
    needsChecksum = bytes[0] & Self.needsChecksumFlag != 0
    self.segmentation = segmentation
    headerLength = bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)
    segmentSize = bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
    checksumStart = bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self)
    checksumOffset = bytes.loadUnaligned(fromByteOffset: 8, as: UInt16.self)
  }

  /// Writes the 10 bytes; the room is the caller's.
  public func write(to bytes: UnsafeMutableRawPointer) {
    bytes.storeBytes(of: needsChecksum ? Self.needsChecksumFlag : 0, as: UInt8.self)
    bytes.storeBytes(of: segmentation.rawValue, toByteOffset: 1, as: UInt8.self)
    bytes.storeBytes(of: headerLength, toByteOffset: 2, as: UInt16.self)
    bytes.storeBytes(of: segmentSize, toByteOffset: 4, as: UInt16.self)
    bytes.storeBytes(of: checksumStart, toByteOffset: 6, as: UInt16.self)
    bytes.storeBytes(of: checksumOffset, toByteOffset: 8, as: UInt16.self)
  }
}
