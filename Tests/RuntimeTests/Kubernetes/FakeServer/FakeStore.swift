import Base
import Kubernetes

/// What an API server keeps, and how it changes: strict where real ones are. Optimistic concurrency,
/// server-side apply with ownership and conflicts, a status subresource, finalizers, owner references,
/// a bounded memory for watches.
struct FakeStore {
  struct Entry {
    var object: KubernetesObject
    /// Leaves by manager and subresource.
    var owned: [String: Set<FakeFields.Path>] = [:]
  }

  struct Event {
    var version: Int
    var kind: String
    var object: JSON
    /// As it was, for selectors that it matched before.
    var previous: JSON?
  }

  private(set) var types: [ResourceType]
  private(set) var entries: [ResourceType: [ObjectKey: Entry]] = [:]
  private(set) var log: [ResourceType: [Event]] = [:]
  private(set) var version = 1000
  /// Watches from before this are gone.
  private(set) var oldest = 1000
  private var uids = 0
  private var addresses: UInt32 = 0
  private var nodePorts: Int64 = 0
  /// First address of Services.
  let serviceBase: UInt32
  /// Wall clock for what the server writes.
  var milliseconds: UInt64 = 1_790_000_000_000

  init(types: [ResourceType], serviceBase: UInt32 = 0x0a65_0000) {
    self.types = types
    self.serviceBase = serviceBase
  }

  mutating func unserve(_ type: ResourceType) {
    types.removeAll { $0 == type }
    entries[type] = nil
  }

  mutating func serve(_ type: ResourceType) {
    types.append(type)
  }

  subscript(id: ObjectID) -> KubernetesObject? { entries[id.type]?[id.key]?.object }

  func all(_ type: ResourceType) -> [KubernetesObject] {
    (entries[type] ?? [:]).sorted { $0.key < $1.key }.map(\.value.object)
  }

  /// Forgets the events so far.
  mutating func compact() {
    oldest = version
    log = [:]
  }

  // MARK: Writes

  static func refusal(_ code: Int, _ reason: String, _ message: String) -> APIFailure {
    APIFailure(code: code, reason: reason, message: message)
  }

  mutating func create(
    _ json: JSON, _ type: ResourceType, namespace: String, manager: String
  ) throws(APIFailure) -> KubernetesObject {
    guard var object = KubernetesObject(json) else {
      throw Self.refusal(422, "Invalid", "metadata.name: Required value")
    }
    try check(object, type, namespace: namespace, name: object.name)
    guard object.resourceVersion.isEmpty else {
      throw Self.refusal(
        400, "BadRequest", "resourceVersion should not be set on objects to be created")
    }
    guard entries[type]?[object.key] == nil else {
      throw Self.refusal(409, "AlreadyExists", "\(type) \"\(object.name)\" already exists")
    }
    if Self.hasStatus(type) { object.json["status"] = nil }
    var entry = Entry(object: object)
    entry.owned["\(manager):"] = FakeFields.leaves(object.json, kind: type.kind)
    return try put(entry, type, isNew: true)
  }

  mutating func replace(
    _ json: JSON, _ id: ObjectID, subresource: String, manager: String
  ) throws(APIFailure) -> KubernetesObject {
    guard let object = KubernetesObject(json) else {
      throw Self.refusal(422, "Invalid", "metadata.name: Required value")
    }
    try check(object, id.type, namespace: id.key.namespace, name: id.key.name)
    guard var entry = entries[id.type]?[id.key] else { throw notFound(id) }
    guard !object.resourceVersion.isEmpty else {
      throw Self.refusal(
        422, "Invalid", "metadata.resourceVersion: must be specified for an update")
    }
    guard object.resourceVersion == entry.object.resourceVersion else { throw stale(id) }
    let next = Self.keeping(object.json, over: entry.object.json, id.type, subresource)
    own(&entry, from: entry.object.json, to: next, by: "\(manager):\(subresource)", id.type)
    entry.object.json = next
    return try put(entry, id.type, isNew: false)
  }

