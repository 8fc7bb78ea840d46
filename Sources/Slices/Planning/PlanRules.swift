internal import Base
internal import Replication

/// The rules that need the state: what may not change, and what other slices and clusters hold.
struct PlanRules<Source: RegisterSource> {
  let manifest: SliceManifest
  let current: CurrentSlice
  let source: Source
  let errors: FieldErrors

  func check() {
    checkImmutables()
    for (index, member) in manifest.members.enumerated() {
      let path = "spec.members[\(index)]"
      checkAdmitted(member, path)
      checkRanges(member)
      checkGateway(member, path)
    }
    for other in CurrentSlice.names(in: source) where other != manifest.name {
      check(against: CurrentSlice(other, in: source))
    }
  }

  /// What would renumber or cut members that are there. An empty slice may change at will.
  private func checkImmutables() {
    guard let old = current.network?.section, !current.members.isEmpty else { return }
    let new = manifest.network
    if old.overlay != new.overlay {
      errors.add(
        "spec.overlay", "cannot change while the slice has members",
        allowed: old.overlay.rawValue)
    }
    if old.cidr != new.cidr {
      errors.add(
        "spec.cidr", "cannot change while the slice has members",
        allowed: old.cidr.map { "\($0)" } ?? "none")
    } else if let before = old.layout, let after = new.layout,
      before.blockLength != after.blockLength
    {
      errors.add(
        "spec.maxClusters", "\(new.maxClusters) would change the size of every member's block",
        allowed: "\(before.blockCount / 2 + 1) to \(before.blockCount)")
    }
  }

  private func checkAdmitted(_ member: SliceMember, _ path: String) {
    guard source.value(SlicePath.cluster(member.cluster).text) == nil else { return }
    let known = source.paths(withPrefix: "cluster/", in: .clusterset).compactMap {
      if case .cluster(let name) = SlicePath($0) { name } else { String?.none }
    }
    let hint =
      NameRules.nearest(to: member.cluster, among: known).map { "; did you mean \($0)?" } ?? ""
    errors.add(
      "\(path).cluster", "no cluster \"\(member.cluster)\" is admitted\(hint)",
      allowed: known.prefix(16).joined(separator: ", "))
  }

  private func checkRanges(_ member: SliceMember) {
    guard let cidr = manifest.network.cidr,
      let value = source.value(SlicePath.clusterInfo(member.cluster).text),
      let overlap = (try? ClusterInfo(value))?.ranges.overlap(with: cidr)
    else { return }
    errors.add(
      "spec.cidr",
      "\(cidr) overlaps the \(overlap.use) range \(overlap.range) of \(member.cluster)")
  }

  private func checkGateway(_ member: SliceMember, _ path: String) {
    guard let old = current.members[member.cluster]?.section?.gateway.type,
      old == .loadBalancer, member.gateway.type == .nodePort
    else { return }
    errors.add(
      "\(path).gateway.type", "cannot go back from LoadBalancer to NodePort",
      allowed: "LoadBalancer, HostNetwork, Relay")
  }

  private func check(against other: CurrentSlice) {
    let theirs = Dictionary(
      other.validMembers.map { ($0.cluster, $0) }, uniquingKeysWith: { a, _ in a })
    var sharesCluster = false
    for (index, member) in manifest.members.enumerated() {
      guard let rival = theirs[member.cluster] else { continue }
      sharesCluster = true
      for namespace in member.namespaces where rival.namespaces.contains(namespace) {
        errors.add(
          "spec.members[\(index)].namespaces",
          "\"\(namespace)\" in \(member.cluster) belongs to slice \(other.name) already")
      }
    }
    if sharesCluster, let cidr = manifest.network.cidr,
      let taken = other.network?.section?.cidr, taken.overlaps(cidr)
    {
      errors.add(
        "spec.cidr",
        "\(cidr) overlaps \(taken) of slice \(other.name), which shares a cluster with it")
    }
  }
}
