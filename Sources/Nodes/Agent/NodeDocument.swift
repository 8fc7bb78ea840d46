public import Base
public import Kubernetes

/// What one node (or one gateway) is told: a JSON document, replaced whole when anything changes.
public struct NodeDocument: Hashable, Sendable {
  public enum Role: String, Hashable, Sendable {
    case node
    /// The namespace of a gateway, whose tunnel device is there already.
    case gateway
  }

  public struct Slice: Hashable, Sendable {
    public enum Overlay: String, Hashable, Sendable { case service, pod }

    public var name: String
    public var overlay: Overlay
    public var cidr: IPPrefix
    /// This cluster's.
    public var block: IPPrefix
    public var nodeAddress: IPAddress
    /// VXLAN network identifier, the same on all nodes of the cluster.
    public var network: UInt32
    /// What a tunnel takes.
    public var tunnelMTU: Int
    public var gateways: [Neighbour]
    /// Other nodes, and what lies behind each.
    public var nodes: [Neighbour]
    /// Real addresses on this node that may enter the slice.
    public var sources: [IPAddress]
    public var endpoints: [Endpoint]
    /// Overlay `pod`: whose Pods get an address.
    public var namespaces: [String]
    /// Overlay `pod`: `namespace/name` of Pods that opted out by their label.
    public var optedOut: [String]
    /// Overlay `pod`: this node's addresses for Pods.
    public var chunk: IPPrefix?
  }

  public struct Neighbour: Hashable, Sendable {
    /// In the slice.
    public var address: IPAddress
    /// The node's or the gateway Pod's, between which VXLAN packets go.
    public var underlay: IPAddress
    public var behind: [IPPrefix]
  }

  public struct Endpoint: Hashable, Sendable {
    public var address: IPAddress
    public var target: IPAddress
    /// `tcp . 80`, as packet rules say it.
    public var ports: [String]
    /// Overlay `pod`: `namespace/name` of the Pod, which has an address in the slice by itself.
    public var pod = ""
  }

  public var role: Role
  public var underlay: IPAddress
  public var slices: [Slice]

  public static let sliceLimit = 256
  public static let itemLimit = 65_536

  /// Which field is wrong, and why. Nothing was taken from the document.
  public struct Problem: Error, Hashable, Sendable, CustomStringConvertible {
    public var description: String
  }

  public init(_ json: JSON) throws(Problem) {
    guard let role = Role(rawValue: json["role"]?.string ?? "node") else {
      throw Problem(description: "role: node or gateway")
    }
    self.role = role
    underlay = try Self.read(json, "underlay") { IPAddress($0) }
    guard let list = json["slices"]?.array, list.count <= Self.sliceLimit else {
      throw Problem(description: "slices: a list of at most \(Self.sliceLimit)")
    }
    slices = []
    for item in list { slices.append(try Self.checked(try Self.slice(item), underlay.family)) }
    guard Set(slices.map(\.name)).count == slices.count,
      Set(slices.map(\.network)).count == slices.count
    else { throw Problem(description: "slices: two with one name or one network") }
  }

  private static func slice(_ json: JSON) throws(Problem) -> Slice {
    let name = try read(json, "name") { isLabel($0) ? $0 : nil }
    guard let network = json["network"]?.integer, (1..<1 << 24).contains(network) else {
      throw Problem(description: "\(name): network: 1 to 16777215")
    }
    let mtu = json["tunnelMTU"]?.integer ?? 1420
    guard (1280...65_535).contains(mtu) else {
      throw Problem(description: "\(name): tunnelMTU: 1280 to 65535")
    }
    let cidr = try read(json, "cidr") { IPPrefix($0) }
    let block = try read(json, "block") { IPPrefix($0) }
    let node = try read(json, "nodeAddress") { IPAddress($0) }
    guard cidr.contains(block), block.contains(node) else {
      throw Problem(description: "\(name): the block or the node's address lies outside")
    }
    let chunk = try json["chunk"] == nil ? nil : read(json, "chunk") { IPPrefix($0) }
    if let chunk, !block.contains(chunk) {
      throw Problem(description: "\(name): chunk: outside of the block")
    }
    return Slice(
      name: name, overlay: try read(json, "overlay") { Slice.Overlay(rawValue: $0) }, cidr: cidr,
      block: block, nodeAddress: node, network: UInt32(network), tunnelMTU: Int(mtu),
      gateways: try list(json, "gateways", neighbour), nodes: try list(json, "nodes", neighbour),
      sources: try list(json, "sources") { json throws(Problem) in
        try text(json, "sources") { IPAddress($0) }
      },
      endpoints: try list(json, "endpoints", endpoint),
      namespaces: (json["namespaces"]?.array ?? []).compactMap(\.string),
      optedOut: (json["optedOut"]?.array ?? []).compactMap(\.string), chunk: chunk)
  }

