import Base
import Kubernetes

/// The API in front of a `FakeStore`: paths, lists with pages, watches, faults. Without IO.
struct FakeAPI {
  var store: FakeStore
  /// Tokens that are let in; empty: everybody.
  var tokens: Set<String> = []
  /// What happens to the next requests that fit, in order.
  var faults: [Fault] = []
  /// Requests by "GET services", "WATCH services", "PATCH services/status".
  private(set) var counts: [String: Int] = [:]
  private(set) var requests: [Request] = []
  private var snapshots: [String: (version: Int, rest: [KubernetesObject])] = [:]

  init(store: FakeStore) {
    self.store = store
  }

  struct Request: Hashable {
    var method: String
    var target: String
    var token: String?
    var contentType: String?
    var body: [UInt8]
  }

  struct Fault {
    /// Begins the count's name: "PATCH", "WATCH services", "" for all.
    var prefix: String
    var times: Int
    var effect: Effect

    enum Effect {
      case refuse(Int, reason: String, retryAfter: Int?)
      /// Carries the request out and closes before the answer.
      case loseAnswer
      /// Closes instead of an answer.
      case close
      /// Begins a watch and, after so many bytes, closes: mostly within a line.
      case cut(afterBytes: Int)
      /// One byte a piece.
      case slow
      /// The watch's first line is an expired version.
      case goneEvent
    }
  }

  struct Watch {
    var type: ResourceType
    var namespace: String
    var selector: [String: String]
    var version: Int
    var bookmarks: Bool
    var cutAfter: Int?
    var isSlow = false
    var goneFirst = false
  }

  enum Answer {
    case response(Int, JSON, retryAfter: Int?)
    case watch(Watch)
    case close
  }

  mutating func handle(_ request: Request) -> Answer {
    requests.append(request)
    let (path, query) = Self.split(request.target)
    if !tokens.isEmpty, !tokens.contains(request.token ?? "") {
      return Self.refusal(APIFailure(code: 401, reason: "Unauthorized"))
    }
    guard let place = place(path) else {
      return Self.refusal(APIFailure(code: 404, reason: "NotFound", message: "no such path"))
    }
    let isWatch = query["watch"] == "true"
    let verb = isWatch ? "WATCH" : request.method
    let name =
      place.subresource.isEmpty ? place.type.plural : "\(place.type.plural)/\(place.subresource)"
    counts["\(verb) \(name)", default: 0] += 1
    let fault = takeFault("\(verb) \(name)")
    switch fault {
    case .refuse(let code, let reason, let retryAfter):
      return Self.refusal(
        APIFailure(code: code, reason: reason, retryAfterSeconds: retryAfter))
    case .close: return .close
    default: break
    }
    let answer: Answer
    do throws(APIFailure) {
      answer = isWatch ? try watch(place, query, fault) : try plain(request, place, query)
    } catch {
      answer = Self.refusal(error)
    }
    if case .loseAnswer = fault { return .close }
    return answer
  }

  /// Lines that a watch has not had; `nil` where they are forgotten.
  func lines(_ watch: inout Watch) -> [UInt8]? {
    guard watch.version >= store.oldest, !watch.goneFirst else { return nil }
    var out: [UInt8] = []
    for event in store.log[watch.type] ?? [] where event.version > watch.version {
      watch.version = event.version
      let isIn = Self.matches(event.object, watch.namespace, watch.selector)
      let wasIn = event.previous.map { Self.matches($0, watch.namespace, watch.selector) } ?? false
      let kind: String
      switch (event.kind, wasIn, isIn) {
      case ("DELETED", true, _), ("DELETED", _, true), (_, true, false): kind = "DELETED"
      case (_, false, true): kind = "ADDED"
      case (_, true, true): kind = "MODIFIED"
      default: continue
      }
      out += JSON.object(["type": .string(kind), "object": event.object]).bytes + [0x0a]
    }
    return out
  }

  func bookmark(_ watch: inout Watch) -> [UInt8] {
    guard watch.bookmarks else { return [] }
    watch.version = max(watch.version, store.version)
    let object: JSON = [
      "kind": .string(watch.type.kind), "apiVersion": .string(watch.type.apiVersion),
      "metadata": ["resourceVersion": .string("\(watch.version)"), "creationTimestamp": .null],
    ]
    return JSON.object(["type": "BOOKMARK", "object": object]).bytes + [0x0a]
  }

