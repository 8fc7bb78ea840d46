internal import Base
internal import Peer
internal import Replication
internal import Runtime
internal import Simulator
internal import Synchronization
internal import Wire

/// Messages as the daemon sends them: its Protobuf codec, and datagrams sealed with X25519 and
/// ChaCha20-Poly1305 under real keys (`--wire`). Streams carry their frames without TLS.
final class DaemonWire: WireFormat {
  private var sessions: [Int: SealedSessions] = [:]
  private let keys: KeyRing
  /// How many of them were started, so that no two have the same random numbers.
  private var starts: UInt64 = 0
  /// Machines that run a release with more fields and messages than this one.
  var newer: Set<Int> = []
  private(set) var refused = 0
  /// Of processes that are gone.
  private var earlier = 0

  /// Packets that did not open: damaged, or of an earlier start of either side.
  var unopened: Int { sessions.values.reduce(earlier) { $0 + Self.unopened($1) } }

  private static func unopened(_ sessions: SealedSessions) -> Int {
    sessions.drops.filter { $0.key == .notAuthentic }.reduce(0) { $0 + Int($1.value) }
  }

  private init(_ keys: KeyRing) { self.keys = keys }

  static func world() -> World {
    let keys = KeyRing()
    return World(
      crypto: .sodium, signer: { keys.key($0).signer },
      seal: { draft in
        var changeset = ChangesetCodec.seal(draft, crypto: .sodium)
        if keys.isNewer(draft.author) {
          changeset.body += LaterRelease.field
          changeset.id = Crypto.sodium.sha256(changeset.signedBytes)
        }
        return changeset
      }, wire: DaemonWire(keys))
  }

  /// What this author signs from now on has a field that this release does not know.
  func renew(author: PublicKey) { keys.renew(author) }

  // MARK: Machines

  func start(_ machine: Int, _ configuration: PeerConfiguration) {
    guard let key = keys.key(of: configuration.signer.publicKey) else { return }
    starts += 1
    earlier += sessions[machine].map(Self.unopened) ?? 0
    sessions[machine] = SealedSessions(
      me: Crypto.sodium.nodeID(of: key.publicKey), crypto: .sodium(key),
      rng: SeededGenerator(seed: configuration.seed ^ starts &* 0x9e37_79b9_7f4a_7c15))
  }

  func admit(_ peers: [(id: NodeID, key: PublicKey)], on machine: Int, now: Instant) {
    sessions[machine]?.setPeers(peers, now: now)
  }

  /// 10.x.y.z, by the machine's index.
  private static func endpoint(_ machine: Int) -> IPEndpoint {
    IPEndpoint(IPAddress(v4: 0x0a00_0000 + UInt32(truncatingIfNeeded: machine)), port: 7946)
  }

  private static func packets(_ datagrams: [OutgoingDatagram]) -> [Packet] {
    datagrams.map { Packet(to: Int($0.to.address.value & 0x00ff_ffff), bytes: $0.bytes) }
  }

  // MARK: Datagrams

  func pack(
    _ messages: [PeerMessage], from: Int, to: Int, id: NodeID, now: Instant
  ) -> [Packet] {
    var out: [OutgoingDatagram] = []
    sessions[from]?.seal(
      encode(messages, by: from), to: id, at: Self.endpoint(to), now: now, into: &out)
    return Self.packets(out)
  }

  func unpack(_ bytes: [UInt8], from: Int, at: Int, now: Instant) -> Unpacked {
    var out: [OutgoingDatagram] = []
    let opened = sessions[at]?.open(bytes, from: Self.endpoint(from), now: now, into: &out)
    var unpacked = Unpacked(answers: Self.packets(out))
    if case .message(_, let envelope) = opened { unpacked.messages = decode(envelope) ?? [] }
    return unpacked
  }

  func deadline(of machine: Int) -> Instant? { sessions[machine]?.nextDeadline }

  func poll(_ machine: Int, now: Instant) -> [Packet] {
    var out: [OutgoingDatagram] = []
    sessions[machine]?.poll(now: now, into: &out)
    return Self.packets(out)
  }

  // MARK: Streams

  func frame(_ message: PeerMessage, from: Int) -> [UInt8] { encode([message], by: from) }

  func messages(ofFrame bytes: [UInt8]) -> [PeerMessage]? { decode(bytes) }

  // MARK: Codec

  private func encode(_ messages: [PeerMessage], by machine: Int) -> [UInt8] {
    let bytes = EnvelopeCodec.encode(messages)
    guard newer.contains(machine) else { return bytes }
    let longer = bytes + LaterRelease.field + LaterRelease.message
    return longer.count <= SealedFormat.maximumMessage ? longer : bytes
  }

  private func decode(_ bytes: [UInt8]) -> [PeerMessage]? {
    do throws(WireError) {
      return try EnvelopeCodec.decode(bytes, crypto: .sodium)
    } catch {
      refused += 1
      return nil
    }
  }
}

/// What a release that is not there yet adds to Protobuf messages.
private enum LaterRelease {
  /// Field 1000: eight bytes.
  static let field: [UInt8] = [0xc2, 0x3e, 8, 1, 2, 3, 4, 5, 6, 7, 8]
  /// An entry of an envelope of an unknown kind, 900.
  static let message: [UInt8] = [0x0a, 5, 0xa2, 0x38, 2, 7, 7]
}

/// Keys by number, the same in each run, and found again by their public half.
private final class KeyRing: Sendable {
  private struct Keys {
    var byPublicKey: [PublicKey: SigningKey] = [:]
    var newer: Set<PublicKey> = []
  }

  private let keys = Mutex(Keys())

  func key(_ number: UInt64) -> SigningKey {
    var writer = ByteWriter(reserving: 8)
    writer.u64(number)
    guard let key = SigningKey(seed: Crypto.sodium.sha256(writer.bytes).bytes) else {
      preconditionFailure("a hash is as long as a seed")
    }
    keys.withLock { $0.byPublicKey[key.publicKey] = key }
    return key
  }

  func key(of publicKey: PublicKey) -> SigningKey? { keys.withLock { $0.byPublicKey[publicKey] } }

  func renew(_ author: PublicKey) { keys.withLock { _ = $0.newer.insert(author) } }

  func isNewer(_ author: PublicKey) -> Bool { keys.withLock { $0.newer.contains(author) } }
}
