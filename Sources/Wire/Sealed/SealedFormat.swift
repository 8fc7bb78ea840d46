internal import Base

/// The bytes of a sealed datagram, all numbers big-endian:
///
///     version and kind (1) | sender (8) | sender's epoch (8) | counter (8) | box
///
/// `sender` is the first 8 bytes of its NodeID. The key is derived from the pair's X25519 secret, both
/// NodeIDs, the sender's epoch and the receiver's, so it differs by direction and by start.
public enum SealedFormat {
  /// In the high half of the first byte; it also fixes the cipher, ChaCha20-Poly1305 (RFC 8439).
  public static let version: UInt8 = 1
  public static let headerBytes = 25
  public static let tagBytes = 16
  /// A datagram that fits every path that IPv6 allows, with the headers below it.
  public static let maximumDatagram = 1_200
  /// The longest message: a confirmation's challenge has room beside it.
  public static let maximumMessage = maximumDatagram - headerBytes - tagBytes - challengeBytes

  static let challengeBytes = 8
  static let keyContext: [UInt8] = Array("starling/datagram/v1\0".utf8)
}

/// In the low half of the first byte.
enum SealedKind: UInt8, Sendable {
  /// A message between two peers that know each other's epochs.
  case message = 0
  /// The sender's challenge, sealed for epoch 0: the receiver's is not known yet. Whoever replays it
  /// gets an answer that only the true sender can read.
  case hello = 1
  /// The challenge of a hello, and the sender's own.
  case helloAnswer = 2
  /// The challenge of an answer, then a message as in `message` (or none): proves to the receiver
  /// that the sender's epoch is the one it lives in now. Sent until the receiver is heard.
  case confirmation = 3
}

struct SealedHeader: Sendable {
  var kind: SealedKind
  var sender: UInt64
  var epoch: UInt64
  var counter: UInt64

  init(kind: SealedKind, sender: UInt64, epoch: UInt64, counter: UInt64) {
    self.kind = kind
    self.sender = sender
    self.epoch = epoch
    self.counter = counter
  }

  init(reading datagram: [UInt8]) throws(SealedDrop) {
    guard datagram.count >= SealedFormat.headerBytes + SealedFormat.tagBytes else {
      throw .tooShort
    }
    guard datagram.count <= SealedFormat.maximumDatagram else { throw .tooLong }
    guard datagram[0] >> 4 == SealedFormat.version,
      let kind = SealedKind(rawValue: datagram[0] & 15)
    else { throw .unknownVersion }
    self.kind = kind
    sender = Self.word(datagram, at: 1)
    epoch = Self.word(datagram, at: 9)
    counter = Self.word(datagram, at: 17)
    // 0 stands for "not known" in the keys of hellos.
    guard epoch != 0 else { throw .malformed }
  }

  var bytes: [UInt8] {
    var writer = ByteWriter(reserving: SealedFormat.headerBytes)
    writer.u8(SealedFormat.version << 4 | kind.rawValue)
    writer.u64(sender)
    writer.u64(epoch)
    writer.u64(counter)
    return writer.bytes
  }

  /// The length is checked by the caller.
  static func word(_ bytes: [UInt8], at offset: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in offset..<offset + 8 { value = value << 8 | UInt64(bytes[index]) }
    return value
  }
}

/// Why a datagram was dropped; it changed nothing but a counter.
public enum SealedDrop: UInt8, Error, Hashable, Sendable, CaseIterable {
  case tooShort
  case tooLong
  case unknownVersion
  case malformed
  /// No admitted peer has this sender prefix.
  case unknownSender
  /// This source sent too much that did not open.
  case sourceLimited
  /// No byte of it can be believed: forged, damaged, or sealed for an epoch that is over.
  case notAuthentic
  /// By the peer, but nothing proves that it is of the peer's present start.
  case unprovenEpoch
  /// Its counter was seen, or is too old to tell.
  case replayed
  /// More hellos than are answered.
  case handshakeLimited

  /// For metric labels: `not_authentic`.
  public var label: String {
    switch self {
    case .tooShort: "too_short"
    case .tooLong: "too_long"
    case .unknownVersion: "unknown_version"
    case .malformed: "malformed"
    case .unknownSender: "unknown_sender"
    case .sourceLimited: "source_limited"
    case .notAuthentic: "not_authentic"
    case .unprovenEpoch: "unproven_epoch"
    case .replayed: "replayed"
    case .handshakeLimited: "handshake_limited"
    }
  }
}
