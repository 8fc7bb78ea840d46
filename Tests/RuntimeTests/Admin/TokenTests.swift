import Base
import Replication
import Testing
import Wire

@testable import Runtime

@Suite struct TokenTests {
  private func token(
    _ request: TokenRequest, in world: AdminWorld
  ) throws -> MadeToken {
    try MadeToken(
      request, genesis: world.genesis,
      choice: try GrantChoice(genesis: world.genesis, key: world.key.publicKey), chain: [],
      signer: world.key.signer, snapshot: world.snapshot, nowMilliseconds: AdminWorld.start)
  }

  @Test func roundTrip() throws {
    let world = try AdminWorld()
    var request = TokenRequest(
      cluster: "eu-1", labels: ["tier": "edge"], seeds: ["a.example.com:7946"])
    request.location = ("50.11", "8.68")
    let made = try token(request, in: world)
    let read = try JoinToken(try JoinWork.token(made.token.text), crypto: .sodium)
    #expect(read.genesis == world.genesis)
    #expect(read.cluster == "eu-1")
    #expect(read.seeds == ["a.example.com:7946"])
    #expect(read.chain.map(\.id) == [made.changeset.id])
    #expect(read.grant == made.changeset.id)
  }

  @Test func enrolsAPeerFromTheGenesisAlone() throws {
    let world = try AdminWorld()
    var peer = try AdminWorld()
    peer.state = ReplicatedState(genesis: world.genesis, crypto: .sodium)
    let made = try token(TokenRequest(cluster: "eu-1"), in: world)
    #expect(peer.ingest(made.changeset) == .accepted)
    #expect(peer.state.isAdmitted("eu-1"))
    let tokenKey = try #require(SigningKey(seed: made.token.privateKey))
    let own = SigningKey()
    var builder = try ChangesetBuilder(
      clusterSet: world.genesis.id, under: made.token.grant, signer: tokenKey.signer,
      snapshot: RegisterSnapshot(), nowMilliseconds: AdminWorld.start + 1)
    let enrolment = try builder.changeset(
      grant: Grant(subject: own.publicKey, capabilities: [.own("eu-1")]), after: RegisterSnapshot())
    #expect(peer.ingest(enrolment) == .accepted)
    #expect(peer.state.admittedPeers[own.publicKey] == "eu-1")
    // After its hour it is of no use.
    var late = try ChangesetBuilder(
      clusterSet: world.genesis.id, under: made.token.grant, signer: tokenKey.signer,
      snapshot: RegisterSnapshot(), nowMilliseconds: AdminWorld.start + 3_700_000)
    let thief = try late.changeset(
      grant: Grant(subject: SigningKey().publicKey, capabilities: [.own("eu-1")]),
      after: RegisterSnapshot())
    #expect(peer.ingest(thief, at: AdminWorld.start + 3_700_000) != .accepted)
  }

  @Test func asksAgainWithoutWritingAgain() throws {
    var world = try AdminWorld()
    let first = try token(TokenRequest(cluster: "eu-1", labels: ["a": "b"]), in: world)
    #expect(world.ingest(first.changeset) == .accepted)
    #expect(first.changeset.writes.map(\.path) == ["cluster/eu-1"])
    // Another peer of the same cluster: its labels stay, the register is not written to.
    let second = try token(TokenRequest(cluster: "eu-1"), in: world)
    #expect(second.changeset.writes.isEmpty)
    #expect(second.changeset.grant?.capabilities == [.enrol("eu-1")])
  }

  @Test func refusesWhatCannotBe() throws {
    let world = try AdminWorld()
    #expect(throws: AdminError.self) { try token(TokenRequest(cluster: "EU 1"), in: world) }
    #expect(throws: AdminError.self) {
      try token(TokenRequest(cluster: "eu-1", seeds: ["nowhere"]), in: world)
    }
    #expect(throws: AdminError.self) {
      try token(TokenRequest(cluster: "eu-1", location: ("1213", "0")), in: world)
    }
    #expect(throws: AdminError.self) { try JoinWork.token("starling-token-v1:AAAA") }
    #expect(throws: AdminError.self) {
      try GrantChoice(genesis: world.genesis, key: SigningKey().publicKey)
    }
  }

  @Test func sealsByOneEnrolment() throws {
    let token = APIGrant.of(.enrol("eu-1"), id: 1, under: 9)
    let (a, b) = (
      APIGrant.of(.own("eu-1"), id: 2, under: 1), APIGrant.of(.own("eu-1"), id: 3, under: 1)
    )
    let enrolments = try #require(
      Enrolments(under: token.id, in: [token, a, b, .of(.own("us-1"), id: 4, under: 5)]))
    #expect(enrolments.enrolled.map(\.id) == [a.id, b.id])
    let floor = enrolments.seal(keeping: a.id)
    #expect(floor == Floor(grant: token.id, time: .max, keep: [a.id]))
    #expect(Enrolments(under: b.id, in: [token]) == nil)
  }
}

extension APIGrant {
  /// A grant with an ID made of one number.
  static func of(
    _ capabilities: Capability..., id: UInt64, under: UInt64?, subject: PublicKey? = nil,
    state: State = .valid, notAfter: APITime? = nil, depth: Int = 0
  ) -> APIGrant {
    APIGrant(
      id: Digest(words: (id, 0, 0, 0)), under: under.map { Digest(words: ($0, 0, 0, 0)) },
      subject: subject ?? PublicKey(words: (id, 1, 1, 1)), capabilities: capabilities.sorted(),
      notAfter: notAfter, delegationDepth: depth, author: nil, hlc: HybridTime(rawValue: id),
      state: state)
  }
}
