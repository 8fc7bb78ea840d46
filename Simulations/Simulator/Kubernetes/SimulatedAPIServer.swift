internal import Base
internal import Kubernetes

/// What goes wrong with an API server.
public enum APIServerTrouble: CaseIterable, Sendable {
  /// Nobody can reach it.
  case away
  /// 429 with `Retry-After`.
  case busy
  /// It remembers nothing: 410 for every watch and every second page.
  case forgetful
  /// Watches break off in the middle of a line.
  case cutting
  /// It answers from a cache that is some changes behind, as one does that was just restarted.
  case stale
}

/// One collection of an API server: lists in pages, watches from a version on as far back as it
/// remembers, and what goes wrong with them.
struct SimulatedAPIServer {
  /// Of one request; a watch's lines come one by one.
  enum Answer {
    case response(APIResponse)
    case watch(lines: [[UInt8]], version: Int)
    case unreachable
  }

  static let type = ResourceType.serviceExports
  /// Changes that it remembers.
  private static let memory = 8
  private static let staleness = 3

  var trouble: APIServerTrouble?
  private(set) var version = 100
  private var objects: [ObjectKey: KubernetesObject] = [:]
  private var log: [(version: Int, line: [UInt8])] = []
  /// Older ones cannot be watched from.
  private var oldest = 100
  /// As it was after each change that is remembered, for answers from a cache.
  private var past: [(version: Int, objects: [ObjectKey: KubernetesObject])] = []

  // MARK: Content

  /// How many endpoints a service has; 0: it is not exported.
  func endpoints(_ key: ObjectKey) -> Int {
    objects[key].flatMap { Self.endpoints($0) } ?? 0
  }

  static func endpoints(_ object: KubernetesObject) -> Int? {
    object.spec["endpoints"]?.integer.map { Int(clamping: $0) }
  }

  /// Makes, changes or (0 endpoints) deletes an export. The line that watches get; `nil`: it was so.
  mutating func set(_ key: ObjectKey, endpoints: Int) -> [UInt8]? {
    guard endpoints != self.endpoints(key) else { return nil }
    past.append((version, objects))
    if past.count > Self.staleness { past.removeFirst() }
    version += 1
    let kind = endpoints == 0 ? "DELETED" : objects[key] == nil ? "ADDED" : "MODIFIED"
    var object = KubernetesObject(
      Self.type, key, ["spec": ["endpoints": .integer(Int64(endpoints))]])
    object.json["metadata"]?["resourceVersion"] = .string("\(version)")
    objects[key] = endpoints == 0 ? nil : object
    let line = Self.line(kind, object.json)
    log.append((version, line))
    if log.count > Self.memory { oldest = log.removeFirst().version }
    return line
  }

  static func line(_ kind: String, _ object: JSON) -> [UInt8] {
    let event: JSON = ["type": .string(kind), "object": object]
    return event.bytes + [0x0a]
  }

  /// The present version, or that of a cache that is behind.
  var bookmark: [UInt8] {
    let seen = trouble == .stale ? past.first ?? present : present
    return Self.line("BOOKMARK", ["metadata": ["resourceVersion": .string("\(seen.version)")]])
  }

  // MARK: Requests

  func answer(_ request: APIRequest) -> Answer {
    let query = Self.query(request.target)
    let isWatch = query["watch"] == "true"
    switch trouble {
    case .away: return .unreachable
    case .busy: return .response(Self.status(429, "TooManyRequests", retryAfter: "1"))
    case .forgetful where isWatch || query["continue"] != nil:
      return .response(Self.status(410, "Expired"))
    default: break
    }
    return isWatch ? watch(from: query["resourceVersion"] ?? "") : list(query)
  }

  private func watch(from text: String) -> Answer {
    guard let from = Int(text), from >= oldest else {
      // One of the two forms in which a server says so.
      let gone = Self.gone
      return version.isMultiple(of: 2)
        ? .response(APIResponse(status: 410, body: gone.bytes))
        : .watch(lines: [Self.line("ERROR", gone)], version: version)
    }
    return .watch(lines: log.filter { $0.version > from }.map(\.line), version: version)
  }

  private var present: (version: Int, objects: [ObjectKey: KubernetesObject]) { (version, objects) }

  /// All pages of a list are of one version: the token names it, and the place to go on from.
  private func list(_ query: [String: String]) -> Answer {
    var seen = trouble == .stale ? past.first ?? present : present
    var start = 0
    if let token = query["continue"] {
      let parts = token.split(separator: "-").compactMap { Int($0) }
      guard parts.count == 2, let kept = (past + [present]).last(where: { $0.version == parts[0] })
      else { return .response(APIResponse(status: 410, body: Self.gone.bytes)) }
      (seen, start) = (kept, parts[1])
    }
    let keys = seen.objects.keys.sorted()
    let limit = query["limit"].flatMap { Int($0) } ?? keys.count
    let end = min(keys.count, start + max(limit, 1))
    var metadata: JSON = ["resourceVersion": .string("\(seen.version)")]
    if end < keys.count { metadata["continue"] = .string("\(seen.version)-\(end)") }
    let items = keys[min(start, end)..<end].compactMap { seen.objects[$0]?.json }
    let page: JSON = ["metadata": metadata, "items": .array(items)]
    return .response(APIResponse(status: 200, body: page.bytes))
  }

  private static let gone: JSON = ["kind": "Status", "code": 410, "reason": "Expired"]

  private static func status(
    _ code: Int, _ reason: String, retryAfter: String? = nil
  ) -> APIResponse {
    let body: JSON = [
      "kind": "Status", "code": .integer(Int64(code)), "reason": .string(reason),
    ]
    return APIResponse(status: code, retryAfter: retryAfter, body: body.bytes)
  }

  private static func query(_ target: String) -> [String: String] {
    let parts = target.split(separator: "?", maxSplits: 1)
    guard parts.count == 2 else { return [:] }
    var out: [String: String] = [:]
    for pair in parts[1].split(separator: "&") {
      let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      out[String(sides[0])] = sides.count == 2 ? String(sides[1]) : ""
    }
    return out
  }
}
