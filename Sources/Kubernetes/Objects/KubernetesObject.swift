internal import Base

/// An object as the server has it: JSON with what every object has read out.
public struct KubernetesObject: Hashable, Sendable {
  public var json: JSON

  /// `nil` unless it has a name: what comes out of a list or a watch always does.
  public init?(_ json: JSON) {
    guard let name = json.at("metadata", "name")?.string, !name.isEmpty else { return nil }
    self.json = json
  }

  /// An item of a list, in which servers leave out kind and version of the types that they are built
  /// with.
  init?(item json: JSON, of type: ResourceType) {
    self.init(json)
    if self.json["kind"] == nil { self.json["kind"] = .string(type.kind) }
    if self.json["apiVersion"] == nil { self.json["apiVersion"] = .string(type.apiVersion) }
  }

  /// One that is to be made.
  public init(_ type: ResourceType, _ key: ObjectKey, _ members: [String: JSON?] = [:]) {
    json = .object(members)
    json["apiVersion"] = .string(type.apiVersion)
    json["kind"] = .string(type.kind)
    var metadata: JSON = ["name": .string(key.name)]
    if !key.namespace.isEmpty { metadata["namespace"] = .string(key.namespace) }
    json["metadata"] = metadata
  }

  public var metadata: JSON { json["metadata"] ?? .empty }
  public var key: ObjectKey {
    ObjectKey(
      namespace: metadata["namespace"]?.string ?? "", name: metadata["name"]?.string ?? "")
  }
  public var name: String { metadata["name"]?.string ?? "" }
  public var namespace: String { metadata["namespace"]?.string ?? "" }
  public var uid: String { metadata["uid"]?.string ?? "" }
  /// Opaque: good for equality and for handing back, not for order.
  public var resourceVersion: String { metadata["resourceVersion"]?.string ?? "" }
  public var generation: Int64 { metadata["generation"]?.integer ?? 0 }
  public var labels: [String: String] { metadata["labels"]?.texts ?? [:] }
  public var annotations: [String: String] { metadata["annotations"]?.texts ?? [:] }
  public var finalizers: [String] { (metadata["finalizers"]?.array ?? []).compactMap(\.string) }
  /// Somebody deleted it; it stays until its finalizers are gone.
  public var isTerminating: Bool { metadata["deletionTimestamp"]?.string != nil }
  /// Of a Pod: it takes no part in the slice of its namespace.
  public var isOptedOut: Bool {
    labels[ObjectNames.optOut].map { $0 != "false" } ?? false
  }
  public var spec: JSON { json["spec"] ?? .empty }
  public var status: JSON { json["status"] ?? .empty }

  /// Milliseconds since 1970; 0 where the server did not say.
  public var createdMilliseconds: UInt64 {
    metadata["creationTimestamp"]?.string.flatMap { CivilDate.milliseconds(rfc3339: $0) } ?? 0
  }

  /// Of the object with which the server deletes this one; empty where there is none.
  public var ownerUID: String {
    metadata["ownerReferences"]?.array?.first?["uid"]?.string ?? ""
  }

  /// As an entry of another object's `ownerReferences`, with which the server deletes that one.
  public func ownerReference(_ type: ResourceType) -> JSON {
    [
      "apiVersion": .string(type.apiVersion), "kind": .string(type.kind), "name": .string(name),
      "uid": .string(uid),
    ]
  }

  /// Without what takes memory and nobody here reads: who set which field, and the copy that
  /// `kubectl apply` leaves.
  public func trimmed() -> KubernetesObject {
    var out = self
    guard var metadata = json["metadata"] else { return self }
    metadata["managedFields"] = nil
    if var annotations = metadata["annotations"], annotations[Self.lastApplied] != nil {
      annotations[Self.lastApplied] = nil
      metadata["annotations"] = annotations == .empty ? nil : annotations
    }
    out.json["metadata"] = metadata
    return out
  }

  /// With these members only, and with what every object is known by.
  func keeping(_ paths: [[String]]) -> KubernetesObject {
    var out = JSON.empty
    for path in Self.known + paths {
      if let value = path.reduce(Optional(json), { $0?[$1] }) {
        Self.put(value, at: path[...], into: &out)
      }
    }
    var object = self
    object.json = out
    return object
  }

  private static let known = ["name", "namespace", "uid", "resourceVersion", "deletionTimestamp"]
    .map { ["metadata", $0] }

  private static func put(_ value: JSON, at path: ArraySlice<String>, into json: inout JSON) {
    guard let name = path.first else { return json = value }
    var inner = json[name] ?? .empty
    put(value, at: path.dropFirst(), into: &inner)
    json[name] = inner
  }

  static let lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
}
