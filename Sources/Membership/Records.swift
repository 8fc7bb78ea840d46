public import Base

/// How new a member's word about itself is: the start of its process, then its refutations since.
public struct Incarnation: Hashable, Comparable, Sendable {
  /// Persisted and higher at every start.
  public var bootEpoch: UInt64
  /// Raised by every refutation, address change and departure.
  public var counter: UInt32

  public init(bootEpoch: UInt64, counter: UInt32) {
    self.bootEpoch = bootEpoch
    self.counter = counter
  }

  public static func < (a: Incarnation, b: Incarnation) -> Bool {
    (a.bootEpoch, a.counter) < (b.bootEpoch, b.counter)
  }

  /// The next one; carries into the epoch rather than wrap, and stays put at the very end.
  var next: Incarnation {
    if counter < .max { return Incarnation(bootEpoch: bootEpoch, counter: counter + 1) }
    if bootEpoch < .max { return Incarnation(bootEpoch: bootEpoch + 1, counter: 0) }
    return self
  }
}

/// What a member says about itself, signed by itself: the only thing that raises its incarnation.
///
/// Immutable and shared by reference: a peer that knows 10,000 members holds 10,000 pointers. The
/// key is not in it, since only admitted keys count and those are in the signed state.
public final class MemberRecord: Sendable {
  public enum Presence: UInt8, Sendable {
    case alive = 0
    /// It left on purpose: neither probed nor suspected, back with a higher incarnation.
    case left = 1
  }

  public static let addressLimit = 4
  /// UTF-8 bytes of one `host:port`.
  public static let addressLengthLimit = 128

  public let subject: NodeID
  public let incarnation: Incarnation
  public let presence: Presence
  public let addresses: [String]
  public let signature: Signature

  /// Takes it as it is; whether it counts is decided against the subject's admitted key.
  public init(
    subject: NodeID, incarnation: Incarnation, presence: Presence, addresses: [String],
    signature: Signature
  ) throws(WireError) {
    guard addresses.count <= Self.addressLimit else { throw .overLimit("addresses") }
    for address in addresses where address.utf8.count > Self.addressLengthLimit {
      throw .overLimit("address")
    }
    self.subject = subject
    self.incarnation = incarnation
    self.presence = presence
    self.addresses = addresses
    self.signature = signature
  }

  /// Signs a record; addresses beyond the limits are left out.
  init(
    subject: NodeID, incarnation: Incarnation, presence: Presence, addresses: [String],
    clusterSet: Digest, signer: Signer
  ) {
    let kept = addresses.lazy.filter { $0.utf8.count <= Self.addressLengthLimit }
      .prefix(Self.addressLimit)
    self.subject = subject
    self.incarnation = incarnation
    self.presence = presence
    self.addresses = Array(kept)
    signature = signer.sign(
      Self.signedBytes(
        subject: subject, incarnation: incarnation, presence: presence, addresses: Array(kept),
        clusterSet: clusterSet))
  }

  func isSigned(by key: PublicKey, clusterSet: Digest, crypto: Crypto) -> Bool {
    crypto.verify(
      signature,
      Self.signedBytes(
        subject: subject, incarnation: incarnation, presence: presence, addresses: addresses,
        clusterSet: clusterSet),
      key)
  }

  /// The purpose and the ClusterSet come first, so that no signature made for anything else, or in
  /// another ClusterSet by the same key, is ever one of these.
  private static func signedBytes(
    subject: NodeID, incarnation: Incarnation, presence: Presence, addresses: [String],
    clusterSet: Digest
  ) -> [UInt8] {
    var writer = ByteWriter(reserving: 192)
    writer.raw("starling-member-v1\0".utf8)
    writer.bytes32(clusterSet)
    writer.bytes32(subject)
    writer.u64(incarnation.bootEpoch)
    writer.u32(incarnation.counter)
    writer.u8(presence.rawValue)
    writer.u8(UInt8(addresses.count))
    for address in addresses { writer.text(address) }
    return writer.bytes
  }
}

/// "I could not reach this incarnation of that member", signed by who says so.
public final class Accusation: Sendable {
  public let subject: NodeID
  public let incarnation: Incarnation
  public let accuser: NodeID
  public let signature: Signature

  public init(
    subject: NodeID, incarnation: Incarnation, accuser: NodeID, signature: Signature
  ) {
    self.subject = subject
    self.incarnation = incarnation
    self.accuser = accuser
    self.signature = signature
  }

  /// - Parameter signer: the accuser's.
  public convenience init(
    subject: NodeID, incarnation: Incarnation, accuser: NodeID, clusterSet: Digest, signer: Signer
  ) {
    let message = Self.signedBytes(
      subject: subject, incarnation: incarnation, accuser: accuser, clusterSet: clusterSet)
    self.init(
      subject: subject, incarnation: incarnation, accuser: accuser,
      signature: signer.sign(message))
  }

  func isSigned(by key: PublicKey, clusterSet: Digest, crypto: Crypto) -> Bool {
    let message = Self.signedBytes(
      subject: subject, incarnation: incarnation, accuser: accuser, clusterSet: clusterSet)
    return crypto.verify(signature, message, key)
  }

  private static func signedBytes(
    subject: NodeID, incarnation: Incarnation, accuser: NodeID, clusterSet: Digest
  ) -> [UInt8] {
    var writer = ByteWriter(reserving: 160)
    writer.raw("starling-accusation-v1\0".utf8)
    writer.bytes32(clusterSet)
    writer.bytes32(subject)
    writer.u64(incarnation.bootEpoch)
    writer.u32(incarnation.counter)
    writer.bytes32(accuser)
    return writer.bytes
  }
}
