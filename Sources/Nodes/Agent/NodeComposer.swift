public import Base
public import Kubernetes

/// Puts the document of one node (or one gateway) together from the NodeNetworks of all nodes: its own
/// says what is on it, those of the others what lies behind them.
public enum NodeComposer {
  /// Nodes of which something is taken.
  public static let nodeLimit = 16_384

  /// - Parameter networks: specs by node.
  /// - Returns: `nil` where nothing is known of the node; what is in force stays then.
  public static func node(_ name: String, of networks: [String: JSON]) -> JSON? {
    guard let own = networks[name], let underlay = own["underlay"]?.string else { return nil }
    let others = networks.filter { $0.key != name }.sorted { $0.key < $1.key }
      .prefix(nodeLimit).map(\.value)
    let slices = (own["slices"]?.array ?? []).map { slice -> JSON in
      var out = slice
      let here = Set((slice["endpoints"]?.array ?? []).compactMap { $0["address"]?.string })
      out["nodes"] = .array(neighbours(of: slice, others, besides: here, underlay))
      return out
    }
    return ["role": "node", "underlay": .string(underlay), "slices": .array(slices)]
  }

  /// - Parameter underlay: the gateway's own address, by which the nodes know it.
  /// - Returns: `nil` where no node knows it.
  public static func gateway(_ underlay: IPAddress, of networks: [String: JSON]) -> JSON? {
    let all = networks.sorted { $0.key < $1.key }.prefix(nodeLimit).map(\.value)
    var slices: [String: JSON] = [:]
    for spec in all {
      for slice in spec["slices"]?.array ?? [] {
        guard let name = slice["name"]?.string, slices[name] == nil,
          let own = slice["gateways"]?.array?.first(where: {
            $0["underlay"]?.string.flatMap { IPAddress($0) } == underlay
          })
        else { continue }
        var out: JSON = ["nodeAddress": own["address"] ?? .null]
        for field in ["name", "overlay", "cidr", "block", "network", "tunnelMTU"] {
          out[field] = slice[field]
        }
        // A flow from elsewhere takes any gateway, also one that is meant for another of them.
        out["nodes"] = .array(
          neighbours(of: slice, all, besides: [], "\(underlay)")
            + siblings(of: underlay, in: slice))
        slices[name] = out
      }
    }
    guard !slices.isEmpty else { return nil }
    return [
      "role": "gateway", "underlay": .string("\(underlay)"),
      "slices": .array(slices.sorted { $0.key < $1.key }.map(\.value)),
    ]
  }

  /// What this cluster exports and where it is in its slices, for a gateway that counts its traffic.
  ///
  /// - Returns: ascending by slice and service, with the addresses ascending.
  public static func services(of networks: [String: JSON]) -> [JSON] {
    var found: [String: [String: Set<IPAddress>]] = [:]
    for spec in networks.values {
      for slice in spec["slices"]?.array ?? [] {
        guard let name = slice["name"]?.string else { continue }
        for endpoint in slice["endpoints"]?.array ?? [] {
          guard let service = endpoint["service"]?.string,
            let address = endpoint["address"]?.string.flatMap({ IPAddress($0) })
          else { continue }
          found[name, default: [:]][service, default: []].insert(address)
        }
      }
    }
    return found.sorted { $0.key < $1.key }.flatMap { slice, services in
      services.sorted { $0.key < $1.key }.compactMap { service, addresses -> JSON? in
        let parts = service.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        return [
          "slice": .string(slice), "namespace": .string(String(parts[0])),
          "name": .string(String(parts[1])),
          "addresses": .array(addresses.sorted().map { .string("\($0)") }),
        ]
      }
    }
  }

  /// The cluster's other gateways in a slice.
  private static func siblings(of underlay: IPAddress, in slice: JSON) -> [JSON] {
    (slice["gateways"]?.array ?? []).compactMap { gateway in
      guard let other = gateway["underlay"]?.string.flatMap({ IPAddress($0) }),
        other != underlay, other.family == underlay.family, let address = gateway["address"]
      else { return nil }
      return ["address": address, "underlay": .string("\(other)"), "behind": []]
    }
  }

  /// Those that have the slice as we do. While an endpoint moves two nodes may claim it; it lies behind
  /// the first.
  private static func neighbours(
    of slice: JSON, _ others: [JSON], besides here: Set<String>, _ underlay: String
  ) -> [JSON] {
    var claimed = here
    let family = IPAddress(underlay)?.family
    return others.compactMap { spec in
      guard let address = spec["underlay"]?.string, IPAddress(address)?.family == family,
        address != underlay,
        let other = (spec["slices"]?.array ?? []).first(where: { $0["name"] == slice["name"] }),
        other["block"] == slice["block"], other["network"] == slice["network"],
        let own = other["nodeAddress"]
      else { return nil }
      var behind: [JSON] = []
      for endpoint in other["endpoints"]?.array ?? [] {
        guard let text = endpoint["address"]?.string, let address = IPAddress(text),
          claimed.insert(text).inserted
        else { continue }
        behind.append(.string("\(address)/\(address.family.bits)"))
      }
      if let chunk = other["chunk"] { behind.append(chunk) }
      return ["address": own, "underlay": .string(address), "behind": .array(behind)]
    }
  }
}
