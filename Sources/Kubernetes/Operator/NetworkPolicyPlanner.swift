public import Base
public import Slices

/// A NetworkPolicy for each namespace that takes part in an isolated slice: traffic with the slice's
/// namespaces, with those that it allows, with the slice's addresses and with DNS, and no other.
///
/// Whoever has no policy-enforcing CNI is not protected by it: membership is enforced by the node
/// agents whatever the CNI does.
public enum NetworkPolicyPlanner {
  /// Addresses of imported Services in one policy: some CNIs look at them before translation.
  static let addressLimit = 512

  /// - Parameters:
  ///   - namespaces: the slice of each namespace that takes part.
  ///   - addresses: of derived Services, by slice.
  public static func desired(
    _ view: ClustersetView, namespaces: [String: String],
    addresses: [String: [ServiceName: [IPAddress]]]
  ) -> [DesiredObject] {
    namespaces.sorted { $0.key < $1.key }.compactMap { namespace, name in
      guard let slice = view.slices[name], slice.isolation.enabled else { return nil }
      let members = namespaces.filter { $0.value == name }.keys
      return DesiredObject(
        .networkPolicies, ObjectKey(namespace: namespace, name: self.name(of: name)),
        labels: [ObjectNames.slice: name],
        ["spec": spec(slice, Set(members), addresses[name] ?? [:])])
    }
  }

  public static func name(of slice: String) -> String { "starling-\(slice)" }

  private static func spec(
    _ slice: SliceView, _ members: Set<String>, _ addresses: [ServiceName: [IPAddress]]
  ) -> JSON {
    let names = members.union(slice.isolation.allowedNamespaces).sorted()
    // The server puts this label on every namespace.
    let neighbours: JSON = [
      "namespaceSelector": [
        "matchExpressions": [
          [
            "key": "kubernetes.io/metadata.name", "operator": "In",
            "values": .array(names.map { .string($0) }),
          ]
        ]
      ]
    ]
    let range = slice.network?.cidr.map { [block("\($0)")] } ?? []
    let services = Set(addresses.values.joined()).sorted().prefix(addressLimit)
      .map { block("\($0)/\($0.family.bits)") }
    let ports = slice.isolation.ports.map { port -> JSON in
      ["port": .integer(Int64(port.port)), "protocol": .string(port.transport.rawValue)]
    }
    func rule(_ peers: String, _ list: [JSON]) -> JSON {
      .object([peers: .array(list), "ports": ports.isEmpty ? nil : .array(ports)])
    }
    return [
      "podSelector": .empty, "policyTypes": ["Ingress", "Egress"],
      "ingress": [rule("from", [neighbours] + range)],
      "egress": [rule("to", [neighbours] + range + services), dns],
    ]
  }

  private static func block(_ prefix: String) -> JSON { ["ipBlock": ["cidr": .string(prefix)]] }

  /// To wherever the cluster's DNS is: it may be a node's own.
  private static let dns: JSON = [
    "ports": [
      ["port": 53, "protocol": "UDP"], ["port": 53, "protocol": "TCP"],
    ]
  ]

  /// Policies of others, in namespaces of isolated slices, that let everybody in or out: policies add
  /// up, so they undo the isolation. Ascending.
  public static func widening(
    _ objects: ClusterObjects, _ view: ClustersetView, namespaces: [String: String]
  ) -> [KubernetesObject] {
    objects.all(.networkPolicies).filter { policy in
      guard !ObjectDiffer.isOurs(policy), let slice = namespaces[policy.namespace],
        view.slices[slice]?.isolation.enabled == true
      else { return false }
      return isOpen(policy.spec["ingress"], "from") || isOpen(policy.spec["egress"], "to")
    }
  }

  /// A rule without peers is for everybody, and so is one with a selector of all namespaces or a range
  /// of all addresses.
  private static func isOpen(_ rules: JSON?, _ peers: String) -> Bool {
    (rules?.array ?? []).contains { rule in
      let list = rule[peers]?.array ?? []
      // DNS and the like for everybody widen nothing.
      guard rule["ports"]?.array?.isEmpty != false else { return false }
      return list.isEmpty
        || list.contains { peer in
          let range = peer.at("ipBlock", "cidr")?.string
          return range == "0.0.0.0/0" || range == "::/0"
            || (peer["namespaceSelector"] == .empty && (peer["podSelector"] ?? .empty) == .empty)
        }
    }
  }
}
