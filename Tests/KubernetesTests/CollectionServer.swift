import Base
import Kubernetes

/// One collection of an API server, in virtual time: pages, a watch with bookmarks, a short memory.
struct CollectionServer {
  private(set) var objects: [ObjectKey: KubernetesObject] = [:]
  private var version = 100
  /// What watches are served from; older versions are gone.
  private var log: [(version: Int, line: JSON)] = []
  private var oldest = 100
  private var snapshots: [String: [KubernetesObject]] = [:]
  /// A `continue` token stops being good after so many pages asked for.
  var tokensExpire = false
  var pagesServed = 0
  var watchesOpened = 0

  mutating func write(_ name: String, value: Int64) {
    version += 1
    let key = ObjectKey(namespace: "n", name: name)
    var object = KubernetesObject(.services, key, ["spec": ["value": .integer(value)]])
    object.json["metadata"]?["resourceVersion"] = .string("\(version)")
    log.append(
      (version, ["type": objects[key] == nil ? "ADDED" : "MODIFIED", "object": object.json]))
    objects[key] = object
  }

  mutating func delete(_ name: String) {
    let key = ObjectKey(namespace: "n", name: name)
    guard var object = objects.removeValue(forKey: key) else { return }
    version += 1
    object.json["metadata"]?["resourceVersion"] = .string("\(version)")
    log.append((version, ["type": "DELETED", "object": object.json]))
  }

  /// Forgets all events so far.
  mutating func compact() {
    oldest = version
    log = []
  }

  mutating func answer(list request: APIRequest) -> APIResponse {
    pagesServed += 1
    let query = Self.query(request)
    let limit = Int(query["limit"] ?? "") ?? 0
    var items = objects.keys.sorted().compactMap { objects[$0] }
    var listed = "\(version)"
    if let token = query["continue"] {
      guard !tokensExpire, let rest = snapshots[token] else {
        return Self.failure(410, "Expired")
      }
      items = rest
      listed = String(token.prefix { $0 != "-" })
    }
    var metadata: JSON = ["resourceVersion": .string(listed)]
    if limit > 0, items.count > limit {
      let token = "\(listed)-\(pagesServed)"
      snapshots[token] = Array(items.dropFirst(limit))
      metadata["continue"] = .string(token)
      items = Array(items.prefix(limit))
    }
    let body: JSON = ["metadata": metadata, "items": .array(items.map(\.listed))]
    return APIResponse(status: 200, body: body.bytes)
  }

  /// The version that a watch begins at, or its refusal.
  mutating func open(_ request: APIRequest) -> Result<Int, APIFailure> {
    watchesOpened += 1
    guard let text = Self.query(request)["resourceVersion"], let from = Int(text) else {
      return .failure(APIFailure(code: 400))
    }
    return from < oldest ? .failure(APIFailure(code: 410, reason: "Expired")) : .success(from)
  }

  /// The lines of what happened since; `nil` where that is forgotten.
  func lines(since from: Int) -> (bytes: [UInt8], version: Int)? {
    guard from >= oldest else { return nil }
    let events = log.filter { $0.version > from }
    return (events.flatMap { $0.line.bytes + [0x0a] }, events.last?.version ?? from)
  }

  func bookmark() -> (bytes: [UInt8], version: Int) {
    let line: JSON = [
      "type": "BOOKMARK",
      "object": ["kind": "Service", "metadata": ["resourceVersion": .string("\(version)")]],
    ]
    return (line.bytes + [0x0a], version)
  }

  static func goneEvent() -> [UInt8] {
    let line: JSON = [
      "type": "ERROR",
      "object": ["kind": "Status", "code": 410, "reason": "Expired", "message": "too old"],
    ]
    return line.bytes + [0x0a]
  }

  static func failure(_ code: Int, _ reason: String, retryAfter: String? = nil) -> APIResponse {
    let body: JSON = ["kind": "Status", "code": .integer(Int64(code)), "reason": .string(reason)]
    return APIResponse(status: code, retryAfter: retryAfter, body: body.bytes)
  }

  static func query(_ request: APIRequest) -> [String: String] {
    guard let mark = request.target.firstIndex(of: "?") else { return [:] }
    let pairs = request.target[request.target.index(after: mark)...].split(separator: "&")
    return pairs.reduce(into: [:]) { out, pair in
      let parts = pair.split(separator: "=", maxSplits: 1)
      if parts.count == 2 { out[String(parts[0])] = String(parts[1]) }
    }
  }
}

extension KubernetesObject {
  /// As an item of a list: servers leave out what types that they are built with all share.
  fileprivate var listed: JSON {
    var out = json
    out["kind"] = nil
    out["apiVersion"] = nil
    return out
  }
}
