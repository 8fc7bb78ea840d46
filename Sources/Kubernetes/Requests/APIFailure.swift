/// A request's refusal, from the response's status and the `Status` object in its body.
public struct APIFailure: Error, Hashable, Sendable, CustomStringConvertible {
  /// HTTP status, or the code of an `ERROR` event.
  public var code: Int
  /// CamelCase (`Conflict`, `AlreadyExists`, `Expired`); empty where the server gave none.
  public var reason: String
  /// For people; bounded.
  public var message: String
  /// From the header or the body.
  public var retryAfterSeconds: Int?
  /// The object's namespace is being deleted and takes nothing new.
  public var isNamespaceTerminating = false

  public static let messageLimit = 512
  /// What a server may ask for; more is cut to it.
  public static let retryAfterLimit = 300

  public init(code: Int, reason: String = "", message: String = "", retryAfterSeconds: Int? = nil) {
    self.code = code
    self.reason = reason
    self.message = String(message.prefix(Self.messageLimit))
    self.retryAfterSeconds = retryAfterSeconds.map { min(max($0, 0), Self.retryAfterLimit) }
  }

  /// From a response; any body will do, a proxy's page as well.
  public init(code: Int, body: some Collection<UInt8>, retryAfter header: String? = nil) {
    let status = try? JSON(parsing: body.prefix(1 << 20))
    self.init(code: code, status: status ?? .null, retryAfter: header)
  }

  public init(code: Int, status: JSON, retryAfter header: String? = nil) {
    let isStatus = status["kind"]?.string == "Status"
    self.init(
      code: code, reason: isStatus ? status["reason"]?.string ?? "" : "",
      message: isStatus ? status["message"]?.string ?? "" : "",
      retryAfterSeconds: header.flatMap { Self.seconds($0) }
        ?? status.at("details", "retryAfterSeconds")?.integer.map { Int(clamping: $0) })
    let causes = isStatus ? status.at("details", "causes")?.array ?? [] : []
    isNamespaceTerminating = causes.contains { $0["reason"] == "NamespaceTerminating" }
  }

  /// Whole seconds; the other form of RFC 9110 section 10.2.3, a date, no API server uses.
  private static func seconds(_ text: String) -> Int? {
    guard (1...9).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }) else {
      return nil
    }
    return Int(text)
  }

  /// The wanted version is older than the server's memory, or (a list's token) has expired.
  public var isGone: Bool { code == 410 }
  public var isConflict: Bool { code == 409 && reason != "AlreadyExists" }
  public var alreadyExists: Bool { code == 409 && reason == "AlreadyExists" }
  public var isNotFound: Bool { code == 404 }
  public var isUnauthorized: Bool { code == 401 }
  public var isForbidden: Bool { code == 403 }
  public var isThrottled: Bool { code == 429 }
  /// The same request will be refused again: the object itself is not acceptable.
  public var isFinal: Bool {
    code == 400 || code == 405 || code == 413 || code == 415 || code == 422
  }

  public var description: String {
    let detail = [reason, message].filter { !$0.isEmpty }.joined(separator: ": ")
    return detail.isEmpty ? "HTTP \(code)" : "HTTP \(code) \(detail)"
  }
}