  mutating func apply(
    _ json: JSON, _ id: ObjectID, subresource: String, manager: String, force: Bool
  ) throws(APIFailure) -> KubernetesObject {
    guard let config = KubernetesObject(json) else {
      throw Self.refusal(422, "Invalid", "metadata.name: Required value")
    }
    try check(config, id.type, namespace: id.key.namespace, name: id.key.name)
    guard config.metadata["managedFields"] == nil else {
      throw Self.refusal(400, "BadRequest", "metadata.managedFields must be nil")
    }
    let isNew = entries[id.type]?[id.key] == nil
    if isNew, !subresource.isEmpty { throw notFound(id) }
    var entry =
      entries[id.type]?[id.key] ?? Entry(object: KubernetesObject(id.type, id.key))
    if !config.resourceVersion.isEmpty, config.resourceVersion != entry.object.resourceVersion {
      throw stale(id)
    }
    if !config.uid.isEmpty, config.uid != entry.object.uid {
      throw Self.refusal(409, "Conflict", "uid mismatch: no object of UID \(config.uid)")
    }
    let kind = id.type.kind
    let wanted = Self.part(config.json, id.type, subresource)
    let leaves = FakeFields.leaves(wanted, kind: kind)
    let owner = "apply:\(manager):\(subresource)"
    for (other, paths) in entry.owned where other != owner {
      let clashes = leaves.intersection(paths).filter {
        FakeFields.value($0, in: entry.object.json, kind: kind)
          != FakeFields.value($0, in: wanted, kind: kind)
      }
      if !clashes.isEmpty, !force {
        let fields = clashes.map { $0.joined(separator: ".") }.sorted()
        throw Self.refusal(
          409, "Conflict", "conflict with \"\(other)\": \(fields.joined(separator: ", "))")
      }
      entry.owned[other] = paths.subtracting(clashes)
    }
    var next = FakeFields.merge(entry.object.json, wanted, name: "", kind: kind)
    let others = entry.owned.filter { $0.key != owner }.values.reduce(into: Set()) {
      $0.formUnion($1)
    }
    for path in (entry.owned[owner] ?? []).subtracting(leaves).subtracting(others).sorted(by: {
      $0.lexicographicallyPrecedes($1)
    }) {
      next = FakeFields.removing(path[...], from: next, name: "", kind: kind) ?? next
    }
    entry.owned[owner] = leaves
    entry.object.json = Self.keeping(next, over: entry.object.json, id.type, subresource)
    return try put(entry, id.type, isNew: isNew)
  }

  mutating func mergePatch(
    _ patch: JSON, _ id: ObjectID, manager: String
  ) throws(APIFailure) -> KubernetesObject {
    guard var entry = entries[id.type]?[id.key] else { throw notFound(id) }
    if let version = patch.at("metadata", "resourceVersion")?.string,
      version != entry.object.resourceVersion
    {
      throw stale(id)
    }
    let merged = Self.merged(entry.object.json, patch)
    let next = Self.keeping(merged, over: entry.object.json, id.type, "")
    own(&entry, from: entry.object.json, to: next, by: "\(manager):", id.type)
    entry.object.json = next
    return try put(entry, id.type, isNew: false)
  }

  mutating func delete(_ id: ObjectID, uid: String?) throws(APIFailure) {
    guard var entry = entries[id.type]?[id.key] else { throw notFound(id) }
    if let uid, uid != entry.object.uid {
      throw Self.refusal(409, "Conflict", "the UID in the precondition does not match")
    }
    guard entry.object.finalizers.isEmpty else {
      guard !entry.object.isTerminating else { return }
      entry.object.json["metadata"]?["deletionTimestamp"] = .string(CivilDate.rfc3339(milliseconds))
      _ = try put(entry, id.type, isNew: false)
      return
    }
    remove(id)
  }

  // MARK: Rules

  static func hasStatus(_ type: ResourceType) -> Bool {
    [MCS.group, "starling.dev"].contains(type.group) || type == .services
  }

