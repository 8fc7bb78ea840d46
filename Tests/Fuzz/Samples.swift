import Base
import Replication
import Runtime
import Wire

/// A small ClusterSet with real keys and signatures: what valid inputs are made of.
enum Samples {
  static let crypto = Crypto.sodium
  static let root = key(1)
  static let admin = key(2)
  static let token = key(3)
  static let peer = key(4)

  static let genesis = GenesisCodec.make(
    name: "prod", root: RootKeys(keys: [root.publicKey], threshold: 1), createdMilliseconds: 1,
    salt: Array(repeating: 7, count: 16), crypto: crypto)

  static func key(_ name: UInt8) -> SigningKey {
    guard let key = SigningKey(seed: Array(repeating: name, count: SigningKey.seedBytes)) else {
      preconditionFailure("a seed has 32 bytes")
    }
    return key
  }

  static func make(
    by key: SigningKey, under grant: Digest, at milliseconds: UInt64, scope: Scope = .clusterset,
    _ fill: (inout Changeset) -> Void
  ) -> Changeset {
    var draft = Changeset(
      id: .zero, body: [], endorsements: [], clusterSet: genesis.id, scope: scope, under: grant,
      author: key.publicKey, time: HybridTime(milliseconds: milliseconds))
    fill(&draft)
    return ChangesetCodec.seal(draft, crypto: crypto).signed(by: key.signer)
  }

  static let adminGrant = make(by: root, under: genesis.id, at: 10) {
    $0.grant = Grant(
      subject: admin.publicKey, capabilities: [.grant, .admit, .read, .slice("*")],
      delegationDepth: 2)
  }

  static let tokenGrant = make(by: admin, under: adminGrant.id, at: 20) {
    $0.grant = Grant(
      subject: token.publicKey, capabilities: [.enrol("eu-1")], notAfterMilliseconds: 3_600_000,
      quota: Quota(registers: 5, bytes: 6_000, changesetsPerMinute: 7))
    $0.writes = [write("cluster/eu-1", ["labels": ["tier": "web"], "consent": true])]
  }

  static let peerGrant = make(by: token, under: tokenGrant.id, at: 30) {
    $0.grant = Grant(subject: peer.publicKey, capabilities: [.own("eu-1")])
  }

  /// From the root down, then what hangs under it, with every kind of content.
  static let changesets: [Changeset] = [
    adminGrant, tokenGrant, peerGrant,
    make(by: admin, under: adminGrant.id, at: 40) {
      $0.writes = [
        write("slice/blue", ["cidr": "10.11.0.0/16", "maxClusters": 16]),
        write("slice/blue/member/eu-1", ["namespaces": ["shop", "pay"], "block": 1]),
        write("slice/blue/qos", nil),
      ]
      $0.message = "blue for the shop"
    },
    make(by: peer, under: peerGrant.id, at: 50) {
      $0.writes = [
        write(
          "cluster/eu-1/info", ["ca": .bytes([48, 130, 1]), "peers": [["addresses": ["a:1"]]]])
      ]
    },
    make(by: peer, under: peerGrant.id, at: 60, scope: .slice("blue")) {
      var context = VersionVector()
      context.include(admin.publicKey, 3)
      $0.writes = [
        Write(
          path: "slice/blue/export/eu-1/shop/db", value: ["type": "Headless", "n": -5], counter: 1,
          context: context)
      ]
    },
    make(by: admin, under: adminGrant.id, at: 70) {
      $0.floors = [
        Floor(grant: tokenGrant.id, time: HybridTime(milliseconds: 65), keep: [peerGrant.id])
      ]
    },
    make(by: root, under: genesis.id, at: 80) {
      let keys = [root.publicKey, key(5).publicKey].sorted()
      $0.rootChange = RootChange(root: RootKeys(keys: keys, threshold: 1), keep: [adminGrant.id])
    },
  ]

  private static func write(_ path: String, _ value: Value?) -> Write {
    Write(path: path, value: value, counter: 1, context: VersionVector())
  }
}