  static var goneLine: [UInt8] {
    JSON.object([
      "type": "ERROR",
      "object": [
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
        "reason": "Expired", "message": "too old resource version",
      ],
    ]).bytes + [0x0a]
  }

  // MARK: Requests

  private struct Place {
    var type: ResourceType
    var namespace: String
    var name: String
    var subresource: String

    var id: ObjectID { ObjectID(type, ObjectKey(namespace: namespace, name: name)) }
  }

  private mutating func plain(
    _ request: Request, _ place: Place, _ query: [String: String]
  ) throws(APIFailure) -> Answer {
    let manager = query["fieldManager"] ?? ""
    switch request.method {
    case "GET" where place.name.isEmpty: return try list(place, query)
    case "GET":
      guard let object = store[place.id] else {
        throw FakeStore.refusal(404, "NotFound", "\(place.id) not found")
      }
      return .response(200, object.json, retryAfter: nil)
    case "POST":
      return .response(
        201,
        try store.create(
          try body(request), place.type, namespace: place.namespace, manager: manager
        ).json, retryAfter: nil)
    case "PUT":
      return .response(
        200,
        try store.replace(
          try body(request), place.id, subresource: place.subresource, manager: manager
        ).json, retryAfter: nil)
    case "PATCH": return try patch(request, place, query)
    case "DELETE":
      let uid = (try? JSON(parsing: request.body))?.at("preconditions", "uid")?.string
      try store.delete(place.id, uid: uid)
      return .response(200, ["kind": "Status", "status": "Success"], retryAfter: nil)
    default: throw FakeStore.refusal(405, "MethodNotAllowed", request.method)
    }
  }

  private mutating func patch(
    _ request: Request, _ place: Place, _ query: [String: String]
  ) throws(APIFailure) -> Answer {
    let json = try body(request)
    switch request.contentType {
    case "application/apply-patch+yaml":
      guard let manager = query["fieldManager"], !manager.isEmpty else {
        throw FakeStore.refusal(400, "BadRequest", "fieldManager is required for apply patch")
      }
      let isNew = store[place.id] == nil
      let object = try store.apply(
        json, place.id, subresource: place.subresource, manager: manager,
        force: query["force"] == "true")
      return .response(isNew ? 201 : 200, object.json, retryAfter: nil)
    case "application/merge-patch+json":
      return .response(
        200, try store.mergePatch(json, place.id, manager: query["fieldManager"] ?? "").json,
        retryAfter: nil)
    default:
      throw FakeStore.refusal(415, "UnsupportedMediaType", request.contentType ?? "")
    }
  }

  private mutating func list(
    _ place: Place, _ query: [String: String]
  ) throws(APIFailure) -> Answer {
    var version = store.version
    var items = store.all(place.type).filter {
      Self.matches($0.json, place.namespace, Self.selector(query))
    }
    if let token = query["continue"] {
      guard let snapshot = snapshots[token], snapshot.version >= store.oldest else {
        throw FakeStore.refusal(410, "Expired", "The provided continue parameter is too old")
      }
      (version, items) = (snapshot.version, snapshot.rest)
    }
    var metadata: JSON = ["resourceVersion": .string("\(version)")]
    if let limit = query["limit"].flatMap({ Int($0) }), limit > 0, items.count > limit {
      let token = "\(version)-\(snapshots.count)"
      snapshots[token] = (version, Array(items.dropFirst(limit)))
      metadata["continue"] = .string(token)
      items = Array(items.prefix(limit))
    }
    return .response(
      200,
      [
        "kind": .string(place.type.kind + "List"), "apiVersion": .string(place.type.apiVersion),
        "metadata": metadata, "items": .array(items.map { Self.item($0, place.type) }),
      ], retryAfter: nil)
  }

  /// What lists hold of types that servers are built with has neither kind nor version of its own.
  private static func item(_ object: KubernetesObject, _ type: ResourceType) -> JSON {
    var out = object.json
    let isCustom =
      type.group.contains("x-k8s.io") || type.group.hasSuffix(".dev")
      || type == .clusterProperties
    if !isCustom {
      out["kind"] = nil
      out["apiVersion"] = nil
    }
    return out
  }

