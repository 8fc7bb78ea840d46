public import Base

/// Who builds tunnels to whom.
public enum Topology: Hashable, Sendable {
  /// Every member to every other. The default.
  case fullMesh
  /// Members to the hubs, hubs to one another; the others meet through a hub, which cannot read what
  /// it hands on.
  case hubAndSpoke(hubs: [String])
  /// Exactly these pairs; nobody else has a path to each other.
  case custom(links: [ClusterPair])

  public var mode: String {
    switch self {
    case .fullMesh: "FullMesh"
    case .hubAndSpoke: "HubAndSpoke"
    case .custom: "Custom"
    }
  }

  static let modes = ["FullMesh", "HubAndSpoke", "Custom"]
}

/// Two clusters, the smaller name first.
public struct ClusterPair: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let first: String
  public let second: String

  public init(_ a: String, _ b: String) {
    first = min(a, b)
    second = max(a, b)
  }

  /// The other end, `nil` where `cluster` is neither.
  public func other(than cluster: String) -> String? {
    cluster == first ? second : cluster == second ? first : nil
  }

  public static func < (a: Self, b: Self) -> Bool {
    a.first == b.first ? a.second < b.second : a.first < b.first
  }

  public var description: String { "\(first)-\(second)" }
}

/// How workloads get at slice addresses.
public enum SliceOverlay: String, CaseIterable, Hashable, Sendable {
  /// Nodes and exported endpoints have slice addresses; no change of the CNI. The default.
  case service
  /// Every pod has a slice address.
  case pod
  /// No addresses: membership, policies and names only.
  case none
}

/// The section `slice/<s>`.
public struct SliceNetwork: Hashable, Sendable {
  /// `nil` only with overlay `none`.
  public var cidr: IPPrefix?
  /// 2...1024, default 16; sets the block size.
  public var maxClusters: Int
  public var topology: Topology
  public var overlay: SliceOverlay

  public static let defaultMaxClusters = 16

  public init(
    cidr: IPPrefix?, maxClusters: Int = defaultMaxClusters, topology: Topology = .fullMesh,
    overlay: SliceOverlay = .service
  ) {
    self.cidr = cidr
    self.maxClusters = maxClusters
    self.topology = topology
    self.overlay = overlay
  }

  /// `nil` with overlay `none`.
  public var layout: BlockLayout? {
    cidr.flatMap { BlockLayout(cidr: $0, maxClusters: maxClusters) }
  }
}

extension SliceNetwork: SliceSection {
  init(reading reader: inout FieldReader) {
    overlay = reader.choice("overlay", of: SliceOverlay.self) ?? .service
    maxClusters =
      reader.integer("maxClusters", in: BlockLayout.clusterRange) ?? Self.defaultMaxClusters
    topology = Topology(reading: &reader)
    cidr = Self.readCIDR(&reader)
    if let cidr, BlockLayout(cidr: cidr, maxClusters: maxClusters) == nil {
      reader.report(
        "maxClusters", "\(maxClusters) blocks of \(cidr) would be too small",
        allowed: "blocks of at least \(1 << BlockLayout.minimumHostBits) addresses")
    } else if cidr == nil, overlay != .none, reader.isAbsent("cidr") {
      reader.missing("cidr", allowed: "a private prefix; only overlay none goes without")
    }
  }

  private static func readCIDR(_ reader: inout FieldReader) -> IPPrefix? {
    guard let text = reader.string("cidr") else { return nil }
    let rule = "an RFC 1918 or ULA prefix such as 10.11.0.0/16 or fd11::/48"
    guard let cidr = IPPrefix(text) else {
      let parts = text.split(separator: "/")
      if parts.count == 2, let address = IPAddress(parts[0]), let length = Int(parts[1]),
        let meant = IPPrefix(address, length: length)
      {
        reader.report(
          "cidr", "\(FieldReader.quoted(text)) has host bits set", allowed: "\(meant)")
      } else {
        reader.report("cidr", "\(FieldReader.quoted(text)) is no prefix", allowed: rule)
      }
      return nil
    }
    guard cidr.isPrivate else {
      reader.report("cidr", "\(cidr) is not private", allowed: rule)
      return nil
    }
    return cidr
  }

