public import Base

/// Which slices the workloads of a standalone cluster see: those of their namespaces.
public enum ClientSlices {
  public static func byAddress(
    _ view: ClustersetView, cluster: String, local: LocalServices
  ) -> [IPAddress: Set<String>] {
    var out: [IPAddress: Set<String>] = [:]
    let owners = local.addressesByNamespace()
    for slice in view.slices(of: cluster) where slice.isActive(cluster) {
      for namespace in slice.member(cluster)?.namespaces ?? [] {
        for address in owners[namespace] ?? [] { out[address, default: []].insert(slice.name) }
      }
    }
    return out
  }
}
