public import Base
public import Replication

/// What the HTTP API asks of the peer. Implemented by the host of the peer core; every method throws
/// `APIProblem` for what the caller can understand or mend.
public protocol PeerService: Sendable {
  func status() async throws -> APIStatus
  /// For `/readyz`; never throws, since "not ready" is an answer.
  func readiness() async -> APIReadiness
  func members() async throws -> [APIMember]
  func slices() async throws -> [APISlice]
  /// Throws `notFound`.
  func slice(named name: String) async throws -> APISlice
  /// Registers of one scope, or of all that this peer holds, whose path starts with `prefix`.
  func registers(scope: Scope?, prefix: String) async throws -> APIRegisters
  func grants() async throws -> APIGrants
  func grant(id: Digest) async throws -> APIGrantDetail
  func conflicts() async throws -> [APIConflict]
  func log(_ query: APILogQuery) async throws -> [APIChangeset]
  func services() async throws -> [APIService]
  func tunnels() async throws -> [APITunnel]
  func explain(_ subject: APIExplainSubject) async throws -> APIExplanation
  func genesis() async throws -> APIGenesis
  func changeset(id: Digest) async throws -> APIChangeset
  /// The body of a push: one `SignedChangeset`, or a `ChangesetBatch` of at most 256. Returns when what
  /// was accepted is durable. Throws only where the body as a whole cannot be read.
  func push(_ body: [UInt8]) async throws -> APIPushAnswer
  /// Ends after `done`, or when the consumer stops. Waits for at most `timeoutMilliseconds`.
  func progress(
    of id: Digest, timeoutMilliseconds: UInt64
  ) async throws -> AsyncStream<APIProgress>
  func join(token: String) async throws -> APIJoinAnswer
  func backup() async throws -> APIBackup
  func memberEvents() async throws -> AsyncStream<APIMemberEvent>
  /// Whether the key holds `read` at present, through a valid grant (or is a root key).
  func mayRead(_ key: PublicKey) async -> Bool
}

/// `POST /v1/backup`: a consistent copy of the store.
public struct APIBackup: Sendable {
  public var fileName: String
  public var chunks: AsyncThrowingStream<[UInt8], any Error>

  public init(fileName: String, chunks: AsyncThrowingStream<[UInt8], any Error>) {
    self.fileName = fileName
    self.chunks = chunks
  }
}
