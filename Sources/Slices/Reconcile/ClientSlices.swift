public import Base

/// Which slices the workloads of a standalone cluster see: those of their namespaces.
public enum ClientSlices {
  public static func byAddress(
    _ view: ClustersetView, cluster: String, local: LocalServices
  ) -> [IPAddress: Set<String>] {
    var out: [IPAddress: Set<String>] = [:]
    let owners = local.addressesByNamespace()
    for slice in view.slices(of: cluster) where slice.isActive(cluster) {
      guard let member = slice.member(cluster) else { continue }
      for (namespace, addresses) in owners where member.includes(namespace: namespace) {
        for address in addresses { out[address, default: []].insert(slice.name) }
      }
    }
    return out
  }
}
