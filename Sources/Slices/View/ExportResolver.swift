internal import Base

/// Puts exports and their shards together and leaves out what does not belong.
struct ExportResolver {
  let draft: SliceDraft
  let members: [MemberView]

  func resolve(into view: inout SliceView) {
    let overlay = draft.network?.section.overlay
    var exports: [ServiceExport] = []
    var paths: [ServiceKey: Int] = [:]
    let members = Dictionary(
      members.map { ($0.cluster, $0) }, uniquingKeysWith: { a, _ in a })
    for path in draft.exports.keys.sorted() {
      guard let export = draft.exports[path]?.section, let member = members[export.cluster],
        member.isActive
      else { continue }
      guard member.namespaces.contains(export.service.namespace) else {
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
    for path in draft.shards.keys.sorted() {
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
    view.services = ServiceImport.all(merging: exports)
    for service in view.services {
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
    resolveAliases(&view)
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
