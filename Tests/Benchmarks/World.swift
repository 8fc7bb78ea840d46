import Base
import Dispatch
import Replication
import Runtime
import Synchronization
import Wire

/// A ClusterSet of a given size, with real signatures: slices of 10 clusters each, of which `c0` is in
/// every one, and for each member a gateway and services with their endpoints.
struct World {
  let genesis: Genesis
  /// As they travel: the chain of trust first, then by slice.
  let wire: [[UInt8]]
  static let cluster = "c0"
  private static let clusters = 50
  private static let members = 10
  private static let servicesPerMember = 24
  /// Two of the slice, two a member, two a service.
  private static let perSlice = 2 + members * (2 + 2 * servicesPerMember)
  private static let start: UInt64 = 1_790_000_000_000

  static let now = Now(
    instant: Instant(nanoseconds: 1_000_000_000), wallMilliseconds: start + 3_600_000)

  private struct Author: Sendable {
    var key: SigningKey
    var grant: Digest
  }

  private struct Draft: Sendable {
    /// Index of the cluster; `nil`: the admin.
    var author: Int?
    var scope: Scope
    var path: String
    var value: Value
  }

  init(changesets count: Int) {
    let root = SigningKey()
    let genesis = GenesisCodec.make(
      name: "bench", root: RootKeys(keys: [root.publicKey], threshold: 1),
      createdMilliseconds: Self.start, salt: Sodium.randomBytes(16), crypto: .sodium)
    self.genesis = genesis
    let (trust, admin, peers) = Self.trust(genesis, root)
    let drafts = Self.drafts(count - trust.count)
    let chunk = 1_024
    let parts = Mutex<[[[UInt8]]]>(Array(repeating: [], count: (drafts.count + chunk - 1) / chunk))
    DispatchQueue.concurrentPerform(iterations: parts.withLock { $0.count }) { part in
      let range = part * chunk..<min((part + 1) * chunk, drafts.count)
      let encoded = range.map { index in
        let author = drafts[index].author.map { peers[$0] } ?? admin
        return Self.encode(drafts[index], by: author, number: index, genesis)
      }
      parts.withLock { $0[part] = encoded }
    }
    wire = trust + parts.withLock { $0.flatMap { $0 } }
  }

  private static func sign(
    _ genesis: Genesis, _ author: Author, at milliseconds: UInt64, scope: Scope = .clusterset,
    _ fill: (inout Changeset) -> Void
  ) -> Changeset {
    var draft = Changeset(
      id: .zero, body: [], endorsements: [], clusterSet: genesis.id, scope: scope,
      under: author.grant, author: author.key.publicKey,
      time: HybridTime(milliseconds: milliseconds))
    fill(&draft)
    return ChangesetCodec.seal(draft, crypto: .sodium).signed(by: author.key.signer)
  }

  /// The admin's grant, and for each cluster its admission and its own grant.
  private static func trust(_ genesis: Genesis, _ root: SigningKey) -> (
    [[UInt8]], Author, [Author]
  ) {
    let adminKey = SigningKey()
    let quota = Quota(registers: 2_000_000, bytes: 4 << 30, changesetsPerMinute: 1_000_000)
    let adminGrant = sign(genesis, Author(key: root, grant: genesis.id), at: start) {
      $0.grant = Grant(
        subject: adminKey.publicKey, capabilities: [.grant, .admit, .read, .slice("*")],
        delegationDepth: 1, quota: quota)
    }
    let admin = Author(key: adminKey, grant: adminGrant.id)
    var encoded = [ChangesetCodec.encode(adminGrant)]
    var peers: [Author] = []
    for index in 0..<clusters {
      let key = SigningKey()
      let grant = sign(genesis, admin, at: start + 1) {
        $0.grant = Grant(
          subject: key.publicKey, capabilities: [.own("c\(index)")], quota: quota)
        $0.writes = [
          write("cluster/c\(index)", ["labels": ["tier": "web"], "consent": ["slices": "*"]])
        ]
      }
      encoded.append(ChangesetCodec.encode(grant))
      peers.append(Author(key: key, grant: grant.id))
    }
    return (encoded, admin, peers)
  }

  private static func encode(
    _ draft: Draft, by author: Author, number: Int, _ genesis: Genesis
  ) -> [UInt8] {
    ChangesetCodec.encode(
      sign(genesis, author, at: start + 2 + UInt64(number), scope: draft.scope) {
        $0.writes = [write(draft.path, draft.value)]
      })
  }

  private static func write(_ path: String, _ value: Value) -> Write {
    Write(path: path, value: value, counter: 1, context: VersionVector())
  }

  // MARK: Content

  private static func drafts(_ count: Int) -> [Draft] {
    var out: [Draft] = []
    out.reserveCapacity(count + perSlice)
    var slice = 0
    while out.count < count {
      addSlice(slice, to: &out)
      slice += 1
    }
    return Array(out.prefix(count))
  }

  private static func addSlice(_ number: Int, to out: inout [Draft]) {
    let name = "s\(number)"
    func put(_ path: String, _ value: Value) {
      out.append(Draft(author: nil, scope: .clusterset, path: "slice/\(name)\(path)", value: value))
    }
    put(
      "", ["cidr": .string("10.\(number % 256).0.0/16"), "maxClusters": 16, "overlay": "service"])
    put("/qos", ["ceilingKbps": 100_000, "guaranteedKbps": 20_000, "priority": 2])
    let others = (0..<members - 1).map { 1 + (number * 7 + $0) % (clusters - 1) }
    for (block, cluster) in ([0] + others).enumerated() {
      put(
        "/member/c\(cluster)",
        ["block": .integer(Int64(block)), "namespaces": ["shop", "pay"]])
    }
    for (block, cluster) in ([0] + others).enumerated() {
      addMember(name, cluster, block: block, to: &out)
    }
  }

  private static func addMember(
    _ slice: String, _ cluster: Int, block: Int, to out: inout [Draft]
  ) {
    func put(_ path: String, _ value: Value) {
      out.append(
        Draft(
          author: cluster, scope: .slice(slice), path: "slice/\(slice)/\(path)", value: value))
    }
    put(
      "gateway/c\(cluster)",
      [
        "endpoints": [.string("192.0.2.\(cluster):7900")],
        "key": .bytes([UInt8](repeating: UInt8(cluster), count: 32)),
        "block": .integer(Int64(block)), "since": .integer(Int64(start)),
      ])
    for service in 0..<servicesPerMember {
      let path = "export/c\(cluster)/shop/service-\(service)"
      put(
        path,
        [
          "type": "ClusterSetIP", "created": .integer(Int64(start)),
          "ports": [["name": "http", "port": 80, "protocol": "TCP", "appProtocol": "http"]],
        ])
      let endpoints = (1...4).map { host -> Value in
        [
          "address": .string("10.1.\(block * 16 + service / 8).\(service % 8 * 8 + host)"),
          "node": .string("node-\(host)"), "ready": true,
        ]
      }
      put(path + "/0", ["endpoints": .list(endpoints)])
    }
  }
}
