internal import AsyncHTTPClient
public import Base
internal import FoundationEssentials
internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL
public import Replication
internal import Wire

/// Asks one peer's API, on its Unix socket or over TLS 1.3.
///
/// Over TLS the server's certificate has to chain to one of the given CA certificates: those of the
/// clusters, which stand in signed registers. It names the peer by a SPIFFE URI and no host, so the host
/// is not compared; requests carry an HTTP message signature (RFC 9421) by the admin key.
public struct PeerClient: Sendable {
  public let address: PeerAddress
  private let http: HTTPClient
  private let signer: Signer?
  /// For one request, except streams.
  private let timeout: Duration

  static let answerBytes = 256 << 20

  /// Opens a client for the time of `body`.
  ///
  /// - Parameters:
  ///   - authorities: PEM; needed for `https://`.
  ///   - isVerified: `false`: whoever answers may do so, since nothing is taken on his word.
  ///   - signer: signs requests over TLS.
  public static func with<T: Sendable>(
    _ address: PeerAddress, authorities: String?, isVerified: Bool = true, signer: Signer?,
    timeout: Duration = .seconds(10), _ body: (PeerClient) async throws -> T
  ) async throws -> T {
    var configuration = HTTPClient.Configuration()
    configuration.redirectConfiguration = .disallow
    configuration.httpVersion = .http1Only
    configuration.timeout = .init(connect: .nanoseconds(timeout.nanoseconds), read: .seconds(60))
    // An answer now is worth more than one after a minute of trying.
    configuration.connectionPool.retryConnectionEstablishment = false
    if case .network = address {
      configuration.tlsConfiguration =
        isVerified ? try tls(authorities, for: address) : unverified
    }
    let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    let client = PeerClient(address: address, http: http, signer: signer, timeout: timeout)
    do {
      let result = try await body(client)
      try? await http.shutdown()
      return result
    } catch {
      try? await http.shutdown()
      throw error
    }
  }

  private static var unverified: TLSConfiguration {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.minimumTLSVersion = .tlsv13
    configuration.certificateVerification = .none
    return configuration
  }

  private static func tls(
    _ authorities: String?, for address: PeerAddress
  ) throws(AdminError) -> TLSConfiguration {
    guard let authorities else {
      throw AdminError(
        .usage, "\(address): there is no CA to check this peer's certificate against",
        fix: "Give --ca FILE, or write the clusters' CAs into the context: "
          + "`starling context pin`, by the genesis or a peer's Unix socket.")
    }
    var configuration = unverified
    configuration.certificateVerification = .noHostnameVerification
    do {
      configuration.trustRoots = .certificates(
        try NIOSSLCertificate.fromPEMBytes(Array(authorities.utf8)))
    } catch {
      throw .usage("the CA file holds no certificates in PEM")
    }
    return configuration
  }

  // MARK: - Requests

  public func get<T: Decodable & Sendable>(
    _ target: String, as type: T.Type = T.self
  ) async throws -> T {
    try decode(try await body(of: try await send(.GET, target)), type)
  }

  public func post<T: Decodable & Sendable>(
    _ target: String, _ body: [UInt8], mediaType: String, as type: T.Type = T.self
  ) async throws -> T {
    let response = try await send(.POST, target, body: body, mediaType: mediaType)
    return try decode(try await self.body(of: response), type)
  }

  private func decode<T: Decodable>(_ bytes: ByteBuffer, _ type: T.Type) throws -> T {
    do {
      return try JSONDecoder().decode(type, from: Data(bytes.readableBytesView))
    } catch {
      throw AdminError(
        .failed, "\(address) answered what this release does not understand: \(error)",
        fix: "Compare `starling version` with the peer's.")
    }
  }

  private func body(of response: HTTPClientResponse) async throws -> ByteBuffer {
    do {
      return try await response.body.collect(upTo: Self.answerBytes)
    } catch {
      throw unreachable(error)
    }
  }

  private func send(
    _ method: HTTPMethod, _ target: String, body: [UInt8] = [], mediaType: String? = nil,
    timeout: Duration? = nil
  ) async throws -> HTTPClientResponse {
    if case .unix(let path) = address, !TextFile.exists(path) {
      throw AdminError(
        .unreachable, "there is no peer at \(address)",
        fix: "Is starlingd running, with that socket? Name another peer with --peer.")
    }
    var request = HTTPClientRequest(url: address.url(target))
    request.method = method
    request.headers.add(name: "host", value: address.authority)
    request.headers.add(name: "user-agent", value: "starling/\(StarlingVersion.current)")
    if let mediaType { request.headers.add(name: "content-type", value: mediaType) }
    if !body.isEmpty { request.body = .bytes(ByteBuffer(bytes: body)) }
    if case .network = address, let signer {
      let signable = SignableRequest(
        method: method.rawValue, authority: address.authority, target: target)
      let now = Int64(APITime.now.milliseconds / 1000)
      for field in MessageSignature.fields(
        signing: signable, body: body, by: signer, nowSeconds: now)
      {
        request.headers.add(name: field.name, value: field.value)
      }
    }
    let response: HTTPClientResponse
    do {
      let limit = (timeout ?? self.timeout).nanoseconds
      response = try await http.execute(request, timeout: .nanoseconds(limit))
    } catch {
      throw unreachable(error)
    }
    guard response.status.code >= 300 else { return response }
    throw try await problem(of: response)
  }

