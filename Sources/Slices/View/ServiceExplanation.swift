/// Why a service's name answers what it answers in this cluster: the chain from the converged state
/// to the endpoints, step by step, for `starling explain`.
public struct ServiceExplanation: Hashable, Sendable {
  /// In the order of the chain; what follows a failed step may still pass.
  public var steps: [Step]
  /// Clusters whose endpoints are answered now, ascending.
  public var clusters: [String]

  public struct Step: Hashable, Sendable {
    public var passed: Bool
    public var text: String

    public init(_ passed: Bool, _ text: String) {
      self.passed = passed
      self.text = text
    }
  }

  /// Whether the name answers with anything.
  public var works: Bool { !clusters.isEmpty }

  public init(
    _ service: ServiceName, in slice: String, _ view: ClustersetView, reachability: Reachability
  ) {
    steps = []
    clusters = []
    let local = reachability.local
    guard let found = view.slices[slice] else {
      add(false, "there is no slice \(slice)")
      return
    }
    guard found.network != nil else {
      add(false, "slice \(slice) has no valid settings: \(Self.problems(found, "slice/\(slice)"))")
      return
    }
    add(true, "slice \(slice) is valid")
    explainMember(local, found, isLocal: true)
    guard let imported = found.service(service) else {
      explainMissing(service, found)
      return
    }
    add(true, "\(service) is exported by \(imported.clusters.joined(separator: ", "))")
    for export in imported.exports { explain(export, found, reachability, view) }
    let selection = EndpointSelection(imported, dns: found.dns, reachability: reachability)
    clusters = selection.clusters
    let rule = imported.affinity.map { "affinity \($0.rawValue)" } ?? "policy \(found.dns.policy)"
    if selection.keptLast {
      add(false, "no exporter can be reached; keepLast keeps the last endpoints")
    }
    add(
      works,
      works
        ? "by \(rule), endpoints of \(clusters.joined(separator: ", ")) are answered"
        : "no cluster is left whose endpoints could be answered")
  }

  private mutating func add(_ passed: Bool, _ text: String) {
    steps.append(Step(passed, text))
  }

  private mutating func explainMember(_ cluster: String, _ slice: SliceView, isLocal: Bool) {
    let path = SlicePath.member(slice: slice.name, cluster: cluster).text
    guard let member = slice.member(cluster) else {
      add(false, "\(cluster) is no member of slice \(slice.name)")
      return
    }
    if !member.isActive {
      add(false, "\(cluster) is held: \(Self.problems(slice, path))")
    } else if isLocal {
      let block = member.block.map { " with block \($0)" } ?? ""
      add(true, "\(cluster) is an active member\(block)")
    }
  }

  private static func problems(_ slice: SliceView, _ path: String) -> String {
    let found = slice.problems.filter { $0.path == path }
    return found.isEmpty ? "no reason is known" : found.map(\.message).joined(separator: "; ")
  }

  /// There is no import: perhaps an export was not taken.
  private mutating func explainMissing(_ service: ServiceName, _ slice: SliceView) {
    let suffix = "/\(service)"
    let related = slice.problems.filter {
      $0.path.contains("/export/") && $0.path.hasSuffix(suffix)
    }
    guard related.isEmpty else {
      for problem in related { add(false, problem.description) }
      return
    }
    let names = slice.services.map(\.service.description)
    let hint =
      NameRules.nearest(to: service.description, among: names)
      .map { "; did you mean \($0)?" } ?? ""
    add(false, "no cluster exports \(service)\(hint)")
  }

  private mutating func explain(
    _ export: ServiceExport, _ slice: SliceView, _ reachability: Reachability,
    _ view: ClustersetView
  ) {
    let cluster = export.cluster
    let ready = export.endpoints.count { $0.ready }
    add(ready > 0, "\(cluster): \(ready) of \(export.endpoints.count) endpoints are ready")
    if reachability.drained.contains(cluster) { add(false, "\(cluster): is drained") }
    guard cluster != reachability.local else { return }
    if slice.network?.overlay != SliceOverlay.none {
      let pair = ClusterPair(cluster, reachability.local)
      let linked = slice.links.contains(pair) || slice.relayed.contains(pair)
      if !linked {
        add(false, "\(cluster): the topology has no tunnel from \(reachability.local)")
      } else if let wait = GatewayReconciler.desired(view, cluster: reachability.local).waiting
        .first(where: { $0.slice == slice.name && $0.cluster == cluster })
      {
        add(false, "\(cluster): \(wait.reason)")
      }
    }
    let reached = reachability.canReach(cluster)
    let stale = reachability.stale.contains(cluster) ? ", and membership does not hear it" : ""
    add(reached, "\(cluster): \(reached ? "can" : "cannot") be reached\(stale)")
  }
}
