internal import Base
internal import Replication

/// A slice's registers, decoded one by one, before they are checked against one another.
struct SliceDraft: Sendable {
  var name: String
  var network: Kept<SliceNetwork>?
  var isolation: Kept<SliceIsolation>?
  var rotation: Kept<SliceRotation>?
  var qos: Kept<SliceQoS>?
  var dns: Kept<SliceDNS>?
  var placement: Kept<SlicePlacement>?
  var members: [String: Kept<SliceMember>] = [:]
  /// By cluster, then replica.
  var gateways: [String: [String: Kept<GatewayRecord>]] = [:]
  /// By path of the export's register.
  var exports: [String: Kept<ServiceExport>] = [:]
  /// By path of the shard's register.
  var shards: [String: Kept<ExportShard>] = [:]
  /// Numbers of an export's shards, by path of the export's register.
  private(set) var shardNumbers: [String: Set<Int>] = [:]
  var problems: [ViewProblem] = []

  /// A section that was valid, with the register that it came from.
  struct Kept<S: Sendable>: Sendable {
    var section: S
    var register: Register
    /// What is wrong with the present register, where `section` is an elder one.
    var problem: ViewProblem?
  }

  init(_ name: String, from source: some RegisterSource, previous: SliceDraft?) {
    self.name = name
    let base = SlicePath.slice(name).text
    network = keep(base, source, previous?.network) { v throws(ManifestError) in
      try SliceNetwork.read(v)
    }
    func path(_ section: SlicePath.Section) -> String { SlicePath.section(name, section).text }
    isolation = keepSection(path(.isolation), source, previous?.isolation)
    rotation = keepSection(path(.rotation), source, previous?.rotation)
    qos = keepSection(path(.qos), source, previous?.qos)
    dns = keepSection(path(.dns), source, previous?.dns)
    placement = keepSection(path(.placement), source, previous?.placement)
    readMembers(source, previous)
    readGateways(source, previous)
    readExports(source, previous)
  }

  /// The registers that other slices of a cluster are checked against.
  var structure: [Register?] {
    [network?.register] + members.sorted { $0.key < $1.key }.map(\.value.register)
      + gateways.sorted { $0.key < $1.key }.flatMap { _, replicas in
        replicas.sorted { $0.key < $1.key }.map(\.value.register)
      }
  }

  /// What a cluster's gateways published, ascending by replica.
  func gateways(of cluster: String) -> [GatewayRecord] {
    (gateways[cluster] ?? [:]).sorted { $0.key < $1.key }.map(\.value.section)
  }

  private mutating func readMembers(_ source: some RegisterSource, _ previous: SliceDraft?) {
    for path in source.paths(withPrefix: "slice/\(name)/member/", in: .clusterset) {
      guard case .member(_, let cluster) = SlicePath(path) else { continue }
      members[cluster] = keep(path, source, previous?.members[cluster]) {
        value throws(ManifestError) in
        var member = try SliceMember.read(value)
        member.cluster = cluster
        return member
      }
    }
  }

  private mutating func readGateways(_ source: some RegisterSource, _ previous: SliceDraft?) {
    for path in source.paths(withPrefix: "slice/\(name)/gateway/", in: .slice(name)) {
      guard case .gateway(_, let cluster, let replica) = SlicePath(path) else { continue }
      let before = previous?.gateways[cluster]?[replica]
      gateways[cluster, default: [:]][replica] = keep(path, source, before, in: .slice(name)) {
        v throws(ManifestError) in
        var record = try GatewayRecord.read(v)
        record.replica = replica
        return record
      }
    }
  }

  private mutating func readExports(_ source: some RegisterSource, _ previous: SliceDraft?) {
    for path in source.paths(withPrefix: "slice/\(name)/export/", in: .slice(name)) {
      readExport(path, source, previous?.exports[path], previous?.shards[path])
    }
  }

  /// Reads again the exports and shards that were written, and nothing else: what a change costs
  /// does not depend on how many there are.
  mutating func update(exports paths: Set<String>, from source: some RegisterSource) {
    problems.removeAll { paths.contains($0.path) }
    for path in paths.sorted() { readExport(path, source, exports[path], shards[path]) }
  }

  private mutating func readExport(
    _ path: String, _ source: some RegisterSource, _ export: Kept<ServiceExport>?,
    _ shard: Kept<ExportShard>?
  ) {
    switch SlicePath(path) {
    case .export(_, let cluster, let service):
      exports[path] = keep(path, source, export, in: .slice(name)) {
        value throws(ManifestError) in
        var export = try ServiceExport.read(value)
        export.cluster = cluster
        export.service = service
        return export
      }
    case .exportShard(_, let cluster, let service, let number):
      shards[path] = keep(path, source, shard, in: .slice(name)) { v throws(ManifestError) in
        try ExportShard(v)
      }
      let owner = SlicePath.export(slice: name, cluster: cluster, service: service).text
      if shards[path] == nil {
        shardNumbers[owner]?.remove(number)
        if shardNumbers[owner]?.isEmpty == true { shardNumbers[owner] = nil }
      } else {
        shardNumbers[owner, default: []].insert(number)
      }
    default: return
    }
  }

  private mutating func keepSection<S: SliceSection>(
    _ path: String, _ source: some RegisterSource, _ previous: Kept<S>?
  ) -> Kept<S>? {
    keep(path, source, previous) { v throws(ManifestError) in try S.read(v) }
  }

  /// Decodes a register unless it is the one that was decoded before.
  private mutating func keep<S>(
    _ path: String, _ source: some RegisterSource, _ previous: Kept<S>?,
    in scope: Scope = .clusterset, _ read: (Value) throws(ManifestError) -> S
  ) -> Kept<S>? {
    guard let register = source.register(path, in: scope) else { return nil }
    var kept: Kept<S>?
    if let previous, previous.register == register {
      kept = previous
    } else {
      do {
        kept = Kept(section: try read(register.value), register: register)
      } catch {
        let problem = ViewProblem(path: path, error)
        if let previous {
          kept = Kept(section: previous.section, register: register, problem: problem)
        } else {
          problems.append(problem)
        }
      }
    }
    if let problem = kept?.problem { problems.append(problem) }
    return kept
  }
}
