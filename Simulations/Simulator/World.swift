public import Base
public import Peer
public import Replication

/// What peers are made of beside their core: quick stand-ins, or what the daemon has.
public struct World {
  public var crypto: Crypto
  /// The key with a number: the same in each run.
  public var signer: @Sendable (UInt64) -> Signer
  /// Gives a draft its body and its ID.
  public var seal: @Sendable (Changeset) -> Changeset
  /// `nil`: messages travel as values.
  public var wire: (any WireFormat)?

  public init(
    crypto: Crypto, signer: @escaping @Sendable (UInt64) -> Signer,
    seal: @escaping @Sendable (Changeset) -> Changeset, wire: (any WireFormat)? = nil
  ) {
    self.crypto = crypto
    self.signer = signer
    self.seal = seal
    self.wire = wire
  }

  public static var quick: World {
    World(
      crypto: SimulatedCrypto.crypto, signer: { SimulatedCrypto.signer($0) },
      seal: { SimulatedCrypto.seal($0) })
  }
}

/// Messages as bytes. Machines are called by their index.
public protocol WireFormat: AnyObject {
  /// A process starts: it knows nothing of what was agreed on before.
  func start(_ machine: Int, _ configuration: PeerConfiguration)
  /// Whom a machine's peer admits now.
  func admit(_ peers: [(id: NodeID, key: PublicKey)], on machine: Int, now: Instant)

  /// What has to be sent for these messages: they may wait for answers to other packets.
  func pack(_ messages: [PeerMessage], from: Int, to: Int, id: NodeID, now: Instant) -> [Packet]
  func unpack(_ bytes: [UInt8], from: Int, at: Int, now: Instant) -> Unpacked
  /// When a machine has packets to send again.
  func deadline(of machine: Int) -> Instant?
  func poll(_ machine: Int, now: Instant) -> [Packet]

  /// What a codec refused so far: nothing, since what is damaged does not open.
  var refused: Int { get }

  func frame(_ message: PeerMessage, from: Int) -> [UInt8]
  /// `nil` where a codec refuses it.
  func messages(ofFrame bytes: [UInt8]) -> [PeerMessage]?
}

public struct Packet: Sendable {
  public var to: Int
  public var bytes: [UInt8]

  public init(to: Int, bytes: [UInt8]) {
    self.to = to
    self.bytes = bytes
  }
}

/// What a packet came to.
public struct Unpacked: Sendable {
  public var messages: [PeerMessage]
  public var answers: [Packet]

  public init(messages: [PeerMessage] = [], answers: [Packet] = []) {
    self.messages = messages
    self.answers = answers
  }
}
