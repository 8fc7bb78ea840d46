/// A request of rtnetlink(7), put together byte by byte in the machine's order (little-endian on all
/// that Swift runs on under Linux).
public struct NetlinkMessage: Hashable, Sendable {
  public private(set) var bytes: [UInt8]

  static let headerBytes = 16

  /// - Parameters:
  ///   - type: `RTM_...`.
  ///   - flags: beside `NLM_F_REQUEST`.
  init(_ type: UInt16, flags: UInt16, sequence: UInt32 = 1) {
    bytes = []
    append(UInt32(0))
    append(type)
    append(flags | NetlinkNumbers.request)
    append(sequence)
    append(UInt32(0))
    finish()
  }

  mutating func append(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func attribute(_ type: UInt16, _ payload: some Collection<UInt8>) {
    append(UInt16(4 + payload.count))
    append(type)
    bytes.append(contentsOf: payload)
    pad()
    finish()
  }

  mutating func attribute(_ type: UInt16, number: UInt32) {
    attribute(type, (0..<4).map { UInt8(truncatingIfNeeded: number >> UInt32(8 * $0)) })
  }

  /// With its zero byte.
  mutating func attribute(_ type: UInt16, text: String) {
    attribute(type, Array(text.utf8) + [0])
  }

  mutating func nest(_ type: UInt16, _ body: (inout NetlinkMessage) -> Void) {
    let start = bytes.count
    append(UInt16(0))
    append(type)
    body(&self)
    let length = UInt16(bytes.count - start)
    bytes[start] = UInt8(truncatingIfNeeded: length)
    bytes[start + 1] = UInt8(truncatingIfNeeded: length >> 8)
    finish()
  }

  /// The header says the whole length.
  mutating func finish() {
    let length = UInt32(bytes.count)
    for index in 0..<4 { bytes[index] = UInt8(truncatingIfNeeded: length >> UInt32(8 * index)) }
  }

  private mutating func pad() {
    while bytes.count % 4 != 0 { bytes.append(0) }
  }
}

/// Numbers of `linux/netlink.h`, `linux/rtnetlink.h`, `linux/if_link.h`, `linux/if_addr.h`.
enum NetlinkNumbers {
  static let request: UInt16 = 0x1
  static let acknowledge: UInt16 = 0x4
  static let replace: UInt16 = 0x100
  static let exclusive: UInt16 = 0x200
  static let create: UInt16 = 0x400
  static let dump: UInt16 = 0x300

  static let error: UInt16 = 2
  static let done: UInt16 = 3
  static let newLink: UInt16 = 16
  static let deleteLink: UInt16 = 17
  static let getLink: UInt16 = 18
  static let newAddress: UInt16 = 20
  static let getAddress: UInt16 = 22
  static let newRoute: UInt16 = 24
  static let getRoute: UInt16 = 26
  static let newNeighbour: UInt16 = 28
}