  func write(_ writer: inout FieldWriter) {
    if let cidr { writer.put("cidr", .string("\(cidr)")) }
    writer.put("maxClusters", maxClusters, default: Self.defaultMaxClusters)
    writer.put("overlay", overlay, default: .service)
    writer.put("topology", topology, default: .fullMesh) { $0.value }
  }
}

extension Topology {
  static let memberLimit = 1024
  static let linkLimit = 4096

  init(reading parent: inout FieldReader) {
    guard var reader = parent.map("topology") else {
      self = .fullMesh
      return
    }
    let mode = reader.string("mode")
    let hubs = reader.texts("hubs", limit: Self.memberLimit, allowed: NameRules.labelRule) {
      NameRules.isLabel($0) ? $0 : nil
    }
    let links = Self.readLinks(&reader)
    reader.refuseUnknownFields()
    switch mode {
    case "FullMesh", nil:
      self = .fullMesh
      if mode == nil { reader.missing("mode", allowed: Self.modes.joined(separator: ", ")) }
      if !hubs.isEmpty { reader.report("hubs", "does not go with FullMesh") }
    case "HubAndSpoke":
      self = .hubAndSpoke(hubs: hubs)
      if hubs.isEmpty { reader.missing("hubs", allowed: "at least one member") }
    case "Custom":
      self = .custom(links: links)
      if !hubs.isEmpty { reader.report("hubs", "does not go with Custom") }
    case .some(let other):
      self = .fullMesh
      let hint =
        NameRules.nearest(to: other, among: Self.modes).map { "; did you mean \($0)?" } ?? ""
      reader.report(
        "mode", "\(FieldReader.quoted(other)) is not known\(hint)",
        allowed: Self.modes.joined(separator: ", "))
    }
    if mode != "Custom", !links.isEmpty { reader.report("links", "goes with Custom only") }
  }

  private static func readLinks(_ reader: inout FieldReader) -> [ClusterPair] {
    var out: Set<ClusterPair> = []
    for (value, path) in reader.list("links", limit: linkLimit) {
      guard let ends = value.list?.compactMap(\.string), ends.count == 2, ends[0] != ends[1],
        value.list?.count == 2
      else {
        reader.errors.add(path, "is no link", allowed: "two different members: [a, b]")
        continue
      }
      if !out.insert(ClusterPair(ends[0], ends[1])).inserted {
        reader.errors.add(path, "the link \(ClusterPair(ends[0], ends[1])) is listed twice")
      }
    }
    return out.sorted()
  }

  var value: Value {
    switch self {
    case .fullMesh: ["mode": "FullMesh"]
    case .hubAndSpoke(let hubs):
      ["mode": "HubAndSpoke", "hubs": .list(hubs.map { .string($0) })]
    case .custom(let links):
      [
        "mode": "Custom",
        "links": .list(links.map { .list([.string($0.first), .string($0.second)]) }),
      ]
    }
  }

  /// Clusters that the topology names.
  public var named: Set<String> {
    switch self {
    case .fullMesh: []
    case .hubAndSpoke(let hubs): Set(hubs)
    case .custom(let links): Set(links.flatMap { [$0.first, $0.second] })
    }
  }

  /// The pairs of members that have a tunnel, ascending.
  public func links(among members: [String]) -> [ClusterPair] {
    let members = Set(members)
    switch self {
    case .fullMesh:
      return Self.mesh(members.sorted())
    case .hubAndSpoke(let hubs):
      let hubs = hubs.filter { members.contains($0) }
      return Set(hubs.flatMap { hub in members.filter { $0 != hub }.map { ClusterPair(hub, $0) } })
        .sorted()
    case .custom(let links):
      return links.filter { members.contains($0.first) && members.contains($0.second) }.sorted()
    }
  }

  /// The pairs of members that have a tunnel through a third one only, ascending.
  public func relayed(among members: [String]) -> [ClusterPair] {
    guard case .hubAndSpoke(let hubs) = self, hubs.contains(where: members.contains) else {
      return []
    }
    return Self.mesh(Set(members).subtracting(hubs).sorted())
  }

  private static func mesh(_ members: [String]) -> [ClusterPair] {
    members.indices.flatMap { i in
      members[(i + 1)...].map { ClusterPair(members[i], $0) }
    }
  }
}