  private func problem(of response: HTTPClientResponse) async throws -> AdminError {
    let bytes = try await response.body.collect(upTo: 1 << 20)
    guard
      let problem = try? JSONDecoder().decode(APIProblem.self, from: Data(bytes.readableBytesView))
    else {
      return AdminError(
        .failed, "\(address) answered \(response.status.code)",
        fix: "Is this a Starling peer? Check the address.")
    }
    let detail = problem.detail.isEmpty ? "" : ": \(problem.detail)"
    let hint =
      problem.status == 401 && signer == nil
      ? "Give the admin key with --key: requests over the network are signed." : problem.fix
    return AdminError(.failed, problem.title + detail, fix: hint)
  }

  private func unreachable(_ error: any Error) -> AdminError {
    if let error = error as? AdminError { return error }
    let reason: String
    switch error {
    case let error as HTTPClientError: reason = Self.words(error)
    case let error as IOError: reason = FileError(code: error.errnoCode).reason
    case is NIOSSLError:
      reason = "TLS failed, its certificate may be by none of the known CAs (\(error))"
    default: reason = "\(error)"
    }
    return AdminError(
      .unreachable, "cannot reach \(address): \(reason)",
      fix: "Is starlingd running there? Name another peer with --peer.")
  }

  private static func words(_ error: HTTPClientError) -> String {
    switch error {
    case .connectTimeout, .deadlineExceeded, .readTimeout, .getConnectionFromPoolTimeout:
      "it does not answer"
    case .remoteConnectionClosed: "it closed the connection"
    case .tlsHandshakeTimeout: "the TLS handshake did not end"
    default: error.shortDescription
    }
  }
}

// MARK: - Long calls

extension PeerClient {
  /// Sends changesets; each gets a result, in their order.
  public func push(_ changesets: [Changeset]) async throws -> APIPushAnswer {
    let body =
      changesets.count == 1
      ? ChangesetCodec.encode(changesets[0]) : ChangesetCodec.encodeBatch(changesets)
    return try await post("/v1/changesets", body, mediaType: "application/x-protobuf")
  }

  /// Follows a changeset until every cluster has it or the time is over.
  public func progress(
    of id: Digest, timeout: Duration, _ step: (APIProgress) -> Void
  ) async throws -> APIProgressDone {
    let milliseconds = max(1, min(600_000, timeout.nanoseconds / 1_000_000))
    let target = "/v1/changesets/\(id.hex)/progress?timeoutMilliseconds=\(milliseconds)"
    let response = try await send(.GET, target)
    var parser = ServerEventParser()
    do {
      for try await chunk in response.body {
        for event in try parser.read(chunk.readableBytesView) {
          guard let progress = try Self.progress(event) else { continue }
          step(progress)
          if case .done(let done) = progress { return done }
        }
      }
    } catch {
      throw unreachable(error)
    }
    throw AdminError(
      .failed, "\(address) ended before it said that the change is everywhere",
      fix: "The change is stored. See `starling status`, or push it again: that does no harm.")
  }

  private static func progress(_ event: ServerEventParser.Event) throws -> APIProgress? {
    let data = Data(event.data.utf8)
    let decoder = JSONDecoder()
    switch event.name {
    case "expected":
      return .expected(try decoder.decode(APIProgressExpected.self, from: data))
    case "confirmed":
      return .confirmed(try decoder.decode(APIProgressConfirmed.self, from: data))
    case "done": return .done(try decoder.decode(APIProgressDone.self, from: data))
    default: return nil
    }
  }

  /// A consistent copy of the peer's store, as it comes.
  public func backup(_ chunk: ([UInt8]) throws -> Void) async throws {
    let response = try await send(.POST, "/v1/backup", timeout: .seconds(600))
    do {
      for try await bytes in response.body { try chunk(Array(bytes.readableBytesView)) }
    } catch {
      throw unreachable(error)
    }
  }

  /// The signed bytes of a changeset, checked against its ID.
  public func changeset(_ id: Digest) async throws -> (Changeset, APIChangeset) {
    let answer = try await get("/v1/changesets/\(id.hex)", as: APIChangeset.self)
    guard let raw = answer.raw.flatMap({ [UInt8](hex: $0) }),
      let changeset = try? ChangesetCodec.decode(raw, crypto: .sodium), changeset.id == id
    else {
      throw AdminError(.failed, "\(address) does not hold the signed bytes of \(id.short)")
    }
    return (changeset, answer)
  }
}
