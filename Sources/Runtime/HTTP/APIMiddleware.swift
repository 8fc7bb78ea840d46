internal import Base
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import NIOCore

/// Turns every error into a problem document, counts and times every request.
struct ProblemMiddleware: RouterMiddleware {
  let registry: MetricsRegistry
  /// The listener's name as a metric label: `unix`, `network`, `metrics`.
  let listener: String
  let logger: Logger

  func handle(
    _ request: Request, context: APIContext,
    next: (Request, APIContext) async throws -> Response
  ) async throws -> Response {
    let start = ContinuousClock.now
    var response: Response
    do {
      try Self.checkBody(of: request)
      response = try await next(request, context)
    } catch {
      response = problem(error, of: request).response()
      // What is left of a body that nobody read is not worth waiting for.
      if Self.mayHaveBody(request) {
        response.headers[.connection] = "close"
        context.closeSoon()
      }
    }
    count(request, response, context, start.duration(to: .now))
    return response
  }

  private static func mayHaveBody(_ request: Request) -> Bool {
    request.headers[.transferEncoding] != nil || (request.headers[.contentLength] ?? "0") != "0"
  }

  private static func checkBody(of request: Request) throws(APIProblem) {
    guard request.method == .post || !mayHaveBody(request) else {
      throw .badRequest("\(request.method) with a body.")
    }
  }

  private func problem(_ error: any Error, of request: Request) -> APIProblem {
    switch error {
    case let problem as APIProblem: return problem
    case let error as HTTPError where error.status == .notFound:
      return .notFound("There is no \(request.method) \(request.uri.path.prefix(200)).")
    case let error as any HTTPResponseError:
      return APIProblem(
        code: "http\(error.status.code)", status: Int(error.status.code),
        title: error.status.reasonPhrase)
    case is CancellationError:
      return .unavailable("The daemon is stopping.")
    default:
      logger.error(
        "request failed",
        metadata: ["path": "\(request.uri.path.prefix(200))", "error": "\(error)"])
      return .internalError
    }
  }

  private func count(
    _ request: Request, _ response: Response, _ context: APIContext, _ duration: Duration
  ) {
    // Never the path itself: whoever asks could make series without end.
    let route = context.endpointPath ?? "none"
    let method = [.get, .post].contains(request.method) ? request.method.rawValue : "other"
    registry.counter(
      "starling_api_requests_total", help: "HTTP requests by listener, route and status.",
      labels: [
        "listener": listener, "method": method, "route": route,
        "status": String(response.status.code),
      ]
    ).increment()
    registry.histogram(
      "starling_api_request_seconds", help: "Time until the answer began.",
      labels: ["listener": listener, "route": route]
    ).record(duration)
    logger.debug(
      "request",
      metadata: [
        "method": "\(method)", "path": "\(request.uri.path.prefix(200))",
        "status": "\(response.status.code)",
        "milliseconds": "\(duration.milliseconds.rounded())",
      ])
  }
}

/// Lets through, on the network, what a reader signed; and changesets, whose own signatures are
/// authority enough, at a bounded rate from each source.
struct NetworkAccessMiddleware: RouterMiddleware {
  let service: any PeerService
  let verifier: SignatureVerifier
  let pushes: RateLimiter
  let registry: MetricsRegistry

  func handle(
    _ request: Request, context: APIContext,
    next: (Request, APIContext) async throws -> Response
  ) async throws -> Response {
    if request.method == .post {
      try admitPost(request, context)
    } else {
      try await admitReader(request)
    }
    return try await next(request, context)
  }

  private func admitPost(_ request: Request, _ context: APIContext) throws(APIProblem) {
    guard request.uri.path == "/v1/changesets" else {
      throw APIProblem(
        code: "localOnly", status: 403, title: "This is not done over the network",
        detail: "Only the Unix socket takes POST \(request.uri.path.prefix(200)).",
        fix: "Use the Unix socket on the peer's own machine.")
    }
    guard let source = context.remoteAddress, pushes.admits(source, at: .current) else {
      refuse("rate")
      throw .rateLimited("Too many changesets from this address.")
    }
  }

  private func admitReader(_ request: Request) async throws {
    let signable = SignableRequest(
      method: request.method.rawValue, scheme: "https", authority: request.head.authority ?? "",
      target: request.head.path ?? "/",
      fields: request.headers.map { ($0.name.rawName, $0.value) })
    let key: PublicKey
    do {
      key = try verifier.verify(
        signable, body: [], nowSeconds: Int64(APITime.now.milliseconds / 1000))
    } catch {
      refuse("signature")
      throw APIProblem.unauthorized(error.description, fix: error.fix)
    }
    guard await service.mayRead(key) else {
      refuse("capability")
      throw APIProblem(
        code: "forbidden", status: 403, title: "The key may not read",
        detail: "Key \(key.short) holds no `read` that counts here.",
        fix: "Give it `read`: starling grant \(key.hex) read.")
    }
  }

  private func refuse(_ reason: String) {
    registry.counter(
      "starling_api_refused_total", help: "Requests over the network that were not let in.",
      labels: ["reason": reason]
    ).increment()
  }
}