  private func check(
    _ object: KubernetesObject, _ type: ResourceType, namespace: String, name: String
  ) throws(APIFailure) {
    guard object.json["apiVersion"]?.string == type.apiVersion,
      object.json["kind"]?.string == type.kind
    else { throw Self.refusal(400, "BadRequest", "the object is no \(type.kind)") }
    guard object.namespace == namespace, object.name == name else {
      throw Self.refusal(400, "BadRequest", "the name of the object does not match the URL")
    }
    if type.isNamespaced,
      entries[.namespaces]?[ObjectKey(name: namespace)] == nil, types.contains(.namespaces)
    {
      throw Self.refusal(404, "NotFound", "namespaces \"\(namespace)\" not found")
    }
  }

  private func notFound(_ id: ObjectID) -> APIFailure {
    Self.refusal(404, "NotFound", "\(id.type) \"\(id.key.name)\" not found")
  }

  private func stale(_ id: ObjectID) -> APIFailure {
    Self.refusal(
      409, "Conflict",
      "Operation cannot be fulfilled on \(id): the object has been modified")
  }

  /// The part that a request to this subresource may change.
  private static func part(_ json: JSON, _ type: ResourceType, _ subresource: String) -> JSON {
    guard hasStatus(type) else { return json }
    var out = json
    if subresource == "status" {
      out = .object(["status": json["status"]])
    } else {
      out["status"] = nil
    }
    return out
  }

  /// `next` with what a request to this subresource may not change taken from `old`.
  private static func keeping(
    _ next: JSON, over old: JSON, _ type: ResourceType, _ subresource: String
  ) -> JSON {
    var out = next
    if hasStatus(type) {
      if subresource == "status" {
        out = old
        out["status"] = next["status"]
      } else {
        out["status"] = old["status"]
      }
    }
    for name in ["uid", "resourceVersion", "creationTimestamp", "generation", "deletionTimestamp"] {
      out["metadata"]?[name] = old.at("metadata", name)
    }
    out["metadata"]?["managedFields"] = nil
    return out
  }

  private static func merged(_ value: JSON, _ patch: JSON) -> JSON {
    guard case .object(let members) = patch else { return patch }
    var out = value.members == nil ? JSON.empty : value
    for member in members {
      out[member.name] =
        member.value == .null ? nil : merged(out[member.name] ?? .empty, member.value)
    }
    return out
  }

  private func own(
    _ entry: inout Entry, from old: JSON, to new: JSON, by owner: String, _ type: ResourceType
  ) {
    let leaves = FakeFields.leaves(new, kind: type.kind)
    let changed = leaves.filter {
      FakeFields.value($0, in: old, kind: type.kind)
        != FakeFields.value($0, in: new, kind: type.kind)
    }
    for other in entry.owned.keys { entry.owned[other]?.formIntersection(leaves) }
    for other in entry.owned.keys where other != owner {
      entry.owned[other]?.subtract(changed)
    }
    entry.owned[owner, default: []].formUnion(changed)
  }

  private mutating func put(
    _ new: Entry, _ type: ResourceType, isNew: Bool
  ) throws(APIFailure) -> KubernetesObject {
    var entry = new
    let key = entry.object.key
    let old = entries[type]?[key]?.object
    try complete(&entry.object, type, old)
    if !isNew, let old, old.json == entry.object.json {
      // A write that changes nothing is no event.
      entries[type]?[key] = entry
      return old
    }
    version += 1
    var metadata = entry.object.metadata
    if isNew {
      uids += 1
      metadata["uid"] = .string("uid-\(uids)")
      metadata["creationTimestamp"] = .string(CivilDate.rfc3339(milliseconds))
      metadata["generation"] = 1
    } else if old?.json["spec"] != entry.object.json["spec"] {
      metadata["generation"] = .integer((metadata["generation"]?.integer ?? 0) + 1)
    }
    metadata["resourceVersion"] = .string("\(version)")
    entry.object.json["metadata"] = metadata
    entries[type, default: [:]][key] = entry
    log[type, default: []].append(
      Event(
        version: version, kind: isNew ? "ADDED" : "MODIFIED", object: entry.object.json,
        previous: old?.json))
    if entry.object.isTerminating, entry.object.finalizers.isEmpty {
      remove(ObjectID(type, key))
    }
    return entry.object
  }

