internal import Base
internal import Foundation
internal import Membership
internal import Peer
internal import Replication
internal import Wire

/// What makes a peer the one that it is: with it, a peer that lost its data directory comes back as
/// itself and needs no new token. Everything else it learns again from others.
struct IdentityBundle: Hashable, Sendable {
  /// Of the files `peer.key` and `ca.pem`.
  var key: [UInt8]
  var authority: [UInt8]
  /// Of the cluster's gateways, by their names in the store; X25519, 32 bytes each.
  var gatewayKeys: [String: [UInt8]]
  var genesis: [UInt8]
  var cluster: String
  /// `host:port` of other peers, ascending.
  var seeds: [String]
  /// The grants that admit it, from the root down, as a batch.
  var grants: [UInt8]

  static let seedLimit = 64
  static let grantLimit = 256
  static let fileLimit = 16_384
  /// A Secret holds 1 MiB, for all peers of a cluster.
  static let limit = 128 << 10

  struct Damaged: Error, CustomStringConvertible {
    var description: String
  }

  private struct Text: Codable {
    var key: Data
    var authority: Data
    var gatewayKeys: [String: Data]
    var genesis: Data
    var cluster: String
    var seeds: [String]
    var grants: Data
  }

  /// What is secret in a data directory.
  struct Secrets: Sendable {
    var key: [UInt8]
    var authority: [UInt8]
    var gatewayKeys: [String: [UInt8]] = [:]

    init(_ store: ChangesetStore) throws {
      key = try PrivateFile.read("\(store.directory)/peer.key", limit: IdentityBundle.fileLimit)
        .bytes
      authority = try PrivateFile.read("\(store.directory)/ca.pem", limit: IdentityBundle.fileLimit)
        .bytes
      for name in StoreMeta.secrets { gatewayKeys[name] = try store.value(name) }
    }
  }

  /// Of a peer that runs.
  init(_ identity: PeerIdentity, _ peer: Peer, _ secrets: Secrets, seeds: [String]) {
    key = secrets.key
    authority = secrets.authority
    gatewayKeys = secrets.gatewayKeys
    genesis = identity.genesis.bytes
    cluster = identity.cluster
    let own = peer.state.grants(of: identity.key.publicKey).filter { $0.void == nil }
    var ids: [Digest] = []
    for grant in own {
      for id in peer.state.chain(of: grant.id) + [grant.id] where !ids.contains(id) {
        ids.append(id)
      }
    }
    // The genesis is no changeset.
    let changesets = ids.compactMap { peer.state.changeset($0) }.prefix(Self.grantLimit)
    grants = ChangesetCodec.encodeBatch(Array(changesets))
    let others = peer.admitted.values.filter { $0.id != peer.id }.flatMap(\.addresses)
    self.seeds = Set(seeds + others).sorted().prefix(Self.seedLimit).map { $0 }
  }

  init(json: [UInt8]) throws(Damaged) {
    guard json.count <= Self.limit,
      let text = try? JSONDecoder().decode(Text.self, from: Data(json))
    else { throw Damaged(description: "it is no identity") }
    guard
      text.gatewayKeys.allSatisfy({ StoreMeta.secrets.contains($0.key) && $0.value.count == 32 }),
      text.key.count <= Self.fileLimit,
      text.authority.count <= Self.fileLimit, text.seeds.count <= Self.seedLimit
    else { throw Damaged(description: "a key or a list has the wrong length") }
    key = Array(text.key)
    authority = Array(text.authority)
    gatewayKeys = text.gatewayKeys.mapValues { Array($0) }
    genesis = Array(text.genesis)
    cluster = text.cluster
    seeds = text.seeds
    grants = Array(text.grants)
  }

  var json: [UInt8] {
    let text = Text(
      key: Data(key), authority: Data(authority), gatewayKeys: gatewayKeys.mapValues { Data($0) },
      genesis: Data(genesis), cluster: cluster, seeds: seeds, grants: Data(grants))
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    return (try? encoder.encode(text)).map { Array($0) } ?? []
  }

  /// Makes an empty data directory this peer's. Last of all the store says that it has joined, so that
  /// whatever is interrupted begins anew.
  func restore(to store: ChangesetStore, now: Now) async throws {
    let changesets = try verified(now)
    try PrivateFile.write(key, to: "\(store.directory)/peer.key")
    try PrivateFile.write(authority, to: "\(store.directory)/ca.pem")
    try store.markRestored(wallMilliseconds: now.wallMilliseconds)
    var changes = StoreChanges(put: changesets.map { StoredChangeset($0, now: now) })
    changes.meta = [
      (PeerIdentity.clusterKey, Array(cluster.utf8)),
      ("seeds", Array(seeds.joined(separator: "\n").utf8)),
      (PeerIdentity.genesisKey, genesis),
    ]
    changes.meta += gatewayKeys.sorted { $0.key < $1.key }.map { ($0.key, Optional($0.value)) }
    try await store.write(changes)
  }

  /// The grants must hold by themselves: signed from the root of the genesis down.
  private func verified(_ now: Now) throws -> [Changeset] {
    let genesis = try GenesisCodec.decode(self.genesis, crypto: .sodium)
    let changesets = try ChangesetCodec.decodeBatch(
      grants, maximumCount: Self.grantLimit, crypto: .sodium)
    var state = ReplicatedState(genesis: genesis, crypto: .sodium)
    var changes = StateChanges()
    for changeset in changesets {
      let outcome = state.ingest(changeset, now: now, changes: &changes)
      guard outcome == .accepted || outcome == .duplicate else {
        throw Damaged(description: "a grant does not hold: \(outcome)")
      }
    }
    return changesets
  }
}
