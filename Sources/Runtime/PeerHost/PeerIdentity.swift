internal import Base
internal import Foundation
internal import Replication
internal import Wire

/// What a peer keeps in its data directory besides the store: its key, the genesis, the CA, and the
/// token's enrolment until it is in the store.
struct PeerIdentity: Sendable {
  var genesis: Genesis
  var cluster: String
  var key: SigningKey
  var authority: ClusterCA

  static let genesisKey = "genesis"
  static let clusterKey = "cluster"

  /// `nil` where the directory has not joined a ClusterSet.
  static func load(
    from store: ChangesetStore, now: Now
  ) throws -> PeerIdentity? {
    guard let genesisBytes = try store.value(genesisKey),
      let clusterBytes = try store.value(clusterKey)
    else { return nil }
    let genesis = try GenesisCodec.decode(genesisBytes, crypto: .sodium)
    return try make(
      genesis: genesis, cluster: String(decoding: clusterBytes, as: UTF8.self), in: store,
      now: now)
  }

  static func key(in directory: String) throws -> SigningKey {
    try KeyFile.openOrCreatePlain("\(directory)/peer.key")
  }

  private static func make(
    genesis: Genesis, cluster: String, in store: ChangesetStore, now: Now
  ) throws -> PeerIdentity {
    return PeerIdentity(
      genesis: genesis, cluster: cluster, key: try key(in: store.directory),
      authority: try ClusterCA.openOrCreate(
        directory: store.directory, cluster: cluster, clusterSet: genesis.id, now: now))
  }

  /// The static X25519 key of a gateway of this cluster, 32 bytes.
  static func gatewayKey(_ index: Int, in store: ChangesetStore) throws(StorageError) -> [UInt8] {
    let name = StoreMeta.gatewayKey(index)
    if let known = try store.value(name), known.count == 32 { return known }
    let key = Sodium.randomBytes(32)
    try store.setValue(key, for: name)
    return key
  }

  /// Enrols this peer by a token: writes the genesis, the grants above the token and the enrolment of
  /// the peer's own key, all durable before it returns.
  static func enrol(
    with token: JoinToken, in store: ChangesetStore, now: Now
  ) async throws -> PeerIdentity {
    guard let tokenKey = SigningKey(seed: token.privateKey) else {
      throw APIProblem.badRequest("The token's key is damaged.", fix: "Ask for another token.")
    }
    let identity = try make(genesis: token.genesis, cluster: token.cluster, in: store, now: now)
    let time = max(
      HybridTime(milliseconds: now.wallMilliseconds),
      HybridTime(rawValue: (token.chain.map(\.time.rawValue).max() ?? 0) + 1))
    let enrolment = ChangesetCodec.seal(
      Changeset(
        id: .zero, body: [], endorsements: [], clusterSet: token.genesis.id, under: token.grant,
        author: tokenKey.publicKey, time: time,
        grant: Grant(
          subject: identity.key.publicKey, capabilities: [.own(token.cluster)]),
        message: "enrol the peer of \(token.cluster)"),
      crypto: .sodium
    ).signed(by: tokenKey.signer)
    try judge(token, enrolment, now: now)
    var changes = StoreChanges(
      put: (token.chain + [enrolment]).map { StoredChangeset($0, now: now) })
    changes.meta = [
      (genesisKey, token.genesis.bytes), (clusterKey, Array(token.cluster.utf8)),
      ("seeds", Array(token.seeds.joined(separator: "\n").utf8)),
    ]
    try await store.write(changes)
    return identity
  }

  /// The token must hold up by itself: signed from the root of its genesis down.
  private static func judge(_ token: JoinToken, _ enrolment: Changeset, now: Now) throws {
    var state = ReplicatedState(genesis: token.genesis, crypto: .sodium)
    var changes = StateChanges()
    for changeset in token.chain + [enrolment] {
      let outcome = state.ingest(changeset, now: now, changes: &changes)
      guard outcome == .accepted || outcome == .duplicate else {
        throw APIProblem.badRequest(
          "The token does not hold: \(outcome).",
          fix: "Ask for a new token; tokens expire and are used once.")
      }
    }
  }
}

extension StoredChangeset {
  init(_ changeset: Changeset, now: Now) {
    self.init(
      id: changeset.id, scope: changeset.scope.description, body: changeset.body,
      endorsements: ChangesetCodec.encodeEndorsements(changeset),
      ingestedMilliseconds: now.wallMilliseconds)
  }
}
