internal import Base
internal import FoundationEssentials
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

/// What a handler knows of its request besides the request.
struct APIContext: RequestContext {
  var coreContext: CoreRequestContextStorage
  let channel: any Channel

  init(source: ApplicationRequestContextSource) {
    coreContext = .init(source: source)
    channel = source.channel
  }

  /// `nil` on the Unix socket.
  var remoteAddress: IPAddress? {
    channel.remoteAddress?.ipAddress.flatMap { text in
      // A zone (fe80::1%eth0) is no part of the address.
      IPAddress(text.prefix { $0 != "%" })
    }
  }

  /// Ends the connection a moment after the answer, so that what the client still sends of its request
  /// is neither waited for without end nor answered with a reset that swallows the answer.
  func closeSoon() {
    let channel = channel
    channel.eventLoop.scheduleTask(in: .seconds(1)) { channel.close(promise: nil) }
  }
}

/// Bounds on what a request may cost before anything is known about its sender.
enum APILimits {
  static let bodyBytes = 4 << 20
  static let headerBytes = 16 << 10
  static let headerFields = 64
  /// A connection without a request, or in the midst of one, is closed after that long.
  static let idle: Duration = .seconds(60)
  /// A whole body has to be there after that long.
  static let body: Duration = .seconds(30)
  static let tokenBytes = 1 << 20
}

extension Response {
  static func json(
    _ value: some Encodable, status: HTTPResponse.Status = .ok,
    mediaType: String = "application/json"
  ) throws -> Response {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let data = try encoder.encode(value)
    return Response(
      status: status, headers: [.contentType: mediaType, .cacheControl: "no-store"],
      body: .init(byteBuffer: ByteBuffer(bytes: data)))
  }

  static func text(
    _ text: String, status: HTTPResponse.Status = .ok,
    mediaType: String = "text/plain; charset=utf-8"
  ) -> Response {
    Response(
      status: status, headers: [.contentType: mediaType, .cacheControl: "no-store"],
      body: .init(byteBuffer: ByteBuffer(string: text)))
  }
}

extension APIProblem {
  func response() -> Response {
    var response: Response
    do {
      response = try .json(
        self, status: HTTPResponse.Status(code: status), mediaType: Self.mediaType)
    } catch {
      return Response(status: .internalServerError)
    }
    switch status {
    case 401: response.headers[.wwwAuthenticate] = "Signature"
    case 429, 503: response.headers[.retryAfter] = "1"
    default: break
    }
    return response
  }
}

extension Request {
  /// The whole body, within the bounds on size and time.
  func wholeBody(upTo limit: Int = APILimits.bodyBytes) async throws -> [UInt8] {
    let refusal = APIProblem.tooLarge("The body is larger than \(limit) bytes.")
    if let length = headers[.contentLength].flatMap({ Int($0) }), length > limit { throw refusal }
    let body = body
    return try await withThrowingTaskGroup(of: [UInt8].self) { group in
      group.addTask {
        do {
          return [UInt8](buffer: try await body.collect(upTo: limit))
        } catch is NIOTooManyBytesError {
          throw refusal
        }
      }
      group.addTask {
        try await Task.sleep(for: APILimits.body)
        throw APIProblem(
          code: "timeout", status: 408, title: "The request did not arrive in time",
          detail: "Its body took longer than \(APILimits.body.components.seconds) s.")
      }
      defer { group.cancelAll() }
      return try await group.next() ?? []
    }
  }

  /// The parameters of the query; ones that the endpoint does not know are refused, since a filter
  /// that is silently ignored answers something else than was asked.
  func query(allowing names: String...) throws(APIProblem) -> [String: String] {
    var values: [String: String] = [:]
    for (name, value) in uri.queryParameters {
      guard names.contains(String(name)) else {
        throw .badRequest(
          "The query has \(JSONText.quoted(String(name.prefix(64)))), which is not known here.",
          fix: names.isEmpty ? "Leave it out." : "Known are: \(names.joined(separator: ", ")).")
      }
      guard values.updateValue(String(value), forKey: String(name)) == nil else {
        throw .badRequest("\(name) is given twice.")
      }
    }
    return values
  }
}