  /// One address of another family would make the kernel refuse the rules of all slices.
  private static func checked(
    _ slice: Slice, _ underlay: IPAddress.Family
  ) throws(Problem) -> Slice {
    let neighbours = slice.gateways + slice.nodes
    let inside =
      neighbours.flatMap { [$0.address] + $0.behind.map(\.network) } + slice.sources
      + slice.endpoints.flatMap { [$0.address, $0.target] }
    if let other = inside.first(where: { $0.family != slice.family }) {
      throw Problem(description: "\(slice.name): \(other) is not of the family of \(slice.cidr)")
    }
    if let other = neighbours.first(where: { $0.underlay.family != underlay }) {
      throw Problem(
        description: "\(slice.name): \(other.underlay) is not of the underlay's family")
    }
    return slice
  }

  private static func neighbour(_ json: JSON) throws(Problem) -> Neighbour {
    Neighbour(
      address: try read(json, "address") { IPAddress($0) },
      underlay: try read(json, "underlay") { IPAddress($0) },
      behind: try list(json, "behind") { json throws(Problem) in
        try text(json, "behind") { IPPrefix($0) }
      })
  }

  private static func endpoint(_ json: JSON) throws(Problem) -> Endpoint {
    Endpoint(
      address: try read(json, "address") { IPAddress($0) },
      target: try read(json, "target") { IPAddress($0) },
      ports: try list(json, "ports") { json throws(Problem) in
        let transport = try read(json, "transport") { text in
          ["tcp", "udp", "sctp"].first { $0 == text.lowercased() }
        }
        guard let port = json["port"]?.integer, (1...65_535).contains(port) else {
          throw Problem(description: "ports: 1 to 65535")
        }
        return "\(transport) . \(port)"
      }, pod: json["pod"]?.string ?? "")
  }

  private static func list<Item>(
    _ json: JSON, _ field: String, _ read: (JSON) throws(Problem) -> Item
  ) throws(Problem) -> [Item] {
    let items = json[field]?.array ?? []
    guard items.count <= itemLimit else {
      throw Problem(description: "\(field): more than \(itemLimit) items")
    }
    var out: [Item] = []
    for item in items { out.append(try read(item)) }
    return out
  }

  private static func read<Value>(
    _ json: JSON, _ field: String, _ parse: (String) -> Value?
  ) throws(Problem) -> Value {
    try text(json[field], field, parse)
  }

  private static func text<Value>(
    _ json: JSON?, _ field: String, _ parse: (String) -> Value?
  ) throws(Problem) -> Value {
    guard let value = json?.string.flatMap(parse) else {
      throw Problem(description: "\(field): missing or not valid")
    }
    return value
  }

  /// RFC 1123: slices' names become names in packet rules.
  private static func isLabel(_ text: String) -> Bool {
    (1...63).contains(text.utf8.count) && text.utf8.first != 0x2d
      && text.utf8.allSatisfy {
        (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) || $0 == 0x2d
      }
  }
}

extension NodeDocument.Slice {
  public var family: IPAddress.Family { cidr.network.family }
  /// The device that leads to the cluster's other nodes and gateways; a long name gets a hash.
  public var device: String { "sx" + tunnelDevice.dropFirst(2) }
  /// The gateway's, made by its process.
  public var tunnelDevice: String { SliceDevice.name(of: name) }
}
