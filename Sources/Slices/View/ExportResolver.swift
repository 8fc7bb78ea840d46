internal import Base

/// Puts exports and their shards together and leaves out what does not belong.
struct ExportResolver {
  let draft: SliceDraft
  let members: [MemberView]

  /// - Parameter wanted: the services to put together; `nil`: all. `view` keeps the others.
  func resolve(_ wanted: Set<ServiceName>?, into view: inout SliceView) {
    let overlay = draft.network?.section.overlay
    var exports: [ServiceExport] = []
    var paths: [ServiceKey: Int] = [:]
    let members = Dictionary(
      members.map { ($0.cluster, $0) }, uniquingKeysWith: { a, _ in a })
    for path in exportPaths(of: wanted) {
      guard let export = draft.exports[path]?.section, let member = members[export.cluster],
        member.isActive
      else { continue }
      guard member.includes(namespace: export.service.namespace) else {
        view.problems.append(
          ViewProblem(
            path: path, reason: .notConsented,
            message:
              "namespace \(export.service.namespace) of \(export.cluster) takes no part"))
        continue
      }
      paths[ServiceKey(cluster: export.cluster, service: export.service)] = exports.count
      exports.append(export)
    }
    for path in shardPaths(of: wanted) {
      guard case .exportShard(_, let cluster, let service, _) = SlicePath(path),
        let shard = draft.shards[path]?.section, let member = members[cluster],
        let index = paths[ServiceKey(cluster: cluster, service: service)]
      else { continue }
      var strangers = 0
      for endpoint in shard.endpoints {
        // Whoever names an address outside its block would draw others' traffic to itself.
        // Without an overlay there is no traffic to draw: addresses are what they are.
        if overlay == SliceOverlay.none || member.block?.contains(endpoint.address) == true {
          exports[index].endpoints.append(endpoint)
        } else {
          strangers += 1
        }
      }
      if strangers > 0 {
        view.problems.append(
          ViewProblem(
            path: path, reason: .invalidEndpoint,
            message: "\(strangers) endpoints are outside the block of \(cluster)"))
      }
    }
    for index in exports.indices {
      exports[index].endpoints.sort {
        ($0.address, $0.hostname) < ($1.address, $1.hostname)
      }
      let block = members[exports[index].cluster]?.block
      exports[index].vips.removeAll { block?.contains($0) != true }
    }
    let merged = ServiceImport.all(merging: exports)
    if let wanted {
      view.replaceServices(wanted, by: merged)
    } else {
      view.services = merged
    }
    for service in merged {
      for conflict in service.conflicts {
        for cluster in conflict.losers {
          view.problems.append(
            ViewProblem(
              path: path(cluster, service.service), reason: .exportConflict,
              message: "\(conflict.reason.rawValue): the oldest export, \(conflict.winner)'s, wins"
            ))
        }
      }
    }
    let hasAliases = merged.contains { !$0.aliases.isEmpty } || !view.aliases.isEmpty
    guard wanted == nil || hasAliases || view.problems.contains(where: \.isOfAlias) else { return }
    view.problems.removeAll(where: \.isOfAlias)
    resolveAliases(&view)
  }

  /// Ascending.
  private func exportPaths(of wanted: Set<ServiceName>?) -> [String] {
    guard let wanted else { return draft.exports.keys.sorted() }
    return wanted.flatMap { service in
      members.map { path($0.cluster, service) }.filter { draft.exports[$0] != nil }
    }.sorted()
  }

  /// Ascending.
  private func shardPaths(of wanted: Set<ServiceName>?) -> [String] {
    guard let wanted else { return draft.shards.keys.sorted() }
    var out: [String] = []
    for service in wanted {
      for member in members {
        let owner = path(member.cluster, service)
        for number in draft.shardNumbers[owner] ?? [] { out.append("\(owner)/\(number)") }
      }
    }
    return out.sorted()
  }

  private func path(_ cluster: String, _ service: ServiceName) -> String {
    SlicePath.export(slice: draft.name, cluster: cluster, service: service).text
  }

  /// Of two services with one alias the one with the older export has it.
  private func resolveAliases(_ view: inout SliceView) {
    let claims = view.exports.flatMap { export in export.aliases.map { ($0, export) } }
      .sorted { a, b in
        (a.1.createdMilliseconds, a.1.service, a.1.cluster)
          < (b.1.createdMilliseconds, b.1.service, b.1.cluster)
      }
    var holders: [String: ServiceName] = [:]
    for (alias, export) in claims {
      let last = alias.split(separator: ".").last.map { String($0) }
      let message: String
      if last == "svc" || last == view.name {
        message = "\(alias) has the form of a service's name"
      } else if let holder = holders[alias], holder != export.service {
        message = "\(alias) is an alias of \(holder) already"
      } else {
        holders[alias] = export.service
        continue
      }
      view.problems.append(
        ViewProblem(
          path: path(export.cluster, export.service), reason: .aliasConflict, message: message))
    }
    view.aliases = holders.map { ServiceAlias(name: $0.key, service: $0.value) }
      .sorted { $0.name < $1.name }
  }
}

extension ViewProblem {
  fileprivate var isOfAlias: Bool { reason == .aliasConflict }
}

extension SliceView {
  /// - Parameter new: ascending, and of `names` only.
  fileprivate mutating func replaceServices(_ names: Set<ServiceName>, by new: [ServiceImport]) {
    let found = Dictionary(new.map { ($0.service, $0) }, uniquingKeysWith: { a, _ in a })
    for name in names.sorted() {
      let index = place(of: name)
      let isThere = index < services.count && services[index].service == name
      switch (found[name], isThere) {
      case (let service?, true): services[index] = service
      case (let service?, false): services.insert(service, at: index)
      case (nil, true): services.remove(at: index)
      case (nil, false): continue
      }
    }
  }
}

/// A name that a service answers to besides its own.
public struct ServiceAlias: Hashable, Sendable {
  public var name: String
  public var service: ServiceName

  public init(name: String, service: ServiceName) {
    self.name = name
    self.service = service
  }
}

struct ServiceKey: Hashable {
  var cluster: String
  var service: ServiceName
}
