internal import Base
internal import Replication

/// A slice as the converged registers hold it now.
struct CurrentSlice {
  var name: String
  var network: (value: Value, section: SliceNetwork?)?
  var members: [String: (value: Value, section: SliceMember?)] = [:]
  /// Blocks that gateways say they use.
  var blocksInUse: Set<Int> = []
  var exportCount = 0

  init(_ name: String, in source: some RegisterSource) {
    self.name = name
    if let value = source.value(SlicePath.slice(name).text) {
      network = (value, try? SliceNetwork.read(value))
    }
    let prefix = "slice/\(name)/member/"
    for path in source.paths(withPrefix: prefix, in: .clusterset) {
      guard case .member(_, let cluster) = SlicePath(path), let value = source.value(path)
      else { continue }
      var member = try? SliceMember.read(value)
      member?.cluster = cluster
      members[cluster] = (value, member)
    }
    for path in source.paths(withPrefix: "slice/\(name)/gateway/", in: .slice(name)) {
      guard case .gateway = SlicePath(path),
        let block = source.value(path, in: .slice(name))?["block"]?.integer
      else { continue }
      blocksInUse.insert(Int(block))
    }
    exportCount = source.paths(withPrefix: "slice/\(name)/export/", in: .slice(name)).count
  }

  var validMembers: [SliceMember] {
    members.values.compactMap(\.section).sorted { $0.cluster < $1.cluster }
  }

  /// Names of all slices that have a register, ascending.
  static func names(in source: some RegisterSource) -> [String] {
    source.paths(withPrefix: "slice/", in: .clusterset).compactMap {
      if case .slice(let name) = SlicePath($0) { name } else { nil }
    }
  }
}

extension SliceManifest {
  /// The slice as a document, from the converged registers: `starling get`, `edit`, `slice join`.
  /// `nil` where there is no such slice; sections that are not valid are reported.
  public init?(named name: String, in source: some RegisterSource) throws(ManifestError) {
    guard let value = source.value(SlicePath.slice(name).text) else { return nil }
    func section<S: SliceSection>(
      _ part: SlicePath.Section, _ standard: S
    ) throws(ManifestError) -> S {
      guard let value = source.value(SlicePath.section(name, part).text) else { return standard }
      return try S.read(value, path: SlicePath.section(name, part).text)
    }
    self.init(
      name: name,
      network: try SliceNetwork.read(value, path: SlicePath.slice(name).text),
      members: CurrentSlice(name, in: source).validMembers,
      isolation: try section(.isolation, SliceIsolation()),
      rotation: try section(.rotation, SliceRotation()),
      qos: try section(.qos, SliceQoS()),
      dns: try section(.dns, SliceDNS()),
      placement: try section(.placement, SlicePlacement()))
  }
}
