/// One request to an API server. The transport adds host, credentials and TLS.
public struct APIRequest: Hashable, Sendable {
  public enum Method: String, Hashable, Sendable {
    case get = "GET"
    case post = "POST"
    case put = "PUT"
    case patch = "PATCH"
    case delete = "DELETE"
  }

  public var method: Method
  /// Begins with `/`, percent-encoded, with its query.
  public var target: String
  public var contentType: String?
  public var body: [UInt8]?

  public static let json = "application/json"
  /// JSON is YAML: server-side apply takes it under this name in every version.
  public static let apply = "application/apply-patch+yaml"
  public static let mergePatch = "application/merge-patch+json"

  public init(
    _ method: Method, path: String, query: [(name: String, value: String)] = [],
    contentType: String? = nil, body: JSON? = nil
  ) {
    self.method = method
    let query = query.map { "\($0.name)=\(APIPath.encode($0.value, .query))" }
    target = query.isEmpty ? path : path + "?" + query.joined(separator: "&")
    self.body = body?.bytes
    self.contentType = body == nil ? nil : contentType ?? Self.json
  }

  public var isRead: Bool { method == .get }
}

/// Paths of collections and objects.
public enum APIPath {
  enum Part { case segment, query }

  public static func collection(_ type: ResourceType, namespace: String = "") -> String {
    let root = type.group.isEmpty ? "/api/\(type.version)" : "/apis/\(type.group)/\(type.version)"
    let scope =
      type.isNamespaced && !namespace.isEmpty ? "/namespaces/\(encode(namespace, .segment))" : ""
    return "\(root)\(scope)/\(type.plural)"
  }

  public static func object(_ id: ObjectID, subresource: String = "") -> String {
    let path = collection(id.type, namespace: id.key.namespace)
    let tail = subresource.isEmpty ? "" : "/\(subresource)"
    return "\(path)/\(encode(id.key.name, .segment))\(tail)"
  }

  /// Names come from outside: whatever is not unreserved (RFC 3986 section 2.3) is encoded, dots
  /// alone as well, so that no name leads out of its collection.
  static func encode(_ text: String, _ part: Part) -> String {
    let isDots = part == .segment && !text.isEmpty && text.utf8.allSatisfy { $0 == 0x2e }
    var out: [UInt8] = []
    let digits = Array("0123456789ABCDEF".utf8)
    for byte in text.utf8 {
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x5f, 0x7e: out.append(byte)
      case 0x2e where !isDots: out.append(byte)
      default: out += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: out, as: UTF8.self)
  }
}

extension APIRequest {
  /// One page of a list.
  public static func list(
    _ type: ResourceType, namespace: String = "", labelSelector: String = "",
    fieldSelector: String = "", limit: Int = 0, continuing token: String = ""
  ) -> APIRequest {
    var query = selectors(labelSelector, fieldSelector)
    if limit > 0 { query.append(("limit", String(limit))) }
    if !token.isEmpty { query.append(("continue", token)) }
    return APIRequest(.get, path: APIPath.collection(type, namespace: namespace), query: query)
  }

  /// Events since a resource version, until the server closes.
  public static func watch(
    _ type: ResourceType, namespace: String = "", labelSelector: String = "",
    fieldSelector: String = "", from version: String, timeoutSeconds: Int
  ) -> APIRequest {
    var query = selectors(labelSelector, fieldSelector)
    query += [
      ("watch", "true"), ("allowWatchBookmarks", "true"), ("resourceVersion", version),
      ("timeoutSeconds", String(timeoutSeconds)),
    ]
    return APIRequest(.get, path: APIPath.collection(type, namespace: namespace), query: query)
  }

  public static func get(_ id: ObjectID) -> APIRequest {
    APIRequest(.get, path: APIPath.object(id))
  }

  public static func create(_ object: KubernetesObject, _ type: ResourceType) -> APIRequest {
    APIRequest(
      .post, path: APIPath.collection(type, namespace: object.namespace), query: managed,
      body: object.json)
  }

  /// Replaces the object; refused with a conflict unless its resource version is the present one.
  public static func replace(
    _ object: KubernetesObject, _ type: ResourceType, subresource: String = ""
  ) -> APIRequest {
    APIRequest(
      .put, path: APIPath.object(ObjectID(type, object.key), subresource: subresource),
      query: managed, body: object.json)
  }

  /// Server-side apply of everything that this manager wants in the object. `force` takes fields
  /// over from other managers: objects of our own, where other values are drift.
  public static func apply(
    _ object: KubernetesObject, _ type: ResourceType, subresource: String = "",
    force: Bool = true, manager: String = fieldManager
  ) -> APIRequest {
    APIRequest(
      .patch, path: APIPath.object(ObjectID(type, object.key), subresource: subresource),
      query: [("fieldManager", manager), ("force", force ? "true" : "false")],
      contentType: apply, body: object.json)
  }

  public static func mergePatch(_ id: ObjectID, _ patch: JSON) -> APIRequest {
    APIRequest(
      .patch, path: APIPath.object(id), query: managed, contentType: mergePatch, body: patch)
  }

  /// Deletes that very object, and not another that took its name since.
  public static func delete(_ id: ObjectID, uid: String) -> APIRequest {
    let options: JSON = .object([
      "apiVersion": "v1", "kind": "DeleteOptions",
      "preconditions": uid.isEmpty ? nil : ["uid": .string(uid)],
      "propagationPolicy": "Background",
    ])
    return APIRequest(.delete, path: APIPath.object(id), body: options)
  }

  /// Whoever reads `managedFields` sees who it was.
  public static let fieldManager = "starling"

  private static var managed: [(name: String, value: String)] { [("fieldManager", fieldManager)] }

  private static func selectors(
    _ labels: String, _ fields: String
  ) -> [(name: String, value: String)] {
    [("labelSelector", labels), ("fieldSelector", fields)].filter { !$0.1.isEmpty }
  }
}
