public import Base
public import Kubernetes

/// Reads what `ip -j` and `bridge -j` print: only what the agent may have made itself.
public enum KernelReader {
  /// Of slices, as `NodeDocument.Slice.device` names them.
  static let devicePrefix = "sx-"

  /// - Parameters:
  ///   - links: of `ip -j -d link show type vxlan`.
  ///   - addresses: of `ip -j addr show`.
  ///   - routes: of `ip -j route show proto 83`, both families.
  ///   - neighbours: of `ip -j neigh show nud permanent`.
  ///   - forwarding: of `bridge -j fdb show`.
  public static func items(
    links: JSON, addresses: JSON, routes: [JSON], neighbours: JSON, forwarding: JSON
  ) -> Set<KernelItem> {
    var out: Set<KernelItem> = []
    for link in links.array ?? [] { out.formUnion(device(link)) }
    for link in addresses.array ?? [] { out.formUnion(addressItems(link)) }
    for list in routes { for item in list.array ?? [] { out.formUnion(route(item)) } }
    for item in neighbours.array ?? [] { out.formUnion(neighbour(item)) }
    for item in forwarding.array ?? [] { out.formUnion(forwardingItem(item)) }
    return out
  }

  /// The node's own addresses, but for those that every machine has.
  ///
  /// - Parameter addresses: of `ip -j addr show` in the node's own network.
  public static func ownAddresses(_ addresses: JSON) -> Set<IPAddress> {
    var out: Set<IPAddress> = []
    for info in (addresses.array ?? []).flatMap({ $0["addr_info"]?.array ?? [] }) {
      guard info["scope"]?.string == "global", info["tentative"]?.bool != true else { continue }
      if let address = info["local"]?.string.flatMap({ IPAddress($0) }) { out.insert(address) }
    }
    return out
  }

  /// Of the device that has an address; `nil`: none has.
  public static func mtu(of address: IPAddress, _ addresses: JSON) -> Int? {
    let link = (addresses.array ?? []).first { link in
      (link["addr_info"]?.array ?? []).contains {
        $0["local"]?.string.flatMap { IPAddress($0) } == address
      }
    }
    return link?["mtu"]?.integer.map { Int($0) }
  }

  /// Ends of Pods' links.
  public static func podDevices(_ addresses: JSON) -> [String] {
    (addresses.array ?? []).compactMap { $0["ifname"]?.string }
      .filter { $0.hasPrefix(AttachmentID.devicePrefix) && $0.utf8.count == 14 }.sorted()
  }

  private static func name(_ json: JSON, _ field: String) -> String? {
    json[field]?.string.flatMap { $0.hasPrefix(devicePrefix) ? $0 : nil }
  }

  private static func device(_ json: JSON) -> [KernelItem] {
    guard let name = name(json, "ifname"), let data = json.at("linkinfo", "info_data"),
      let network = data["id"]?.integer,
      let local = (data["local"] ?? data["local6"])?.string.flatMap({ IPAddress($0) }),
      let mtu = json["mtu"]?.integer
    else { return [] }
    return [.device(name, network: UInt32(clamping: network), local: local, mtu: Int(mtu))]
  }

  private static func addressItems(_ json: JSON) -> [KernelItem] {
    guard let name = name(json, "ifname") else { return [] }
    return (json["addr_info"]?.array ?? []).compactMap { info in
      // The kernel gives link-local addresses itself.
      guard info["scope"]?.string != "link",
        let address = info["local"]?.string.flatMap({ IPAddress($0) })
      else { return nil }
      return .address(address, device: name)
    }
  }

  private static func route(_ json: JSON) -> [KernelItem] {
    guard let destination = json["dst"]?.string.flatMap(prefix) else { return [] }
    let hops = json["nexthops"]?.array ?? [json]
    guard let device = hops.first.flatMap({ name($0, "dev") }) else { return [] }
    let addresses = hops.compactMap { $0["gateway"]?.string.flatMap { IPAddress($0) } }
    return [.route(destination, hops: addresses.sorted(), device: device)]
  }

  /// `ip` leaves out the length of a host's route.
  static func prefix(_ text: String) -> IPPrefix? {
    IPPrefix(text) ?? IPAddress(text).flatMap { IPPrefix($0, length: $0.family.bits) }
  }

  private static func neighbour(_ json: JSON) -> [KernelItem] {
    guard let device = name(json, "dev"),
      let address = json["dst"]?.string.flatMap({ IPAddress($0) }),
      let hardware = json["lladdr"]?.string
    else { return [] }
    return [.neighbour(address, hardware: hardware, device: device)]
  }

  private static func forwardingItem(_ json: JSON) -> [KernelItem] {
    guard let device = name(json, "ifname"), let hardware = json["mac"]?.string,
      let to = json["dst"]?.string.flatMap({ IPAddress($0) })
    else { return [] }
    return [.forwarding(hardware: hardware, to: to, device: device)]
  }
}
