public import Base
public import Replication
internal import Wire

/// What is signed about trust: grants, their ends, join tokens.
public struct TrustReport: Codable, Hashable, Sendable {
  /// The changeset's ID, which is that of the grant that it makes.
  public var id: Digest
  public var grant: APIGivenGrant?
  public var floors: [APIGivenFloor]
  public var results: [APIPushResult]

  public init(_ changeset: Changeset, results: [APIPushResult]) {
    id = changeset.id
    grant = changeset.grant.map { APIGivenGrant($0) }
    floors = changeset.floors.map { APIGivenFloor($0) }
    self.results = results
  }
}

extension AdminSession {
  /// Signs a grant. A grant that ends under one that ends earlier is cut to that.
  public func sign(
    _ grant: Grant, _ state: SigningState, under: Digest?, message: String
  ) throws(AdminError) -> (Changeset, GrantChoice) {
    let key = try signingKey()
    let needs = grant.capabilities.map { NeededRight.give($0) }
    let choice = try state.choice(for: key.publicKey, needs: needs, under: under, now: now)
    var grant = grant
    if let end = choice.notAfter?.milliseconds, grant.notAfterMilliseconds.map({ $0 > end }) ?? true
    {
      grant.notAfterMilliseconds = end
      note("it ends at \(APITime(milliseconds: end)), with the grant that it is made under")
    }
    if choice.root == nil, under == nil, grant.delegationDepth >= choice.delegationDepth {
      throw AdminError(
        .failed,
        "your own grant lets you give grants that delegate "
          + "\(max(0, choice.delegationDepth - 1)) times, not \(grant.delegationDepth)",
        fix: "Give --delegate \(max(0, choice.delegationDepth - 1)).")
    }
    var builder = try state.builder(choice, signer: key.signer, now: now)
    let changeset = try builder.changeset(grant: grant, message: message, after: state.snapshot)
    return (changeset, choice)
  }

  /// Signs the end of grants.
  public func sign(
    _ floors: [Floor], needs: [NeededRight], _ state: SigningState, under: Digest?,
    message: String
  ) throws(AdminError) -> (Changeset, GrantChoice) {
    let key = try signingKey()
    let choice = try state.choice(for: key.publicKey, needs: needs, under: under, now: now)
    var builder = try state.builder(choice, signer: key.signer, now: now)
    let changeset = try builder.changeset(floors: floors, message: message, after: state.snapshot)
    return (changeset, choice)
  }

  // MARK: - Join tokens

  /// A token with no peer at hand: under the root, remembered in the outbox.
  public func makeTokenOffline(_ request: TokenRequest) throws(AdminError) -> MadeToken {
    guard let genesis = try genesis() else {
      throw .usage(
        "no genesis is known, and no peer can be asked",
        fix: "Run `starling init` first, or name a peer with --peer.")
    }
    let key = try signingKey()
    let choice = try GrantChoice(genesis: genesis, key: key.publicKey)
    try checkSingleSignature(choice)
    let state = SigningState(
      genesis: genesis, outbox: Outbox(context).changesets(of: genesis.id))
    let made = try MadeToken(
      request, genesis: genesis, choice: choice, chain: [], signer: key.signer,
      snapshot: state.snapshot, nowMilliseconds: now.milliseconds)
    try Outbox(context).add(made.changeset)
    return made
  }

  /// A token that a peer knows of at once; its seeds are the peer's unless some are given.
  public func makeToken(
    _ request: TokenRequest, with client: PeerClient
  ) async throws -> MadeToken {
    var request = request
    let key = try signingKey()
    let state = try await signingState(client)
    if request.seeds.isEmpty {
      request.seeds = try await client.get("/v1/genesis", as: APIGenesis.self).seeds
    }
    let genesis = try await genesis(client)
    let choice = try state.choice(
      for: key.publicKey, needs: [.hold(.admit), .give(.enrol(request.cluster))], now: now)
    try checkSingleSignature(choice)
    var chain: [Changeset] = []
    for id in state.chain(of: choice.grant) { chain.append(try await client.changeset(id).0) }
    let made = try MadeToken(
      request, genesis: genesis, choice: choice, chain: chain, signer: key.signer,
      snapshot: state.snapshot, nowMilliseconds: now.milliseconds)
    _ = try await Delivery(self).send([made.changeset], outbox: state.outbox, to: client)
    return made
  }

  private func checkSingleSignature(_ choice: GrantChoice) throws(AdminError) {
    guard choice.threshold > 1 else { return }
    throw AdminError(
      .failed, "the root signs with \(choice.threshold) keys; tokens are made by one",
      fix: "Grant an admin key `admit` with the root's signatures, and make tokens with that: "
        + "starling grant KEY --capability admit --out FILE")
  }

  /// Waits until a peer enrolled under a token.
  ///
  /// - Parameter limit: how long to wait.
  public func waitForEnrolment(
    under token: Digest, with client: PeerClient, limit: Duration
  ) async throws -> Enrolments {
    let clock = ContinuousClock()
    let end = clock.now + limit
    while true {
      let grants = try await client.get("/v1/grants", as: APIGrants.self).grants
      if let enrolments = Enrolments(under: token, in: grants), !enrolments.enrolled.isEmpty {
        return enrolments
      }
      guard clock.now < end else {
        throw AdminError(
          .timedOut, "no peer has enrolled with this token yet",
          fix: "Once one has: starling token seal \(token.short)")
      }
      try await Task.sleep(for: .milliseconds(250))
    }
  }

  /// Ends a token, keeping one enrolment.
  public func seal(
    _ enrolments: Enrolments, keeping enrolment: Digest, with client: PeerClient
  ) async throws -> TrustReport {
    let state = try await signingState(client)
    let (changeset, choice) = try sign(
      [enrolments.seal(keeping: enrolment)],
      needs: [
        .floor(on: enrolments.token.id, by: Set(state.chain(of: enrolments.token.id).dropLast()))
      ],
      state, under: nil, message: "seal the join token \(enrolments.token.id.short)")
    try Delivery.check(choice)
    let report = try await Delivery(self).send([changeset], outbox: state.outbox, to: client)
    return TrustReport(changeset, results: report.results)
  }
}