  private func watch(
    _ place: Place, _ query: [String: String], _ fault: Fault.Effect?
  ) throws(APIFailure) -> Answer {
    let version = Int(query["resourceVersion"] ?? "") ?? store.version
    guard version >= store.oldest else {
      throw FakeStore.refusal(410, "Expired", "too old resource version")
    }
    var watch = Watch(
      type: place.type, namespace: place.namespace, selector: Self.selector(query),
      version: version, bookmarks: query["allowWatchBookmarks"] == "true")
    switch fault {
    case .cut(let bytes): watch.cutAfter = bytes
    case .slow: watch.isSlow = true
    case .goneEvent: watch.goneFirst = true
    default: break
    }
    return .watch(watch)
  }

  private mutating func takeFault(_ name: String) -> Fault.Effect? {
    guard let index = faults.firstIndex(where: { name.hasPrefix($0.prefix) && $0.times > 0 })
    else { return nil }
    faults[index].times -= 1
    return faults[index].effect
  }

  private func body(_ request: Request) throws(APIFailure) -> JSON {
    do throws(JSONError) {
      return try JSON(parsing: request.body)
    } catch {
      throw FakeStore.refusal(400, "BadRequest", "\(error)")
    }
  }

  private static func refusal(_ failure: APIFailure) -> Answer {
    .response(
      failure.code,
      [
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": .integer(Int64(failure.code)), "reason": .string(failure.reason),
        "message": .string(failure.message),
      ], retryAfter: failure.retryAfterSeconds)
  }

  private static func matches(
    _ json: JSON, _ namespace: String, _ selector: [String: String]
  ) -> Bool {
    var labels = json.at("metadata", "labels")?.texts ?? [:]
    labels[nameField] = json.at("metadata", "name")?.string
    return (namespace.isEmpty || json.at("metadata", "namespace")?.string == namespace)
      && selector.allSatisfy { labels[$0.key] == $0.value }
  }

  /// The one field that lists are narrowed by here.
  private static let nameField = "metadata.name"

  private static func selector(_ query: [String: String]) -> [String: String] {
    let parts = [query["labelSelector"] ?? "", query["fieldSelector"] ?? ""]
    return parts.joined(separator: ",").split(separator: ",").reduce(into: [:]) { out, part in
      let pair = part.split(separator: "=", maxSplits: 1)
      if pair.count == 2 { out[String(pair[0])] = String(pair[1]) }
    }
  }

  private func place(_ path: String) -> Place? {
    var parts = path.split(separator: "/").map { Self.decode(String($0)) }
    let group: String
    switch parts.first {
    case "api" where parts.count > 2:
      group = ""
      parts.removeFirst()
    case "apis" where parts.count > 3:
      group = parts[1]
      parts.removeFirst(2)
    default: return nil
    }
    let version = parts.removeFirst()
    var namespace = ""
    if parts.count > 2, parts[0] == "namespaces", parts[2] != "status" {
      namespace = parts[1]
      parts.removeFirst(2)
    }
    guard let plural = parts.first, parts.count <= 3,
      let type = store.types.first(where: {
        $0.group == group && $0.version == version && $0.plural == plural
      })
    else { return nil }
    return Place(
      type: type, namespace: namespace, name: parts.count > 1 ? parts[1] : "",
      subresource: parts.count > 2 ? parts[2] : "")
  }

  private static func split(_ target: String) -> (path: String, query: [String: String]) {
    let halves = target.split(separator: "?", maxSplits: 1)
    let pairs = halves.count > 1 ? halves[1].split(separator: "&") : []
    let query = pairs.reduce(into: [String: String]()) { out, pair in
      let parts = pair.split(separator: "=", maxSplits: 1)
      if parts.count == 2 { out[String(parts[0])] = decode(String(parts[1])) }
    }
    return (String(halves.first ?? ""), query)
  }

  private static func decode(_ text: String) -> String {
    var out: [UInt8] = []
    var bytes = Array(text.utf8)[...]
    while let byte = bytes.popFirst() {
      if byte == UInt8(ascii: "%"), bytes.count >= 2,
        let value = UInt8(String(decoding: bytes.prefix(2), as: UTF8.self), radix: 16)
      {
        out.append(value)
        bytes = bytes.dropFirst(2)
      } else {
        out.append(byte)
      }
    }
    return String(decoding: out, as: UTF8.self)
  }
}
