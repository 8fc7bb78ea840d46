public import Base

/// A session as its own gateway numbers it: 20 random bits, then the slot in the tables.
///
/// The slot makes looking it up an index without hashing; the random bits keep packets of a session
/// before a restart from reaching another one's keys.
public struct SessionID: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let index: UInt32

  static let slotBits: UInt32 = 12

  public init(index: UInt32) {
    self.index = index
  }

  init(slot: Int, random: UInt32) {
    index = random << Self.slotBits | UInt32(slot)
  }

  public var slot: Int { Int(index & (1 << Self.slotBits - 1)) }

  public static func < (a: Self, b: Self) -> Bool { a.index < b.index }

  public var description: String { String(index, radix: 16) }
}

/// What the packet tables have to know of a new session.
public struct SessionOpening: Hashable, Sendable {
  public var id: SessionID
  /// The session as the far side numbers it.
  public var remoteIndex: UInt32
  /// Where the link's figures are counted.
  public var link: Int
  public var slice: String
  /// Data lanes that the far side and we send with.
  public var receiveLanes: Int
  public var sendLanes: Int
  public var target: TunnelTarget
  public var localBlocks: [IPPrefix]
  public var remoteBlocks: [IPPrefix]
}

/// Where the cipher of a key lives: an index into an array that the gateway keeps beside each table.
enum CipherSlot {
  /// Epochs {e−1, e, e+1} never collide in two bits.
  static let epochs = 4
  static let lanes = TunnelLimits.lanes + 1
  static let perSession = epochs * lanes

  static func index(slot: Int, epoch: UInt64, lane: Int) -> Int {
    (slot * epochs + Int(epoch & 3)) * lanes + lane
  }
}
