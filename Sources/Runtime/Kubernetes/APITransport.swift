internal import AsyncHTTPClient
internal import Base
internal import Foundation
internal import Kubernetes
internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL
internal import Synchronization

/// Carries requests to one API server over TLS.
///
/// Watches have a client of their own: a pool's connections are few, and every watch holds one. A dead
/// peer is noticed by the time between two reads, since a deadline ends with the response's head.
actor APITransport {
  private let source: CredentialSource
  private var clients: Clients?
  private var isShutDown = false
  /// What the server has to carry for us.
  nonisolated let sent = RequestCounts()

  /// Whoever lets go of a client has to shut it down, or it stops the process; this one does so
  /// wherever it is let go of.
  private final class Clients: Sendable {
    let generation: Int
    let requests: HTTPClient
    let watches: HTTPClient

    init(generation: Int, requests: HTTPClient, watches: HTTPClient) {
      self.generation = generation
      self.requests = requests
      self.watches = watches
    }

    func shutdown() async {
      try? await requests.shutdown()
      try? await watches.shutdown()
    }

    deinit {
      requests.shutdown { _ in }
      watches.shutdown { _ in }
    }
  }

  static let connectTimeout: TimeAmount = .seconds(5)
  /// Between two reads of a response that is not a watch's.
  static let readTimeout: TimeAmount = .seconds(30)
  /// Above what a watch's own watchdog allows.
  static let watchReadTimeout: TimeAmount = .seconds(150)
  static let watchConnections = 64
  /// For one request with its whole answer.
  static let requestTimeout: Duration = .seconds(30)
  static let answerLimit = JSONLimits.page.bytes

  init(_ access: ClusterAccess) {
    source = CredentialSource(access)
  }

  func shutdown() async {
    isShutDown = true
    await clients.take()?.shutdown()
  }

  /// Sends one request and reads the whole answer. After a 401 it tries once more if there are other
  /// credentials by then.
  func send(
    _ request: APIRequest, timeout: Duration = requestTimeout
  ) async throws(TransportFailure) -> APIResponse {
    let (response, token) = try await attempt(request, timeout)
    guard response.status == 401 else {
      await source.accepted()
      return response
    }
    await source.refused()
    guard try await source.snapshot().token != token else { return response }
    return try await attempt(request, timeout).0
  }

  private func attempt(
    _ request: APIRequest, _ timeout: Duration
  ) async throws(TransportFailure) -> (APIResponse, String?) {
    let snapshot = try await source.snapshot()
    let client = try current(snapshot).requests
    sent.add(request.method.rawValue)
    let message = try message(request, snapshot)
    return try await Self.translating {
      try await withDeadline(timeout) {
        let head = try await client.execute(
          message, timeout: .nanoseconds(timeout.nanoseconds))
        let body = try await head.body.collect(upTo: Self.answerLimit)
        return (
          APIResponse(
            status: Int(head.status.code), retryAfter: head.headers.first(name: "retry-after"),
            body: Array(body.readableBytesView)), snapshot.token
        )
      }
    }
  }

  /// Opens a watch. `opened` comes once, then `received` for each piece; returns when the server has
  /// closed it. Cancelling the task ends it.
  ///
  /// - Returns: the answer where the server refused.
  func stream(
    _ request: APIRequest, headTimeout: Duration,
    opened: @escaping @Sendable () async -> Void,
    received: @escaping @Sendable ([UInt8]) async -> Void
  ) async throws(TransportFailure) -> APIResponse? {
    let snapshot = try await source.snapshot()
    let client = try current(snapshot).watches
    sent.add("WATCH")
    let message = try message(request, snapshot)
    let refusal: APIResponse? = try await Self.translating {
      let head = try await client.execute(
        message, timeout: .nanoseconds(headTimeout.nanoseconds))
      guard head.status == .ok else {
        let body = try await head.body.collect(upTo: JSONLimits.object.bytes)
        return APIResponse(
          status: Int(head.status.code), retryAfter: head.headers.first(name: "retry-after"),
          body: Array(body.readableBytesView))
      }
      await opened()
      for try await piece in head.body { await received(Array(piece.readableBytesView)) }
      return nil
    }
    if refusal?.status == 401 { await source.refused() }
    return refusal
  }

  // MARK: Clients

  private func current(_ snapshot: CredentialSource.Snapshot) throws(TransportFailure) -> Clients {
    guard !isShutDown else { throw .unreachable("shut down") }
    if let clients, clients.generation == snapshot.generation { return clients }
    let tls = try Self.tls(snapshot)
    let next = Clients(
      generation: snapshot.generation,
      requests: client(tls, readTimeout: Self.readTimeout, connections: 8),
      watches: client(tls, readTimeout: Self.watchReadTimeout, connections: Self.watchConnections))
    if let old = clients {
      Task { await old.shutdown() }
    }
    clients = next
    return next
  }

  private func client(
    _ tls: TLSConfiguration, readTimeout: TimeAmount, connections: Int
  ) -> HTTPClient {
    var configuration = HTTPClient.Configuration()
    configuration.tlsConfiguration = tls
    configuration.redirectConfiguration = .disallow
    configuration.httpVersion = .http1Only
    configuration.timeout = .init(connect: Self.connectTimeout, read: readTimeout)
    configuration.connectionPool.retryConnectionEstablishment = false
    configuration.connectionPool.idleTimeout = .seconds(60)
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = connections
    if let name = source.access.serverName, let host = Self.host(of: source.access.server) {
      configuration.dnsOverride = [name: host]
    }
    return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }

  /// The given CA and nothing else; both names and addresses of the server are checked.
  private static func tls(
    _ snapshot: CredentialSource.Snapshot
  ) throws(TransportFailure) -> TLSConfiguration {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.minimumTLSVersion = .tlsv12
    configuration.certificateVerification = .fullVerification
    do {
      let roots = try NIOSSLCertificate.fromPEMBytes(snapshot.authority)
      guard !roots.isEmpty else { throw TransportFailure.untrusted("there is no CA") }
      configuration.trustRoots = .certificates(roots)
      if let certificate = snapshot.certificate, let key = snapshot.key {
        configuration.certificateChain = try NIOSSLCertificate.fromPEMBytes(certificate)
          .map { .certificate($0) }
        configuration.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: key, format: .pem))
      }
    } catch {
      throw .untrusted("\(error)")
    }
    return configuration
  }

  private func message(
    _ request: APIRequest, _ snapshot: CredentialSource.Snapshot
  ) throws(TransportFailure) -> HTTPClientRequest {
    var out = HTTPClientRequest(url: url(request.target))
    out.method = HTTPMethod(rawValue: request.method.rawValue)
    out.headers.add(name: "accept", value: APIRequest.json)
    out.headers.add(name: "user-agent", value: "starling/\(StarlingVersion.current)")
    if let token = snapshot.token {
      out.headers.add(name: "authorization", value: "Bearer \(token)")
    }
    if let body = request.body {
      out.headers.add(name: "content-type", value: request.contentType ?? APIRequest.json)
      out.body = .bytes(ByteBuffer(bytes: body))
    }
    return out
  }

  /// `tls-server-name` stands in the URL's host, which is what is checked; the name is resolved to the
  /// real host.
  private nonisolated func url(_ target: String) -> String {
    let access = source.access
    guard let name = access.serverName, let host = Self.host(of: access.server),
      let range = access.server.range(of: host)
    else { return access.server + target }
    return access.server.replacingCharacters(in: range, with: name) + target
  }

  private static func host(of server: String) -> String? {
    let authority = server.dropFirst("https://".count).prefix { $0 != "/" }
    if authority.hasPrefix("[") {
      return authority.firstIndex(of: "]").map { String(authority[...$0]) }
    }
    return String(authority.prefix { $0 != ":" })
  }

  private static func translating<T: Sendable>(
    _ body: @Sendable () async throws -> T
  ) async throws(TransportFailure) -> T {
    do {
      return try await body()
    } catch let failure as TransportFailure {
      throw failure
    } catch let error as HTTPClientError {
      switch error {
      case .connectTimeout, .readTimeout, .deadlineExceeded: throw .timedOut
      default: throw .unreachable("\(error)")
      }
    } catch is NIOTooManyBytesError {
      throw .tooLarge
    } catch let error as NIOSSLError {
      throw .untrusted("\(error)")
    } catch let error as NIOSSLExtraError {
      throw .untrusted("\(error)")
    } catch {
      throw .unreachable("\(error)")
    }
  }
}

/// Requests by method, and watches.
final class RequestCounts: Sendable {
  private let state = Mutex<[String: UInt64]>([:])

  var counts: [String: UInt64] { state.withLock { $0 } }

  func add(_ method: String) {
    state.withLock { $0[method, default: 0] += 1 }
  }
}

extension Optional {
  fileprivate mutating func take() -> Wrapped? {
    defer { self = nil }
    return self
  }
}
