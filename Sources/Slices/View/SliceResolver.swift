internal import Base
internal import Replication

/// Checks the parts of slices against one another and against the clusters.
struct SliceResolver {
  let clusters: [String: ClusterRecord]
  let drafts: [String: SliceDraft]
  /// Slices by member, ascending, so that a check costs what a cluster takes part in.
  private let slicesByCluster: [String: [String]]

  init(clusters: [String: ClusterRecord], drafts: [String: SliceDraft]) {
    self.clusters = clusters
    self.drafts = drafts
    var byCluster: [String: [String]] = [:]
    for name in drafts.keys.sorted() {
      for cluster in drafts[name]?.members.keys.sorted() ?? [] {
        byCluster[cluster, default: []].append(name)
      }
    }
    slicesByCluster = byCluster
  }

  func view(of name: String) -> SliceView {
    guard let draft = drafts[name] else { return SliceView(name: name) }
    var view = SliceView(name: name, network: draft.network?.section)
    view.isolation = draft.isolation?.section ?? SliceIsolation()
    view.rotation = draft.rotation?.section ?? SliceRotation()
    view.qos = draft.qos?.section ?? SliceQoS()
    view.dns = draft.dns?.section ?? SliceDNS()
    view.placement = draft.placement?.section ?? SlicePlacement()
    view.problems = draft.problems
    let holders = blockHolders(draft)
    for cluster in draft.members.keys.sorted() {
      guard let kept = draft.members[cluster] else { continue }
      view.members.append(
        resolve(kept, draft, holders: holders, problems: &view.problems))
    }
    resolveLinks(&view)
    ExportResolver(draft: draft, members: view.members).resolve(nil, into: &view)
    view.problems.sort()
    return view
  }

  /// Puts some services of a slice together again, whose members and sections are as they were.
  static func refresh(
    _ services: Set<ServiceName>, of draft: SliceDraft, in view: inout SliceView
  ) {
    func concerns(_ problem: ViewProblem) -> Bool {
      switch SlicePath(problem.path) {
      case .export(_, _, let service), .exportShard(_, _, let service, _):
        services.contains(service)
      default: false
      }
    }
    view.problems.removeAll(where: concerns)
    view.problems += draft.problems.filter(concerns)
    ExportResolver(draft: draft, members: view.members).resolve(services, into: &view)
    view.problems.sort()
  }

  private func resolve(
    _ kept: SliceDraft.Kept<SliceMember>, _ draft: SliceDraft, holders: [Int: String],
    problems: inout [ViewProblem]
  ) -> MemberView {
    let member = kept.section
    let path = SlicePath.member(slice: draft.name, cluster: member.cluster).text
    var view = MemberView(
      cluster: member.cluster, gatewaySettings: member.gateway, blockIndex: member.block,
      gateways: Array(draft.gateways(of: member.cluster).prefix(GatewayRecord.replicaLimit)))
    var held: [ViewProblem] = []
    if clusters[member.cluster] == nil {
      held.append(
        ViewProblem(
          path: path, reason: .notAdmitted, message: "\(member.cluster) is not admitted"))
    }
    if let layout = draft.network?.section.layout {
      view.block = member.block.flatMap { layout.block($0) }
      if let index = member.block, view.block != nil {
        if let holder = holders[index], holder != member.cluster {
          held.append(
            ViewProblem(
              path: path, reason: .addressConflict,
              message: "block \(index) is that of \(holder)"))
        }
      } else {
        let given = member.block.map { "there is no block \($0)" } ?? "it has no block"
        held.append(ViewProblem(path: path, reason: .addressConflict, message: given))
      }
    }
    if let message = overlap(of: draft, in: member.cluster) {
      held.append(ViewProblem(path: path, reason: .addressConflict, message: message))
    }
    view.isActive = held.isEmpty && draft.network != nil
    view.namespaces = namespaces(of: member, draft, path, &problems)
    if view.namespaces == [SliceMember.everyNamespace] {
      view.namespacesElsewhere = namespacesNamed(in: member.cluster, besides: draft.name)
    }
    problems += held
    return view
  }

  // MARK: Blocks

