public import Base
public import Replication
internal import Slices
internal import Wire

/// What has to be known before something is signed: the registers, and who may do what.
public struct SigningState: Sendable {
  public var clusterSet: Digest
  public var snapshot: RegisterSnapshot
  public var grants: [APIGrant]
  /// Signed before, not sent yet.
  public var outbox: [Changeset]

  /// From a peer.
  init(_ registers: APIRegisters, grants: APIGrants, outbox: [Changeset]) {
    clusterSet = registers.clusterSet
    snapshot = RegisterSnapshot(registers)
    self.grants = grants.grants
    self.outbox = outbox
    for changeset in outbox { snapshot.include(changeset) }
  }

  /// Without one: only what was signed here.
  init(genesis: Genesis, outbox: [Changeset]) {
    clusterSet = genesis.id
    snapshot = RegisterSnapshot()
    grants = []
    self.outbox = outbox
    for changeset in outbox { snapshot.include(changeset) }
  }

  /// The grant that a key acts under for something.
  public func choice(
    for key: PublicKey, needs: [NeededRight], under: Digest? = nil, now: APITime
  ) throws(AdminError) -> GrantChoice {
    guard let under else {
      return try GrantChoice(of: key, for: needs, among: grants, now: now)
    }
    // Named on the command line: the peers judge whether it suffices.
    let grant = grants.first { $0.id == under }
    return GrantChoice(
      grant: under,
      root: grant?.rootKeys.map { RootKeys(keys: $0, threshold: grant?.rootThreshold ?? 1) },
      notAfter: grant?.notAfter, delegationDepth: grant?.delegationDepth ?? 3)
  }

  public func builder(
    _ choice: GrantChoice, signer: Signer, now: APITime
  ) throws(AdminError) -> ChangesetBuilder {
    try ChangesetBuilder(
      clusterSet: clusterSet, under: choice.grant, signer: signer, snapshot: snapshot,
      nowMilliseconds: now.milliseconds)
  }

  /// IDs of the changesets from the root's first grant down to `grant`, it included; the genesis is none.
  public func chain(of grant: Digest) -> [Digest] {
    var out: [Digest] = []
    var next: Digest? = grant
    while let id = next, id != clusterSet, out.count < 64 {
      out.insert(id, at: 0)
      next = grants.first { $0.id == id }?.under
    }
    return out
  }
}

extension AdminSession {
  public func signingState(_ client: PeerClient) async throws -> SigningState {
    async let registers = client.get("/v1/registers", as: APIRegisters.self)
    async let grants = client.get("/v1/grants", as: APIGrants.self)
    let answer = try await registers
    if let genesis = try genesis(), genesis.id != answer.clusterSet {
      throw AdminError(
        .failed,
        "\(client.address) belongs to another ClusterSet (\(answer.clusterSet.short)) than "
          + "\(genesis.name) (\(genesis.id.short))",
        fix: "Name a peer of yours with --peer, or another context with --config.")
    }
    return SigningState(
      answer, grants: try await grants, outbox: Outbox(context).changesets(of: answer.clusterSet))
  }

  /// The genesis of the context, else the peer's.
  public func genesis(_ client: PeerClient) async throws -> Genesis {
    if let known = try genesis() { return known }
    let answer = try await client.get("/v1/genesis", as: APIGenesis.self)
    guard let bytes = [UInt8](hex: answer.body),
      let genesis = try? GenesisCodec.decode(bytes, crypto: .sodium), genesis.id == answer.id
    else { throw AdminError(.failed, "\(client.address) answered a damaged genesis") }
    return genesis
  }
}
