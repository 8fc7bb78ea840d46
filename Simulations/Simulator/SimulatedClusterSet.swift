public import Base
public import Peer
public import Replication

/// A ClusterSet with one root key and any number of one-peer clusters, ready to be simulated.
public struct SimulatedClusterSet {
  public let root: Signer
  public let genesis: Genesis
  /// Admissions and records of all clusters: what every member holds after it joined.
  public private(set) var history: [Changeset] = []
  private var clock: UInt64 = Simulation.epochMilliseconds - 1_000_000

  public init() {
    root = SimulatedCrypto.signer(0)
    genesis = Genesis(
      id: SimulatedCrypto.digest([9]), bytes: [9], name: "simulated",
      root: RootKeys(keys: [root.publicKey], threshold: 1), zones: ["slice.local"],
      createdMilliseconds: Simulation.epochMilliseconds - 1_000_000)
  }

  /// Stands in for the wire format: every field that counts goes into the body.
  public static func seal(_ draft: Changeset) -> Changeset {
    var out = draft
    var writer = ByteWriter(reserving: 256)
    writer.bytes32(draft.clusterSet)
    writer.raw(draft.scope.description.utf8)
    writer.bytes32(draft.under)
    writer.bytes32(draft.author)
    writer.u64(draft.time.rawValue)
    for write in draft.writes {
      writer.text(write.path)
      writer.text("\(write.value ?? .null)")
      writer.u64(write.counter)
      for entry in write.context.entries {
        writer.bytes32(entry.author)
        writer.u64(entry.counter)
      }
    }
    if let grant = draft.grant {
      writer.bytes32(grant.subject)
      for capability in grant.capabilities { writer.text(capability.description) }
      writer.u8(UInt8(clamping: grant.delegationDepth))
    }
    for floor in draft.floors {
      writer.bytes32(floor.grant)
      writer.u64(floor.time.rawValue)
      for id in floor.keep { writer.bytes32(id) }
    }
    writer.text(draft.message)
    out.body = writer.bytes
    out.id = SimulatedCrypto.digest(out.signedBytes)
    return out
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
    var changeset = Self.seal(
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
    var changeset = Self.seal(
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
    let signer = SimulatedCrypto.signer(number + 1)
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
      seed: number &* 7919 &+ seed &* 0x9e37_79b9_7f4a_7c15, seal: Self.seal)
  }
}
