/// An error as the API says it: RFC 9457 `application/problem+json`, with what to do about it.
///
/// `PeerService` throws these; anything else it throws becomes a 500 without its text.
public struct APIProblem: Error, Codable, Hashable, Sendable {
  /// A short name for programs: `unsigned`, `notFound`, `rateLimited`, ...
  public var code: String
  /// The HTTP status.
  public var status: Int
  /// What is wrong, the same for every occurrence.
  public var title: String
  /// What is wrong this time.
  public var detail: String
  /// What the reader can do about it; empty where nothing can be done.
  public var fix: String

  public static let mediaType = "application/problem+json"

  public init(code: String, status: Int, title: String, detail: String = "", fix: String = "") {
    self.code = code
    self.status = status
    self.title = title
    self.detail = detail
    self.fix = fix
  }

  public static func badRequest(_ detail: String, fix: String = "") -> APIProblem {
    APIProblem(
      code: "badRequest", status: 400, title: "The request is not valid", detail: detail, fix: fix)
  }

  public static func unauthorized(_ detail: String, fix: String = "") -> APIProblem {
    APIProblem(
      code: "unsigned", status: 401, title: "The request is not signed by a reader",
      detail: detail, fix: fix)
  }

  public static func notFound(_ detail: String, fix: String = "") -> APIProblem {
    APIProblem(
      code: "notFound", status: 404, title: "There is no such thing", detail: detail, fix: fix)
  }

  /// The peer is in a state in which this cannot be done: not joined yet, joined already.
  public static func conflict(_ detail: String, fix: String = "") -> APIProblem {
    APIProblem(
      code: "conflict", status: 409, title: "The peer is not in a state for this", detail: detail,
      fix: fix)
  }

  public static func tooLarge(_ detail: String, fix: String = "") -> APIProblem {
    APIProblem(
      code: "tooLarge", status: 413, title: "The request is too large", detail: detail, fix: fix)
  }

  public static func rateLimited(_ detail: String) -> APIProblem {
    APIProblem(
      code: "rateLimited", status: 429, title: "Too many requests", detail: detail,
      fix: "Wait a moment and try again.")
  }

  public static func unavailable(_ detail: String, fix: String = "") -> APIProblem {
    APIProblem(
      code: "unavailable", status: 503, title: "The peer cannot do this now", detail: detail,
      fix: fix)
  }

  public static let internalError = APIProblem(
    code: "internal", status: 500, title: "The peer failed",
    detail: "The daemon's log says more.",
    fix: "Look at the daemon's log at the time of this request.")
}
