public import Base
public import Peer
public import Replication

/// A ClusterSet with one root key and any number of one-peer clusters, ready to be simulated.
public struct SimulatedClusterSet {
  public let root: Signer
  private let world: World
  public let genesis: Genesis
  /// Admissions and records of all clusters: what every member holds after it joined.
  public private(set) var history: [Changeset] = []
  private var clock: UInt64 = Simulation.epochMilliseconds - 1_000_000

  public init(_ world: World = .quick) {
    self.world = world
    root = world.signer(0)
    genesis = Genesis(
      id: world.crypto.sha256([9]), bytes: [9], name: "simulated",
      root: RootKeys(keys: [root.publicKey], threshold: 1), zones: ["slice.local"],
      createdMilliseconds: Simulation.epochMilliseconds - 1_000_000)
  }

  /// A changeset by the root, sealed and signed.
  public mutating func byRoot(
    scope: Scope = .clusterset, writes: [Write] = [], grant: Grant? = nil, floors: [Floor] = [],
    at milliseconds: UInt64 = 0
  ) -> Changeset {
    signed(
      by: root, under: genesis.id, scope: scope, writes: writes, grant: grant, floors: floors,
      at: milliseconds)
  }

  public mutating func signed(
    by signer: Signer, under grantID: Digest, scope: Scope = .clusterset, writes: [Write] = [],
    grant: Grant? = nil, floors: [Floor] = [], at milliseconds: UInt64 = 0
  ) -> Changeset {
    clock = max(clock + 1, milliseconds)
    var changeset = world.seal(
      Changeset(
        id: .zero, body: [], endorsements: [], clusterSet: genesis.id, scope: scope,
        under: grantID, author: signer.publicKey, time: HybridTime(milliseconds: clock),
        writes: writes, grant: grant, floors: floors))
    changeset.endorsements = [
      Endorsement(key: signer.publicKey, signature: signer.sign(changeset.signedBytes))
    ]
    return changeset
  }

  /// An admin of all slices, known to everybody from the beginning.
  public mutating func grant(to admin: Signer) -> Changeset {
    let grant = byRoot(grant: Grant(subject: admin.publicKey, capabilities: [.slice("*")]))
    history.append(grant)
    return grant
  }

  /// As `signed`, at exactly that time: an author whose clock is wrong, or who lies.
  public func signedApart(
    by signer: Signer, under grantID: Digest, writes: [Write], at milliseconds: UInt64
  ) -> Changeset {
    var changeset = world.seal(
      Changeset(
        id: .zero, body: [], endorsements: [], clusterSet: genesis.id, under: grantID,
        author: signer.publicKey, time: HybridTime(milliseconds: milliseconds), writes: writes))
    changeset.endorsements = [
      Endorsement(key: signer.publicKey, signature: signer.sign(changeset.signedBytes))
    ]
    return changeset
  }

  /// Registers that have been there for ever.
  public mutating func fill(registers count: Int) {
    for number in 0..<max(count, 0) {
      history.append(
        byRoot(writes: [
          Write(
            path: "slice/r\(number)", value: ["cidr": "10.0.0.0/16"], counter: 1,
            context: VersionVector())
        ]))
    }
  }

  /// Admits cluster `c<number>` and gives the configuration of its one peer.
  ///
  /// - Parameter seed: of the run, so that the peers of two runs choose differently.
  public mutating func addCluster(_ number: UInt64, seed: UInt64 = 0) -> PeerConfiguration {
    let name = "c\(number)"
    let signer = world.signer(number + 1)
    let address = "\(name):7946"
    history.append(
      byRoot(
        writes: [
          Write(
            path: "cluster/\(name)", value: ["labels": [:]], counter: 1, context: VersionVector())
        ],
        grant: Grant(subject: signer.publicKey, capabilities: [.own(name)])))
    let info: Value = [
      "ca": .bytes(Array(name.utf8)),
      "peers": [["key": .bytes(signer.publicKey.bytes), "addresses": [.string(address)]]],
    ]
    history.append(
      signed(
        by: signer, under: history[history.count - 1].id,
        writes: [
          Write(
            path: "cluster/\(name)/info", value: info, counter: 1, context: VersionVector())
        ]))
    return PeerConfiguration(
      genesis: genesis, cluster: name, signer: signer, bootEpoch: 1, addresses: [address],
      seed: number &* 7919 &+ seed &* 0x9e37_79b9_7f4a_7c15, seal: world.seal)
  }
}