  private mutating func remove(_ id: ObjectID) {
    guard var entry = entries[id.type]?.removeValue(forKey: id.key) else { return }
    version += 1
    let previous = entry.object.json
    entry.object.json["metadata"]?["resourceVersion"] = .string("\(version)")
    log[id.type, default: []].append(
      Event(version: version, kind: "DELETED", object: entry.object.json, previous: previous))
    collect(owner: entry.object.uid)
  }

  /// The garbage collector: what the last owner left.
  private mutating func collect(owner uid: String) {
    for type in types {
      for (key, entry) in (entries[type] ?? [:]).sorted(by: { $0.key < $1.key }) {
        let owners = entry.object.metadata["ownerReferences"]?.array ?? []
        if !owners.isEmpty, owners.allSatisfy({ $0["uid"]?.string == uid }) {
          try? delete(ObjectID(type, key), uid: nil)
        }
      }
    }
  }

  /// Defaults and validation of the built-in types that are used here.
  private mutating func complete(
    _ object: inout KubernetesObject, _ type: ResourceType, _ old: KubernetesObject?
  ) throws(APIFailure) {
    switch type {
    case .services:
      allotNodePorts(&object, old)
      let ports = object.spec["ports"]?.array ?? []
      let isExternal = object.spec["type"]?.string == "ExternalName"
      let isHeadless = object.spec["clusterIP"]?.string == "None"
      guard !ports.isEmpty || isExternal || isHeadless else {
        throw Self.refusal(422, "Invalid", "spec.ports: Required value")
      }
      guard ports.count < 2 || ports.allSatisfy({ $0["name"]?.string?.isEmpty == false }) else {
        throw Self.refusal(422, "Invalid", "spec.ports[0].name: Required value")
      }
      if object.json["spec"] == nil { object.json["spec"] = .empty }
      if object.spec["type"] == nil { object.json["spec"]?["type"] = "ClusterIP" }
      if let address = old?.spec["clusterIP"], !isHeadless {
        object.json["spec"]?["clusterIP"] = address
        object.json["spec"]?["clusterIPs"] = old?.spec["clusterIPs"]
      } else if !isExternal, !isHeadless, object.spec["clusterIP"] == nil {
        addresses += 1
        let text = JSON.string("\(IPAddress(v4: serviceBase + addresses))")
        object.json["spec"]?["clusterIP"] = text
        object.json["spec"]?["clusterIPs"] = [text]
      }
      if object.spec["ipFamilies"] == nil, !isExternal {
        let isOpen = isHeadless && object.spec["selector"] == nil
        object.json["spec"]?["ipFamilies"] = isOpen ? ["IPv4", "IPv6"] : ["IPv4"]
      }
      if object.spec["sessionAffinity"] == nil { object.json["spec"]?["sessionAffinity"] = "None" }
      if object.spec["internalTrafficPolicy"] == nil, !isExternal {
        object.json["spec"]?["internalTrafficPolicy"] = "Cluster"
      }
    case .endpointSlices:
      guard let family = object.json["addressType"], object.json["endpoints"]?.array != nil else {
        throw Self.refusal(422, "Invalid", "addressType: Required value")
      }
      if let old, old.json["addressType"] != family {
        throw Self.refusal(422, "Invalid", "addressType: field is immutable")
      }
      guard (object.json["endpoints"]?.array?.count ?? 0) <= 1000 else {
        throw Self.refusal(422, "Invalid", "endpoints: Too many")
      }
    default: break
    }
  }

  /// Ports of the nodes for each port of a Service that is to be reached from outside; they stay.
  private mutating func allotNodePorts(
    _ object: inout KubernetesObject, _ old: KubernetesObject?
  ) {
    guard ["NodePort", "LoadBalancer"].contains(object.spec["type"]?.string),
      var ports = object.spec["ports"]?.array
    else { return }
    let before = old?.spec["ports"]?.array ?? []
    for index in ports.indices where ports[index]["nodePort"] == nil {
      if before.indices.contains(index), let port = before[index]["nodePort"] {
        ports[index]["nodePort"] = port
      } else {
        nodePorts += 1
        ports[index]["nodePort"] = .integer(30_000 + nodePorts)
      }
    }
    object.json["spec"]?["ports"] = .array(ports)
  }
}