  /// Who keeps each block that members name: the earliest use that a gateway published, else the
  /// earliest write.
  private func blockHolders(_ draft: SliceDraft) -> [Int: String] {
    var out: [Int: String] = [:]
    for cluster in draft.members.keys.sorted() {
      guard let index = draft.members[cluster]?.section.block else { continue }
      if let holder = out[index] {
        if isBefore(cluster, draft, holder, draft, block: index) { out[index] = cluster }
      } else {
        out[index] = cluster
      }
    }
    return out
  }

  /// Whether a member's claim is the elder one. `block`: only a use of that block counts.
  private func isBefore(
    _ a: String, _ first: SliceDraft, _ b: String, _ second: SliceDraft, block: Int? = nil
  ) -> Bool {
    func use(_ cluster: String, _ draft: SliceDraft) -> UInt64? {
      let block = block ?? draft.members[cluster]?.section.block
      return draft.gateways(of: cluster).filter { $0.block == block }.map(\.sinceMilliseconds).min()
    }
    let (x, y) = (use(a, first), use(b, second))
    if x != y { return x ?? .max < y ?? .max }
    guard let mine = first.members[a]?.register, let theirs = second.members[b]?.register else {
      return false
    }
    return mine.isOlder(than: theirs)
  }

  /// What the slice's CIDR overlaps in a cluster, as a sentence; `nil` where nothing holds it.
  private func overlap(of draft: SliceDraft, in cluster: String) -> String? {
    guard let cidr = draft.network?.section.cidr else { return nil }
    if let overlap = clusters[cluster]?.info?.ranges.overlap(with: cidr) {
      return
        "\(cidr) of slice \(draft.name) overlaps the \(overlap.use) range "
        + "\(overlap.range) of \(cluster)"
    }
    for name in slicesByCluster[cluster] ?? [] where name != draft.name {
      guard let other = drafts[name], let taken = other.network?.section.cidr,
        taken.overlaps(cidr), isBefore(cluster, other, cluster, draft)
      else { continue }
      return "\(cidr) of slice \(draft.name) overlaps \(taken) of slice \(name) in \(cluster)"
    }
    return nil
  }

  // MARK: Namespaces

  private func namespaces(
    of member: SliceMember, _ draft: SliceDraft, _ path: String, _ problems: inout [ViewProblem]
  ) -> [String] {
    let every = SliceMember.everyNamespace
    let consent = clusters[member.cluster]?.admission.consent.map { Set($0) }
    let rivals = (slicesByCluster[member.cluster] ?? []).filter { $0 != draft.name }
    if let consent, member.namespaces == [every] {
      // All of them are then those that the cluster gives.
      let named = namespacesNamed(in: member.cluster, besides: draft.name)
      return consent.subtracting(named).filter { !NameRules.isSystemNamespace($0) }.sorted()
    }
    return member.namespaces.filter { namespace in
      if NameRules.isSystemNamespace(namespace) || consent?.contains(namespace) == false {
        problems.append(
          ViewProblem(
            path: path, reason: .notConsented,
            message: "\(member.cluster) keeps namespace \(namespace) to itself"))
        return false
      }
      let holder = rivals.first { name in
        guard let other = drafts[name],
          other.members[member.cluster]?.section.namespaces.contains(namespace) == true
        else { return false }
        return isBefore(member.cluster, other, member.cluster, draft)
      }
      guard let holder else { return true }
      problems.append(
        ViewProblem(
          path: path, reason: .namespaceConflict,
          message: namespace == every
            ? "all other namespaces belong to slice \(holder)"
            : "namespace \(namespace) belongs to slice \(holder)"))
      return false
    }
  }

  private func namespacesNamed(in cluster: String, besides slice: String) -> Set<String> {
    (slicesByCluster[cluster] ?? []).reduce(into: []) { out, name in
      guard name != slice else { return }
      out.formUnion(drafts[name]?.members[cluster]?.section.namespaces ?? [])
    }
  }

  // MARK: Links

  private func resolveLinks(_ view: inout SliceView) {
    guard let network = view.network else { return }
    let names = Set(view.members.map(\.cluster))
    for stranger in network.topology.named.subtracting(names).sorted() {
      view.problems.append(
        ViewProblem(
          path: SlicePath.slice(view.name).text, reason: .invalidLink,
          message: "the topology names \(stranger), which is no member"))
    }
    guard network.overlay != .none else { return }
    let active = view.members.filter(\.isActive).map(\.cluster)
    view.links = network.topology.links(among: active)
    view.relayed = network.topology.relayed(among: active)
  }
}
