public import Base

/// `kind: Slice`: what a user writes and `starling apply -f` reads.
public struct SliceManifest: Hashable, Sendable {
  public var name: String
  public var network: SliceNetwork
  /// In the order of the document, each cluster once.
  public var members: [SliceMember]
  public var isolation: SliceIsolation
  public var rotation: SliceRotation
  public var qos: SliceQoS
  public var dns: SliceDNS
  public var placement: SlicePlacement

  public static let kind = "Slice"

  public init(
    name: String, network: SliceNetwork, members: [SliceMember] = [],
    isolation: SliceIsolation = SliceIsolation(), rotation: SliceRotation = SliceRotation(),
    qos: SliceQoS = SliceQoS(), dns: SliceDNS = SliceDNS(),
    placement: SlicePlacement = SlicePlacement()
  ) {
    self.name = name
    self.network = network
    self.members = members
    self.isolation = isolation
    self.rotation = rotation
    self.qos = qos
    self.dns = dns
    self.placement = placement
  }

  /// Reads the document and checks every rule that needs nothing but the document.
  public init(_ document: Value) throws(ManifestError) {
    let errors = FieldErrors()
    var reader = FieldReader(document, at: "", errors: errors)
    _ = Manifest.readHeader(&reader, kinds: [Self.kind])
    self.init(body: &reader)
    guard errors.isEmpty else { throw errors.result }
  }

  init(body reader: inout FieldReader) {
    name = Manifest.readName(&reader)
    if name == "svc" {
      // `db.shop.svc.slice.local` could then mean two things.
      reader.report("metadata.name", "\"svc\" is taken by service names")
    }
    if reader.isAbsent("spec") { reader.missing("spec", allowed: "cidr, members, ...") }
    var spec = reader.map("spec") ?? FieldReader([:], at: "spec", errors: FieldErrors())
    network = SliceNetwork(reading: &spec)
    members = Self.readMembers(&spec)
    isolation = Self.read("isolation", &spec) ?? SliceIsolation()
    rotation = Self.read("rotation", &spec) ?? SliceRotation()
    qos = Self.read("qos", &spec) ?? SliceQoS()
    dns = Self.read("dns", &spec) ?? SliceDNS()
    placement = Self.read("placement", &spec) ?? SlicePlacement()
    spec.refuseUnknownFields()
    reader.refuseUnknownFields()
    checkMembers(spec)
  }

  private static func read<S: SliceSection>(_ name: String, _ spec: inout FieldReader) -> S? {
    guard var reader = spec.map(name) else { return nil }
    let section = S(reading: &reader)
    reader.refuseUnknownFields()
    return section
  }

  private static func readMembers(_ spec: inout FieldReader) -> [SliceMember] {
    var out: [SliceMember] = []
    var paths: [String: String] = [:]
    for (value, path) in spec.list("members", limit: BlockLayout.clusterRange.upperBound) {
      var reader = FieldReader(value, at: path, errors: spec.errors)
      let cluster = reader.label("cluster")
      if cluster == nil, reader.isAbsent("cluster") {
        reader.missing("cluster", allowed: "the name of an admitted cluster")
      }
      let member = SliceMember(cluster: cluster ?? "", reading: &reader)
      reader.refuseUnknownFields()
      guard let cluster else { continue }
      if let first = paths.updateValue(path, forKey: cluster) {
        paths[cluster] = first
        reader.report("cluster", "\"\(cluster)\" is already a member in \(first)")
      } else {
        out.append(member)
      }
    }
    return out
  }

  private func checkMembers(_ spec: FieldReader) {
    if members.count > network.maxClusters {
      spec.report(
        "members", "\(members.count) members are too many",
        allowed: "at most maxClusters, \(network.maxClusters)")
    }
    var holders: [Int: String] = [:]
    for (index, member) in members.enumerated() {
      guard let block = member.block else { continue }
      let path = "members[\(index)].block"
      if let layout = network.layout, block >= layout.blockCount {
        spec.report(path, "there is no block \(block)", allowed: "0 to \(layout.blockCount - 1)")
      } else if let other = holders.updateValue(member.cluster, forKey: block) {
        spec.report(path, "block \(block) is that of \"\(other)\" already")
      }
    }
    let names = Set(members.map(\.cluster))
    for stranger in network.topology.named.subtracting(names).sorted() {
      spec.report(
        "topology", "\(FieldReader.quoted(stranger)) is no member",
        allowed: names.sorted().joined(separator: ", "))
    }
  }

  /// The document again. `withDefaults` writes every field out.
  public func document(withDefaults: Bool = true) -> Value {
    var spec = FieldWriter(withDefaults: withDefaults)
    network.write(&spec)
    spec.put("members", .list(members.map { $0.manifestValue(withDefaults: withDefaults) }))
    func put(_ name: String, _ section: some SliceSection) {
      let value = section.value(withDefaults: withDefaults)
      if value.fields?.isEmpty == false { spec.put(name, value) }
    }
    put("isolation", isolation)
    put("rotation", rotation)
    put("qos", qos)
    put("dns", dns)
    put("placement", placement)
    return [
      "apiVersion": .string(Manifest.apiVersion), "kind": .string(Self.kind),
      "metadata": ["name": .string(name)], "spec": spec.value,
    ]
  }
}

/// Any document that `starling apply` takes. Other kinds get a case of their own.
public enum Manifest: Hashable, Sendable {
  case slice(SliceManifest)

  public static let apiVersion = "starling.dev/v1alpha1"
  static let kinds = [SliceManifest.kind]

  public init(_ document: Value) throws(ManifestError) {
    let errors = FieldErrors()
    var reader = FieldReader(document, at: "", errors: errors)
    guard let kind = Self.readHeader(&reader, kinds: Self.kinds) else { throw errors.result }
    switch kind {
    default: self = .slice(SliceManifest(body: &reader))
    }
    guard errors.isEmpty else { throw errors.result }
  }

  public var name: String {
    switch self {
    case .slice(let slice): slice.name
    }
  }

  /// The kind, `nil` where it is none that is known.
  static func readHeader(_ reader: inout FieldReader, kinds: [String]) -> String? {
    let version = reader.string("apiVersion")
    if version != apiVersion, version != nil || reader.isAbsent("apiVersion") {
      reader.report(
        "apiVersion", version.map { "\(FieldReader.quoted($0)) is not known" } ?? "is missing",
        allowed: apiVersion)
    }
    let kind = reader.string("kind")
    if let kind, kinds.contains(kind) { return kind }
    if kind != nil || reader.isAbsent("kind") {
      let hint =
        kind.flatMap { NameRules.nearest(to: $0, among: kinds) }.map { "; did you mean \($0)?" }
        ?? ""
      reader.report(
        "kind",
        (kind.map { "\(FieldReader.quoted($0)) is not known" } ?? "is missing") + hint,
        allowed: kinds.joined(separator: ", "))
    }
    return nil
  }

  static func readName(_ reader: inout FieldReader) -> String {
    guard var metadata = reader.map("metadata") else {
      if reader.isAbsent("metadata") { reader.missing("metadata", allowed: "{name: ...}") }
      return ""
    }
    let name = metadata.label("name")
    if metadata.isAbsent("name") { metadata.missing("name", allowed: NameRules.labelRule) }
    metadata.refuseUnknownFields()
    return name ?? ""
  }
}
