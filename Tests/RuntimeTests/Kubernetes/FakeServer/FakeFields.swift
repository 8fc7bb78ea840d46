import Kubernetes

/// The fields of an object as server-side apply owns them: a path for each leaf. Lists are atomic
/// unless their type keys their items.
enum FakeFields {
  typealias Path = [String]

  /// Members that key the items of a list, by the list's name (from the API's schemas).
  static let keys: [String: [String]] = [
    "conditions": ["type"], "clusters": ["cluster"], "ownerReferences": ["uid"],
    "ports": ["port", "protocol"],
  ]
  /// Lists of scalars of which each manager owns its own items.
  static let sets: Set<String> = ["finalizers"]

  /// Keyed in Services; atomic in EndpointSlices and ServiceImports.
  static func keys(of name: String, in kind: String) -> [String]? {
    name == "ports" && kind != "Service" ? nil : keys[name]
  }

  static func leaves(_ value: JSON, kind: String) -> Set<Path> {
    var out: Set<Path> = []
    walk(value, [], kind, &out)
    let outside: Set<Path> = [
      ["apiVersion"], ["kind"], ["metadata", "name"], ["metadata", "namespace"],
      ["metadata", "resourceVersion"], ["metadata", "uid"], ["metadata", "generation"],
      ["metadata", "creationTimestamp"], ["metadata", "deletionTimestamp"],
      ["metadata", "managedFields"],
    ]
    return out.subtracting(outside)
  }

  private static func walk(_ value: JSON, _ path: Path, _ kind: String, _ out: inout Set<Path>) {
    switch value {
    case .object(let members) where !members.isEmpty:
      for member in members { walk(member.value, path + [member.name], kind, &out) }
    case .array(let items):
      guard let name = path.last else { return }
      if let keys = keys(of: name, in: kind) {
        for item in items { walk(item, path + [key(of: item, keys)], kind, &out) }
      } else if sets.contains(name) {
        for item in items { out.insert(path + ["v:\(item)"]) }
      } else {
        out.insert(path)
      }
    default: out.insert(path)
    }
  }

  static func key(of item: JSON, _ keys: [String]) -> String {
    "k:"
      + keys.map { name in
        "\(item[name] ?? (name == "protocol" ? "TCP" : .null))"
      }.joined(separator: ",")
  }

  /// The value at a path; `nil` where there is none.
  static func value(_ path: Path, in value: JSON, kind: String) -> JSON? {
    var value = value
    var name = ""
    for part in path {
      if part.hasPrefix("k:"), let items = value.array, let keys = keys(of: name, in: kind) {
        guard let item = items.first(where: { key(of: $0, keys) == part }) else { return nil }
        value = item
      } else if part.hasPrefix("v:"), let items = value.array {
        guard let item = items.first(where: { "v:\($0)" == part }) else { return nil }
        value = item
      } else {
        guard let next = value[part] else { return nil }
        value = next
      }
      name = part
    }
    return value
  }

  /// `live` with everything that `config` says.
  static func merge(_ live: JSON?, _ config: JSON, name: String, kind: String) -> JSON {
    switch config {
    case .object(let members):
      var out = live?.members == nil ? JSON.empty : live ?? .empty
      for member in members {
        out[member.name] = merge(out[member.name], member.value, name: member.name, kind: kind)
      }
      return out
    case .array(let items):
      if let keys = keys(of: name, in: kind) {
        var out = live?.array ?? []
        for item in items {
          if let index = out.firstIndex(where: { key(of: $0, keys) == key(of: item, keys) }) {
            out[index] = merge(out[index], item, name: "", kind: kind)
          } else {
            out.append(item)
          }
        }
        return .array(out)
      }
      if sets.contains(name) {
        let old = live?.array ?? []
        return .array(old + items.filter { !old.contains($0) })
      }
      return config
    default: return config
    }
  }

  /// `value` without the leaf, and without what it leaves empty.
  static func removing(_ path: ArraySlice<String>, from value: JSON, name: String, kind: String)
    -> JSON?
  {
    guard let part = path.first else { return nil }
    let rest = path.dropFirst()
    if let items = value.array {
      let kept = items.compactMap { item -> JSON? in
        let isMeant: Bool
        if part.hasPrefix("v:") {
          isMeant = "v:\(item)" == part
        } else if let keys = keys(of: name, in: kind) {
          isMeant = key(of: item, keys) == part
        } else {
          isMeant = false
        }
        return isMeant ? removing(rest, from: item, name: part, kind: kind) : item
      }
      return kept.isEmpty ? nil : .array(kept)
    }
    var out = value
    guard let inner = value[part] else { return value }
    out[part] = removing(rest, from: inner, name: part, kind: kind)
    return out == .empty ? nil : out
  }
}
